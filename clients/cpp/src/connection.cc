#include "clients/cpp/src/connection.h"

#include <fmt/format.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/status/status.h"

#include "clients/cpp/src/endpoint.h"
#include "services/base/strings.h"

namespace dunlin::internal {
namespace {

namespace v2 = apache::rocketmq::v2;

constexpr int kFrameBytes = 1 << 20;
constexpr int kWriteBufferBytes = 1 << 20;
constexpr int kWindowBytes = 8 << 20;
constexpr int kMinBackoffMs = 100;
constexpr int kMaxBackoffMs = 5000;
// Where nothing has come for so long is asked whether anybody is there: a host that is cut off says
// nothing, and within 8 s sends are to go on elsewhere.
constexpr int kKeepaliveMs = 4000;
constexpr int kKeepaliveTimeoutMs = 3000;
// How long one access point of several is waited for before the next one is looked at.
constexpr std::chrono::milliseconds kConnectSlice{50};
// How often servers that nobody is connected to are let go of.
constexpr std::chrono::seconds kSweep{60};

std::string MakeClientId() {
  static std::atomic<int> number{0};
  char host[256] = "unknown";
  gethostname(host, sizeof(host) - 1);
  return fmt::format("{}@{}@{}@dunlin-cpp", host, getpid(), number.fetch_add(1));
}

std::shared_ptr<grpc::ChannelCredentials> ChannelCredentials(const ClientOptions& options) {
  switch (options.tls) {
    case Tls::kOff:
      return grpc::InsecureChannelCredentials();
    case Tls::kInsecure: {
      grpc::experimental::TlsChannelCredentialsOptions tls;
      tls.set_verify_server_certs(false);
      tls.set_check_call_host(false);
      tls.set_certificate_verifier(std::make_shared<grpc::experimental::NoOpCertificateVerifier>());
      return grpc::experimental::TlsCredentials(tls);
    }
    case Tls::kVerified:
      break;
  }
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = options.tls_ca;
  return grpc::SslCredentials(ssl);
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& endpoint,
                                           const ClientOptions& options) {
  grpc::ChannelArguments arguments;
  // Else channels to one address share one connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kFrameBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, kWriteBufferBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes);
  // The window is large from the start; probing would only cost pings.
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kMinBackoffMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kMinBackoffMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxBackoffMs);
  // A broker may come back under its name with another address; gRPC asks twice a minute at most.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, kMaxBackoffMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  // Else it is asked twice, and then only after something else was sent: routes are but listened
  // to.
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  return grpc::CreateCustomChannel(endpoint, ChannelCredentials(options), arguments);
}

absl::Status CheckCredentials(const Credentials& credentials) {
  if (credentials.access_key.empty() && credentials.secret_key.empty()) return absl::OkStatus();
  const std::string problem = ProblemOf(credentials);
  if (problem.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("{}: give access_key and secret_key of one user, or neither", problem));
}

}  // namespace

Connection::Connection(ClientOptions options, std::shared_ptr<Ticker> ticker,
                       std::vector<std::string> endpoints,
                       std::vector<std::shared_ptr<grpc::Channel>> channels)
    : options_(std::move(options)),
      credentials_({options_.access_key, options_.secret_key}),
      ticker_(std::move(ticker)),
      endpoints_(std::move(endpoints)),
      channels_(std::move(channels)) {}

Connection::~Connection() { ticker_->Forget(this); }

std::shared_ptr<Connection> Connection::MakeRoot(ClientOptions options,
                                                 std::shared_ptr<Ticker> ticker) {
  std::vector<std::string> endpoints = SplitEndpoints(options.endpoint);
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  channels.reserve(endpoints.size());
  for (const std::string& endpoint : endpoints) channels.push_back(MakeChannel(endpoint, options));
  std::shared_ptr<Connection> connection(new Connection(std::move(options), std::move(ticker),
                                                        std::move(endpoints), std::move(channels)));
  connection->routes_ =
      std::make_unique<RouteCache>(*connection, connection->options_.route_poll_interval);
  return connection;
}

absl::StatusOr<std::shared_ptr<Connection>> Connection::Make(const ClientOptions& options) {
  if (SplitEndpoints(options.endpoint).empty()) {
    return absl::InvalidArgumentError("the endpoint is empty");
  }
  if (options.route_poll_interval.count() < 1) {
    return absl::InvalidArgumentError("route_poll_interval: 1 ms or more");
  }
  absl::Status credentials = CheckCredentials({options.access_key, options.secret_key});
  if (!credentials.ok()) return credentials;
  ClientOptions complete = options;
  if (complete.client_id.empty()) complete.client_id = MakeClientId();
  std::shared_ptr<Connection> connection =
      MakeRoot(std::move(complete), std::make_shared<Ticker>());
  if (options.connect_timeout.count() > 0 && !connection->AwaitAny(options.connect_timeout)) {
    return absl::UnavailableError(
        fmt::format("no broker and no name service answered at {} within {} ms", options.endpoint,
                    options.connect_timeout.count()));
  }
  return connection;
}

