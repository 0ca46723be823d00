// Replicator: the composition root of a member's replicator; builds coordinator, driver, service
// and server from the configuration, and stops them in reverse. No logic.

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/runtime/grpc_server.h"

namespace prometheus {
class Collectable;
}

namespace dunlin::replicator {

class Replicator {
 public:
  // Opens the store in `config.data_dir`, joins the group and serves on
  // `replication.listen_address`. `config`, `files` and `clock` must outlive it. INVALID_ARGUMENT:
  // a setting is wrong, the message says which; others are those of MemberDriver::Start and
  // GrpcServer::Start. `on_failure` as of MemberDriver.
  static absl::StatusOr<std::unique_ptr<Replicator>> Start(const config::v1::DunlinConfig& config,
                                                           FileSystem& files, const Clock& clock,
                                                           std::function<void()> on_failure);
  ~Replicator();  // Stop

  uint16_t port() const;
  // Of the server; may be called after the end.
  std::function<AcceptorCounts()> connection_counter() const;
  std::shared_ptr<prometheus::Collectable> metrics() const;

  // A master hands over to another member, if one can take over, so that nobody waits for a lease
  // to run out. Takes a few seconds at most. To be called before a planned Stop.
  void HandOver();

  // Idempotent.
  absl::Status Stop();

 private:
  class Rooms;
  explicit Replicator(std::unique_ptr<Rooms> rooms);
  const std::unique_ptr<Rooms> rooms_;
};

}  // namespace dunlin::replicator
