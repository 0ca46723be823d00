#include "services/nameservice/client_listener.h"

#include <utility>

#include "services/base/log.h"
#include "services/base/strings.h"
#include "services/runtime/program.h"

namespace dunlin::nameservice {

absl::StatusOr<std::unique_ptr<GrpcServer>> ListenForClients(
    const config::v1::RegistryConfig& config, const FirstListener& first, NameService& service) {
  if (config.clients_listen_address().empty()) return nullptr;
  config::v1::ServerConfig of_clients = first.config;
  of_clients.set_listen_address(config.clients_listen_address());
  absl::StatusOr<std::unique_ptr<GrpcServer>> server = GrpcServer::Start(
      of_clients, first.data_dir, {service.ServicesForClients(first.server.port()), nullptr});
  if (!server.ok()) {
    return absl::Status(server.status().code(),
                        ToAbsl(std::string(server.status().message()) +
                               " (the name service's port for clients alone; "
                               "registry.clients_listen_address is where it listens)"));
  }
  log::Info("clients alone reach the name service at {}",
            Listening(config.clients_listen_address(), (*server)->port()));
  return server;
}

void ServeWhenReady(NameService& service, GrpcServer& first, GrpcServer* clients) {
  service.CallWhenReady([&first, clients] {
    first.SetServing(true);
    if (clients != nullptr) clients->SetServing(true);
  });
}

void StopServing(NameService& service, GrpcServer& first, GrpcServer* clients) {
  service.CallWhenReady(nullptr);
  first.SetServing(false);
  if (clients != nullptr) clients->SetServing(false);
}

std::function<AcceptorCounts()> CountConnections(const GrpcServer& first,
                                                 const GrpcServer* clients) {
  if (clients == nullptr) return first.connection_counter();
  return [of_first = first.connection_counter(), of_clients = clients->connection_counter()] {
    AcceptorCounts sum = of_first();
    const AcceptorCounts more = of_clients();
    sum.open += more.open;
    sum.accepted += more.accepted;
    sum.over_limit += more.over_limit;
    sum.over_peer_limit += more.over_peer_limit;
    sum.out_of_descriptors += more.out_of_descriptors;
    sum.silent += more.silent;
    sum.unknown_protocol += more.unknown_protocol;
    return sum;
  };
}

}  // namespace dunlin::nameservice
