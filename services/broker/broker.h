// Broker: the composition root of the broker; builds its rooms in the order of their levels and
// stops them in reverse. No logic.

#pragma once

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
namespace prometheus {
class Collectable;
}

namespace dunlin::broker {

class Broker {
 public:
  // Opens the store in `data_dir`, recovers it, starts the threads. `config`, `files` and `clock`
  // must outlive the broker. Errors: those of CommitLog::Open, StateStore::Open, Dispatcher::Start.
  // `on_failure` is called once, from a thread of the broker, when the log or the dispatcher has
  // failed for good: the process should stop, and recover at its next start.
  static absl::StatusOr<std::unique_ptr<Broker>> Start(const config::v1::DunlinConfig& config,
                                                       FileSystem& files, const Clock& clock,
                                                       std::function<void()> on_failure = {});
  ~Broker();

  // To be registered with a gRPC server that is stopped before the broker is.
  std::vector<grpc::Service*> services() const;

  // Host and port for routes of clients that do not say how they reached the server.
  void SetAdvertisedAddress(const std::string& host, int port);

  // Keeps the broker registered with these name services (host:port) from now on, under its
  // advertised address. To be called once at most. INVALID_ARGUMENT: one has no port.
  absl::Status Register(const std::vector<std::string>& name_services);
  // Of the registrations; null without any. May be asked even after the broker is gone.
  std::shared_ptr<prometheus::Collectable> registration_metrics() const;

  // Takes the broker out of routes, answers long polls that still wait and ends streams, so that a
  // server that is about to stop has nothing left.
  void Drain();

  // Saves progress, applies and flushes the log, writes a last checkpoint. Idempotent; the first
  // error counts.
  absl::Status Stop();

 private:
  class Rooms;
  explicit Broker(std::unique_ptr<Rooms> rooms);
  const std::unique_ptr<Rooms> rooms_;
};

}  // namespace dunlin::broker
