#include "clients/cli/connection.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "clients/cli/credentials.h"

namespace dunlin::cli {
namespace {

namespace v2 = apache::rocketmq::v2;

// With one endpoint of several.
constexpr std::chrono::seconds kPatience{1};

std::shared_ptr<grpc::ChannelCredentials> ChannelCredentials(const GlobalOptions& options) {
  if (!options.tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions ssl;
  if (!options.tls_ca.empty()) {
    std::ifstream file(options.tls_ca);
    std::stringstream contents;
    contents << file.rdbuf();
    ssl.pem_root_certs = contents.str();
  }
  return grpc::SslCredentials(ssl);
}

std::shared_ptr<grpc::Channel> Channel(const GlobalOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(options.endpoint, ChannelCredentials(options), arguments);
}

// Of several endpoints the first that somebody answers at, or else the first.
GlobalOptions WithOneEndpoint(GlobalOptions options) {
  std::stringstream all(options.endpoint);
  std::vector<std::string> endpoints;
  for (std::string one; std::getline(all, one, ',');) endpoints.push_back(one);
  if (endpoints.size() <= 1) return options;
  for (const std::string& endpoint : endpoints) {
    options.endpoint = endpoint;
    if (Channel(options)->WaitForConnected(std::chrono::system_clock::now() + kPatience)) {
      return options;
    }
  }
  options.endpoint = endpoints.front();
  return options;
}

}  // namespace

Connection::Connection(const GlobalOptions& options)
    : options_(WithOneEndpoint(options)),
      client_id_(fmt::format("dunlinctl@{}", getpid())),
      channel_(Channel(options_)),
      admin_(admin::v1::AdminService::NewStub(channel_)),
      messaging_(v2::MessagingService::NewStub(channel_)),
      registry_(nameservice::v1::RegistryService::NewStub(channel_)) {}

std::unique_ptr<grpc::ClientContext> Connection::Context(std::chrono::seconds more) const {
  auto context = std::make_unique<grpc::ClientContext>();
  context->AddMetadata("x-mq-client-id", client_id_);
  context->AddMetadata("x-mq-language", "CPP");
  if (!options_.name_space.empty()) context->AddMetadata("x-mq-namespace", options_.name_space);
  Sign(options_.credentials, std::chrono::system_clock::now(), *context);
  context->set_deadline(std::chrono::system_clock::now() +
                        std::chrono::seconds(options_.timeout_seconds) + more);
  return context;
}

int Connection::Report(const grpc::Status& status) const {
  if (status.ok()) return kOk;
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      fmt::print(stderr,
                 "dunlinctl: no answer from {}: {}\nIs dunlin running there? --endpoint HOST:PORT "
                 "or DUNLIN_ENDPOINT names another one{}.\n",
                 options_.endpoint, status.error_message(), options_.tls ? "" : ", --tls encrypts");
      return kUnreachable;
    case grpc::StatusCode::NOT_FOUND:
      if (tolerates_absence_) return kNotFound;
      fmt::print(stderr, "dunlinctl: {}\n", status.error_message());
      return kNotFound;
    case grpc::StatusCode::UNIMPLEMENTED:
      fmt::print(stderr,
                 "dunlinctl: {} does not serve this; if it is a name service, give a broker as "
                 "--endpoint (`dunlinctl cluster list` shows where they are)\n",
                 options_.endpoint);
      return kRefused;
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
      fmt::print(stderr, "dunlinctl: {}\n{}\n", status.error_message(),
                 CredentialsHint(options_.credentials));
      return kRefused;
    default:
      fmt::print(stderr, "dunlinctl: {}\n", status.error_message());
      return kRefused;
  }
}

int Connection::Report(const v2::Status& status) const {
  if (status.code() == v2::OK) return kOk;
  fmt::print(stderr, "dunlinctl: {} ({})\n", status.message(), v2::Code_Name(status.code()));
  if (status.code() == v2::UNAUTHORIZED) {
    fmt::print(stderr, "{}\n", CredentialsHint(options_.credentials));
  }
  switch (status.code()) {
    case v2::TOPIC_NOT_FOUND:
    case v2::CONSUMER_GROUP_NOT_FOUND:
    case v2::MESSAGE_NOT_FOUND:
    case v2::OFFSET_NOT_FOUND:
      return kNotFound;
    default:
      return kRefused;
  }
}

void Connection::Pause(std::chrono::milliseconds pause) {
  poll(nullptr, 0, static_cast<int>(pause.count()));
}

v2::Endpoints Connection::Endpoints() const {
  v2::Endpoints endpoints;
  endpoints.set_scheme(v2::DOMAIN_NAME);
  const size_t colon = options_.endpoint.rfind(':');
  v2::Address& address = *endpoints.add_addresses();
  address.set_host(options_.endpoint.substr(0, colon));
  address.set_port(colon == std::string::npos ? 8081
                                              : std::atoi(options_.endpoint.c_str() + colon + 1));
  return endpoints;
}

}  // namespace dunlin::cli
