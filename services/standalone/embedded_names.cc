#include "services/standalone/embedded_names.h"

#include <string>
#include <utility>

#include "services/base/file.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/nameservice/client_listener.h"
#include "services/runtime/peer_credentials.h"
#include "services/runtime/program.h"

namespace dunlin {
namespace {

HostPort Reached(const std::string& listen_address, uint16_t port) {
  const std::optional<HostPort> listening = ParseHostPort(listen_address);
  if (!listening.has_value() || listening->host == "0.0.0.0") return {"127.0.0.1", port};
  if (listening->host == "::") return {"::1", port};
  return {listening->host, port};
}

}  // namespace

absl::StatusOr<EmbeddedNames> EmbeddedNames::Start(const config::v1::DunlinConfig& config,
                                                   const Clock& clock) {
  EmbeddedNames names;
  if (!config.name_service().enabled()) return names;
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::ChannelCredentials> credentials,
                   PeerCredentials(config.peer_tls(), RealFiles()));
  const config::v1::ServerConfig& of_server = config.name_service().server();
  ASSIGN_OR_RETURN(names.service_,
                   nameservice::NameService::Start(config.name_service().registry(),
                                                   {.data_dir = config.data_dir(),
                                                    .expected = {config.broker().broker_name()},
                                                    .credentials = std::move(credentials)},
                                                   RealFiles(), clock));
  absl::StatusOr<std::unique_ptr<GrpcServer>> server =
      GrpcServer::Start(of_server, config.data_dir(), {names.service_->services(), nullptr});
  if (!server.ok()) {
    return absl::Status(server.status().code(),
                        ToAbsl(std::string(server.status().message()) +
                               " (the name service of dunlin; name_service.server.listen_address "
                               "is where it listens, name_service.enabled=false does without)"));
  }
  names.server_ = *std::move(server);
  ASSIGN_OR_RETURN(names.clients_server_,
                   nameservice::ListenForClients(config.name_service().registry(),
                                                 {of_server, config.data_dir(), *names.server_},
                                                 *names.service_));
  names.address_ = Reached(of_server.listen_address(), names.server_->port());
  names.service_->AddInsidePorts(of_server, names.server_->port());
  nameservice::ServeWhenReady(*names.service_, *names.server_, names.clients_server_.get());
  log::Info("the name service listens on {}",
            Listening(of_server.listen_address(), names.server_->port()));
  return names;
}

void EmbeddedNames::Stop(std::chrono::milliseconds grace) {
  if (service_ == nullptr) return;
  nameservice::StopServing(*service_, *server_, clients_server_.get());
  service_->Drain();
  if (clients_server_ != nullptr) clients_server_->Stop(grace);
  server_->Stop(grace);
  service_->Stop();
}

}  // namespace dunlin
