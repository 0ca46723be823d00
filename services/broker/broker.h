// Broker: the composition root of the broker; builds its rooms in the order of their levels and
// stops them in reverse. No logic.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/strong_int.h"
#include "services/broker/registration/registrar.h"

namespace grpc {
class Service;
}
namespace prometheus {
class Collectable;
}

namespace dunlin::broker {

class BrokerMetrics;

class Broker {
 public:
  // What the replicator has decided, for the broker of a group's master.
  struct Mastership {
    Epoch epoch;
    // Whether new messages are taken; else the status to refuse them with. Cheap.
    std::function<absl::Status()> may_send;
    // Asked from time to time while the store opens: false ends that with UNAVAILABLE.
    std::function<bool()> still_wanted;
  };

  // Opens the store in `data_dir`, recovers it, starts the threads. `config`, `files` and `clock`
  // must outlive the broker. Errors: those of CommitLog::Open, StateStore::Open, Dispatcher::Start.
  // With `mastership` the log is that of a broker group: what is confirmed is what the group has.
  // `on_failure` is called once, from a thread of the broker, when the log or the dispatcher has
  // failed for good: the process should stop, and recover at its next start.
  static absl::StatusOr<std::unique_ptr<Broker>> Start(const config::v1::DunlinConfig& config,
                                                       FileSystem& files, const Clock& clock,
                                                       std::function<void()> on_failure = {},
                                                       std::optional<Mastership> mastership = {});
  // The broker of a group's slave: the same rooms over a log that its replicator writes, without
  // those that decide. What they show is what the group has confirmed. Errors: NOT_FOUND while
  // nobody has made a log in the store yet; others as above.
  static absl::StatusOr<std::unique_ptr<Broker>> StartSlave(const config::v1::DunlinConfig& config,
                                                            FileSystem& files, const Clock& clock);
  ~Broker();

  // To be registered with a gRPC server that is stopped before the broker is. Those of a slave
  // serve only what reads; the rest is for the generic service of that server.
  std::vector<grpc::Service*> services() const;

  // Takes over which topics and groups the master has made, changed and deleted, and says in routes
  // when the epoch is another one. A slave's is to be asked for it all the time; nothing is read
  // unless something has changed. Not thread-safe.
  absl::Status Follow();

  // Host and port for routes of clients that do not say how they reached the server.
  void SetAdvertisedAddress(const std::string& host, int port);

  // What `on_failure` is told of; DATA_LOSS at a slave: what the view was built from was cut off
  // the log, start another one. Thread-safe.
  absl::Status health() const;

  // What the broker is to name services.
  struct Standing {
    nameservice::v1::MemberRole role = nameservice::v1::MASTER;
    uint32_t id = 0;  // 0 is the master, and nobody else
    // Of the replicator beside it; 0: there is none.
    uint32_t replicator_port = 0;
    // What the same member had in another role: it goes on.
    std::unique_ptr<Registrar> registrar;
  };
  // Keeps the broker registered with these name services (host:port) from now on, under its
  // advertised address. Once at most, unless with the registrar that there was. INVALID_ARGUMENT:
  // one has no port.
  absl::Status Register(const std::vector<std::string>& name_services, Standing standing);
  absl::Status Register(const std::vector<std::string>& name_services) {
    return Register(name_services, Standing());
  }
  // Where the master of the broker's group is, "host:port"; empty when nobody has said. On
  // the thread of Register.
  std::string master() const;
  // For the next role: the broker stays in routes as it is. Null without any.
  std::unique_ptr<Registrar> ReleaseRegistrar();
  // Of the registrations; null without any. May be asked even after the broker is gone.
  std::shared_ptr<prometheus::Collectable> registration_metrics() const;

  // Lets Prometheus see it there until it stops.
  void ShowIn(std::shared_ptr<BrokerMetrics> metrics);

  // Takes the broker out of routes, answers long polls that still wait and ends streams, so that a
  // server that is about to stop has nothing left.
  void Drain();

  // Saves progress, applies and flushes the log, writes a last checkpoint. Idempotent; the first
  // error counts.
  absl::Status Stop();

 private:
  class Rooms;
  explicit Broker(std::unique_ptr<Rooms> rooms);
  static absl::StatusOr<std::unique_ptr<Broker>> Open(
      const std::function<std::unique_ptr<Rooms>()>& make, const config::v1::DunlinConfig& config,
      FileSystem& files, const Clock& clock, const std::function<void()>& on_failure);
  const std::unique_ptr<Rooms> rooms_;
};

}  // namespace dunlin::broker