bool Connection::AwaitAny(std::chrono::milliseconds timeout) const {
  const auto deadline = std::chrono::system_clock::now() + timeout;
  if (channels_.size() == 1) return channels_[0]->WaitForConnected(deadline);
  // All of them connect; the first one that is through is used.
  for (const auto& channel : channels_) channel->GetState(true);
  for (;;) {
    const auto now = std::chrono::system_clock::now();
    const auto slice = std::min(deadline, now + kConnectSlice);
    if (channels_[access_point()]->WaitForConnected(slice)) return true;
    if (now >= deadline) return false;
    Avoid(access_point());
  }
}

void Connection::Avoid(size_t failed) const {
  access_point_.compare_exchange_strong(failed, (failed + 1) % channels_.size(),
                                        std::memory_order_relaxed);
}

std::shared_ptr<Connection> Connection::To(const std::string& endpoint, int number) {
  const std::string& at = endpoint.empty() ? this->endpoint() : endpoint;
  MutexLock lock(mutex_);
  std::shared_ptr<Connection>& server = servers_[{at, number}];
  if (server == nullptr) {
    const auto known = std::find(endpoints_.begin(), endpoints_.end(), at);
    const bool has_channel = number == 0 && known != endpoints_.end();
    server.reset(
        new Connection(options_, ticker_, {at},
                       {has_channel ? channels_[static_cast<size_t>(known - endpoints_.begin())]
                                    : MakeChannel(at, options_)}));
    if (!std::exchange(sweeping_, true)) ticker_->WakeAt(steady_clock::now() + kSweep, this);
  }
  return server;
}

void Connection::Tick(SteadyTime now) {
  std::vector<std::shared_ptr<Connection>> unused;
  {
    MutexLock lock(mutex_);
    std::erase_if(servers_, [&](auto& entry) {
      if (entry.second.use_count() > 1) return false;
      unused.push_back(std::move(entry.second));
      return true;
    });
    sweeping_ = !servers_.empty();
    if (sweeping_) ticker_->WakeAt(now + kSweep, this);
  }
}

std::shared_ptr<Connection> Connection::Stranger() const {
  static std::atomic<int> number{0};
  ClientOptions options = options_;
  options.client_id += fmt::format("@{}", number.fetch_add(1));
  return MakeRoot(std::move(options), ticker_);
}

void Connection::Identify(grpc::ClientContext& context) const {
  context.AddMetadata("x-mq-client-id", options_.client_id);
  context.AddMetadata("x-mq-language", "CPP");
  if (!options_.name_space.empty()) context.AddMetadata("x-mq-namespace", options_.name_space);
  Sign(credentials_, std::chrono::system_clock::now(), context);
}

void Connection::Fill(std::string_view name, v2::Resource& resource) const {
  resource.set_name(name.data(), name.size());
  if (!options_.name_space.empty()) resource.set_resource_namespace(options_.name_space);
}

void FillFilter(const Filter& filter, v2::FilterExpression& expression) {
  expression.set_type(filter.language() == Filter::Language::kSql ? v2::SQL : v2::TAG);
  expression.set_expression(filter.expression());
}

absl::Status FromPublic(const v2::Status& status) {
  const int code = status.code();
  if (code == v2::OK) return absl::OkStatus();
  const std::string text = fmt::format("{}: {}", v2::Code_Name(status.code()), status.message());
  const auto message = ToAbsl(text);
  if (code == v2::TOO_MANY_REQUESTS) return absl::ResourceExhaustedError(message);
  switch (code / 100) {
    case 401:
      return absl::UnauthenticatedError(message);
    case 403:
      return absl::PermissionDeniedError(message);
    case 404:
      return absl::NotFoundError(message);
    case 408:
    case 504:
      return absl::DeadlineExceededError(message);
    case 428:
      return absl::FailedPreconditionError(message);
    case 500:
      return absl::UnavailableError(message);
    case 501:
    case 505:
      return absl::UnimplementedError(message);
    default:
      return absl::InvalidArgumentError(message);
  }
}

absl::Status FromGrpc(const grpc::Status& status) {
  // The numbers are the same.
  return {static_cast<absl::StatusCode>(status.error_code()), status.error_message()};
}

bool IsTransient(v2::Code code) {
  switch (code) {
    case v2::TOO_MANY_REQUESTS:
    case v2::PRECONDITION_FAILED:
    case v2::REQUEST_TIMEOUT:
    case v2::INTERNAL_ERROR:
    case v2::INTERNAL_SERVER_ERROR:
    case v2::HA_NOT_AVAILABLE:
    case v2::PROXY_TIMEOUT:
    case v2::MASTER_PERSISTENCE_TIMEOUT:
    case v2::SLAVE_PERSISTENCE_TIMEOUT:
      return true;
    default:
      return false;
  }
}

bool IsFatal(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
      return true;
    default:
      return false;
  }
}

bool IsRefusal(const absl::Status& status) {
  return absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status);
}

}  // namespace dunlin::internal
