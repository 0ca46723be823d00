// The second listener of a name service, registry.clients_listen_address: for clients alone.

#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/nameservice/name_service.h"
#include "services/runtime/grpc_server.h"

namespace dunlin::nameservice {

// What the listener has in common with the first one.
struct FirstListener {
  const config::v1::ServerConfig& config;
  const std::string& data_dir;
  const GrpcServer& server;
};

// Null: there is none. Encryption and limits are those of the first one. To be stopped before
// `service` is. Errors: those of GrpcServer::Start.
absl::StatusOr<std::unique_ptr<GrpcServer>> ListenForClients(
    const config::v1::RegistryConfig& config, const FirstListener& first, NameService& service);

// From when on routes are told, health checks of both say so: before, clients had better ask
// another name service. `clients` may be null. Both outlive StopServing, which has to be called.
void ServeWhenReady(NameService& service, GrpcServer& first, GrpcServer* clients);
void StopServing(NameService& service, GrpcServer& first, GrpcServer* clients);

// Of both listeners together; `clients` may be null. May be called when they are gone.
std::function<AcceptorCounts()> CountConnections(const GrpcServer& first,
                                                 const GrpcServer* clients);

}  // namespace dunlin::nameservice
