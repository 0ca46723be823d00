#include "services/runtime/grpc_server.h"

#include <fmt/format.h>
#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <sys/resource.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/synchronization/mutex.h"

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/check.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/runtime/certificate.h"
#include "services/runtime/rpc_metrics.h"

namespace dunlin {
namespace {

using config::v1::ServerConfig;
using config::v1::TlsConfig;
using grpc::experimental::ExternalConnectionAcceptor;

// One consumer keeps a call open per queue it reads, on one connection.
constexpr int kMaxConcurrentStreams = 10'000;
constexpr int kMaxMetadataBytes = 64 * 1024;
// Larger frames than HTTP/2's 16 KiB: fewer of them, and fewer system calls, for large messages.
constexpr int kMaxFrameBytes = 1 << 20;
// What gRPC may buffer, in largest requests (520 MiB by default). Beyond it gRPC drops calls:
// better than the process dropping all of them for want of memory.
constexpr size_t kBufferedRequests = 4;
// Official clients send keepalive pings as often as every 5 s, also without calls; gRPC's own
// defaults would take that for an attack and close the connection.
constexpr int kMinPingIntervalMillis = 5'000;
// A peer that vanished without a word is noticed after their sum.
constexpr int kKeepaliveMillis = 60'000;
constexpr int kKeepaliveTimeoutMillis = 20'000;
constexpr int kHandshakeTimeoutMillis = 10'000;
constexpr unsigned kCertificateRefreshSeconds = 1;
// Threads of all of gRPC's synchronous parts together.
constexpr int kMaxThreads = 64;

// Descriptors that connections leave to the store, to metrics and to gRPC.
constexpr rlim_t kReservedDescriptors = 256;

// gRPC calls an error what any stranger can cause with a few bytes.
void LogOfGrpc(gpr_log_func_args* line) {
  if (line->severity == GPR_LOG_SEVERITY_ERROR) {
    log::Warning("gRPC: {} ({}:{})", line->message, line->file, line->line);
  } else {
    log::Debug("gRPC: {} ({}:{})", line->message, line->file, line->line);
  }
}

void SetUpGrpcOnce() {
  static std::once_flag once;
  std::call_once(once, [] {
    gpr_set_log_function(&LogOfGrpc);
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    // Debian's Abseil looks for deadlocks at every lock that gRPC takes: an aid for debugging,
    // which costs some percent of a busy server.
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  });
}

void Tune(grpc::ServerBuilder& builder, const ServerConfig& config) {
  grpc::ResourceQuota quota("dunlin");
  quota.SetMaxThreads(kMaxThreads);
  quota.Resize(kBufferedRequests * config.max_request_bytes());
  builder.SetResourceQuota(quota);
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS,
                              static_cast<int>(config.worker_threads()));
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxConcurrentStreams);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kMaxFrameBytes);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinPingIntervalMillis);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMillis);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMillis);
  if (config.connection_idle_seconds() > 0) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS,
                               static_cast<int>(config.connection_idle_seconds() * 1000));
  }
}

std::string SelfSignedDirectory(const std::string& data_dir) { return data_dir + "/tls"; }

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TlsCredentials(
    const TlsConfig& config, const std::string& data_dir) {
  CertificateFiles files{.certificate = config.certificate_file(),
                         .private_key = config.private_key_file()};
  if (files.certificate.empty()) {
    ASSIGN_OR_RETURN(files, SelfSignedCertificate(SelfSignedDirectory(data_dir)));
  } else {
    RETURN_IF_ERROR(CheckCertificate(files));
  }
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          files.private_key, files.certificate, kCertificateRefreshSeconds));
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  std::shared_ptr<grpc::ServerCredentials> credentials =
      grpc::experimental::TlsServerCredentials(options);
  if (credentials == nullptr) return absl::InternalError("gRPC takes no TLS credentials");
  return credentials;
}

