// EmbeddedNames: the name service inside `dunlin`, on a port of its own.

#pragma once

#include <chrono>
#include <memory>

#include "absl/status/statusor.h"

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/nameservice/name_service.h"
#include "services/runtime/grpc_server.h"
#include "services/runtime/host_port.h"

namespace dunlin {

class EmbeddedNames {
 public:
  // Serves, unless `name_service.enabled` is false. `config` and `clock` must outlive it. Errors
  // are those of NameService::Start and GrpcServer::Start.
  static absl::StatusOr<EmbeddedNames> Start(const config::v1::DunlinConfig& config,
                                             const Clock& clock);

  bool present() const { return service_ != nullptr; }

  // REQUIRES of these: present().
  HostPort address() const { return address_; }  // as this process reaches it
  std::shared_ptr<prometheus::Collectable> metrics() const { return service_->metrics(); }

  void Stop(std::chrono::milliseconds grace);

 private:
  EmbeddedNames() = default;

  std::unique_ptr<nameservice::NameService> service_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<GrpcServer> clients_server_;  // null: clients have no port of their own
  HostPort address_;
};

}  // namespace dunlin
