// NameService: the composition root of the name service, for a process of its own and for `dunlin`,
// which has one inside. No logic.

#pragma once

#include <grpcpp/security/credentials.h>
#include <prometheus/collectable.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"

namespace grpc {
class Service;
}

namespace dunlin::nameservice {

class NameService {
 public:
  struct Place {
    std::string data_dir;  // exists
    // Groups to wait for at the very first start, when none were known before; empty: nobody knows
    // who will come.
    std::vector<std::string> expected = {};
    // Of connections to brokers.
    std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  };
  // Reads what was saved and starts the threads. `files` and `clock` must outlive the name service.
  // Errors: those of SavedState::Open.
  static absl::StatusOr<std::unique_ptr<NameService>> Start(
      const config::v1::RegistryConfig& config, const Place& place, FileSystem& files,
      const Clock& clock);
  ~NameService();

  // Those that clients inside the brokers' network reach name services by; others are outside, and
  // are told brokers' external addresses. Before the server is SetServing.
  void AddInsidePorts(const config::v1::ServerConfig& server, uint16_t listening);

  // Calls once when routes are told after the start, which may be now; null: it is not wanted any
  // more, and is not under way either. `call` does not wait, and calls nothing of this.
  void CallWhenReady(std::function<void()> call);

  // To be registered with a gRPC server that is stopped before the name service is.
  std::vector<grpc::Service*> services() const;
  // The same for a server that clients alone reach; `port` has all of services(). Once at most.
  std::vector<grpc::Service*> ServicesForClients(uint16_t port);
  // May be asked even after the name service is gone.
  std::shared_ptr<prometheus::Collectable> metrics() const;

  // Ends sessions and streams, so that a server that is about to stop has nothing left.
  void Drain();
  // Idempotent.
  void Stop();

 private:
  class Rooms;
  explicit NameService(std::shared_ptr<Rooms> rooms);
  const std::shared_ptr<Rooms> rooms_;
};

}  // namespace dunlin::nameservice