// Connections beyond what the process may open would starve the store of descriptors.
size_t AffordableConnections(size_t wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return wanted;
  const rlim_t reserved = std::min(kReservedDescriptors, limit.rlim_cur / 2);
  const size_t affordable = std::max<size_t>(limit.rlim_cur - reserved, 1);
  if (affordable < wanted) {
    log::Warning("at most {} connections instead of {}: the limit of open files is {}", affordable,
                 wanted, limit.rlim_cur);
  }
  return std::min(affordable, wanted);
}

ConnectionHandler HandlerFor(ExternalConnectionAcceptor* door) {
  if (door == nullptr) return nullptr;
  return [door](UniqueFd socket) {
    ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = socket.Release();
    door->HandleNewConnection(&connection);
  };
}

absl::StatusOr<std::unique_ptr<Acceptor>> MakeAcceptor(const ServerConfig& config) {
  const std::optional<HostPort> address = ParseHostPort(config.listen_address());
  if (!address.has_value()) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is not host:port", config.listen_address()));
  }
  return Acceptor::Create(
      {.address = *address,
       .limits = {.total = AffordableConnections(config.max_connections()),
                  .per_peer = config.max_connections_per_peer()},
       .first_byte_timeout = std::chrono::milliseconds(config.first_byte_timeout_ms())});
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const ServerConfig& config,
                                                              const std::string& data_dir,
                                                              const GrpcServices& services) {
  using DoorType = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  ASSIGN_OR_RETURN(std::unique_ptr<Acceptor> acceptor, MakeAcceptor(config));
  SetUpGrpcOnce();
  grpc::ServerBuilder builder;
  Tune(builder, config);
  builder.SetMaxReceiveMessageSize(
      static_cast<int>(std::min(config.max_request_bytes(), services.max_request_bytes)));
  Doors doors;
  if (config.tls().mode() != TlsConfig::REQUIRED) {
    doors.plaintext = builder.experimental().AddExternalConnectionAcceptor(
        DoorType::FROM_FD, grpc::InsecureServerCredentials());
  }
  if (config.tls().mode() != TlsConfig::OFF) {
    ASSIGN_OR_RETURN(auto credentials, TlsCredentials(config.tls(), data_dir));
    doors.tls = builder.experimental().AddExternalConnectionAcceptor(DoorType::FROM_FD,
                                                                     std::move(credentials));
  }
  for (grpc::Service* service : services.services) builder.RegisterService(service);
  if (services.generic != nullptr) builder.RegisterCallbackGenericService(services.generic);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(RpcMetrics::OfProcess()->NewFactory());
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return absl::InternalError("gRPC did not start; its log says why");
  return std::unique_ptr<GrpcServer>(
      new GrpcServer(std::move(acceptor), std::move(doors), std::move(server)));
}

std::string GrpcServer::CertificateFile(const ServerConfig& config, const std::string& data_dir) {
  if (config.tls().mode() == TlsConfig::OFF) return "";
  if (!config.tls().certificate_file().empty()) return config.tls().certificate_file();
  return SelfSignedFiles(SelfSignedDirectory(data_dir)).certificate;
}

GrpcServer::GrpcServer(std::unique_ptr<Acceptor> acceptor, Doors doors,
                       std::unique_ptr<grpc::Server> server)
    : acceptor_(std::move(acceptor)), doors_(std::move(doors)), server_(std::move(server)) {
  SetServing(false);
  acceptor_->Start(HandlerFor(doors_.plaintext.get()), HandlerFor(doors_.tls.get()));
}

GrpcServer::~GrpcServer() { Stop(std::chrono::milliseconds(0)); }

void GrpcServer::SetServing(bool serving) {
  grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
  CHECK(health != nullptr);
  health->SetServingStatus(serving);
}

void GrpcServer::Stop(std::chrono::milliseconds grace) {
  if (std::exchange(stopped_, true)) return;
  SetServing(false);
  acceptor_->Stop();  // first: gRPC would leak a socket handed over later
  server_->Shutdown(std::chrono::system_clock::now() + grace);
  server_->Wait();
}

}  // namespace dunlin
