// RouteBook: where the topics of a client are, for calls that go to one broker at a time.
//
// Follows every topic that was asked for, until its end. Thread-safe.

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/status/statusor.h"

#include "clients/cpp/src/connection.h"
#include "services/base/mutex.h"

namespace dunlin::internal {

// A broker, and the connection to where it is at this moment.
struct BrokerAt {
  std::string broker;  // empty: the server at the access point
  std::shared_ptr<Connection> connection;
};

class RouteBook final : public RouteListener {
 public:
  // `on_broker` is called for every broker that a route names, again whenever a route changes;
  // without a lock. Null: nobody wants to know.
  RouteBook(std::shared_ptr<Connection> connection,
            std::function<void(const BrokerAt&)> on_broker = nullptr);
  ~RouteBook() override { Close(); }

  // From now on the topic's brokers are known.
  void Follow(const std::string& topic) ABSL_LOCKS_EXCLUDED(mutex_);
  // A broker that takes messages of the topic, each in turn but those that failed a moment ago. The
  // access point, when there is no such topic: it may make it. DEADLINE_EXCEEDED: nobody says where
  // the topic is; others as the route says that there can be none.
  absl::StatusOr<BrokerAt> Choose(const std::string& topic, SteadyTime deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Where the broker was last seen.
  BrokerAt Find(const std::string& broker) ABSL_LOCKS_EXCLUDED(mutex_);
  // A call to it failed: others are chosen for a while.
  void Avoid(const std::string& broker) ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for an `on_broker` under way; none comes afterwards. Idempotent.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

  void OnRoute(const std::string& topic, const Route& route) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Entry {
    bool is_known = false;
    Route route;
    size_t turn = 0;
  };

  BrokerAt ChooseFrom(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<Connection> connection_;
  const std::function<void(const BrokerAt&)> on_broker_;
  Mutex mutex_;
  CondVar changed_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, Entry> topics_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> endpoints_ ABSL_GUARDED_BY(mutex_);  // by broker
  std::map<std::string, SteadyTime> avoided_ ABSL_GUARDED_BY(mutex_);     // until then
};

}  // namespace dunlin::internal
