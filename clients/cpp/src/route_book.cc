#include "clients/cpp/src/route_book.h"

#include <utility>
#include <vector>

namespace dunlin::internal {
namespace {

constexpr std::chrono::seconds kAvoidance{2};

}  // namespace

RouteBook::RouteBook(std::shared_ptr<Connection> connection,
                     std::function<void(const BrokerAt&)> on_broker)
    : connection_(std::move(connection)), on_broker_(std::move(on_broker)) {}

void RouteBook::Close() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
    changed_.SignalAll();
  }
  connection_->routes().Forget(this);
}

void RouteBook::Follow(const std::string& topic) {
  {
    MutexLock lock(mutex_);
    if (closed_ || !topics_.try_emplace(topic).second) return;
  }
  connection_->routes().Follow(topic, this);
}

void RouteBook::OnRoute(const std::string& topic, const Route& route) {
  std::vector<BrokerAt> brokers;
  {
    MutexLock lock(mutex_);
    Entry& entry = topics_.at(topic);
    entry.is_known = true;
    entry.route = route;
    for (const BrokerRoute& broker : route.brokers) {
      endpoints_[broker.broker] = broker.endpoint;
      brokers.push_back({broker.broker, connection_->To(broker.endpoint)});
    }
    changed_.SignalAll();
  }
  if (!on_broker_) return;
  for (const BrokerAt& broker : brokers) on_broker_(broker);
}

BrokerAt RouteBook::ChooseFrom(Entry& entry) {
  const std::vector<BrokerRoute>& brokers = entry.route.brokers;
  if (brokers.empty()) return {"", connection_->To("")};
  const SteadyTime now = steady_clock::now();
  const size_t begin = entry.turn++;
  // One that takes messages and has not failed; one that takes messages; one that says why not.
  const BrokerRoute* best = nullptr;
  int best_worth = -1;
  for (size_t i = 0; i < brokers.size(); ++i) {
    const BrokerRoute& broker = brokers[(begin + i) % brokers.size()];
    const auto avoided = avoided_.find(broker.broker);
    const bool is_avoided = avoided != avoided_.end() && avoided->second > now;
    const int worth = (broker.write_queues > 0 ? 2 : 0) + (is_avoided ? 0 : 1);
    if (worth <= best_worth) continue;
    best = &broker;
    best_worth = worth;
  }
  return {best->broker, connection_->To(best->endpoint)};
}

absl::StatusOr<BrokerAt> RouteBook::Choose(const std::string& topic, SteadyTime deadline) {
  Follow(topic);
  MutexLock lock(mutex_);
  for (bool in_time = true;; in_time = changed_.WaitUntil(mutex_, deadline)) {
    if (closed_) return absl::FailedPreconditionError("the client is closed");
    Entry& entry = topics_.at(topic);
    const absl::Status& status = entry.route.status;
    if (entry.is_known && !status.ok() && !absl::IsNotFound(status)) return status;
    const bool is_reachable = !status.ok() || !entry.route.brokers.empty();
    if (entry.is_known && is_reachable) return ChooseFrom(entry);
    if (!in_time) {
      return absl::DeadlineExceededError("neither a broker nor a name service answers");
    }
  }
}

BrokerAt RouteBook::Find(const std::string& broker) {
  MutexLock lock(mutex_);
  const auto endpoint = endpoints_.find(broker);
  return {broker, connection_->To(endpoint == endpoints_.end() ? "" : endpoint->second)};
}

void RouteBook::Avoid(const std::string& broker) {
  connection_->routes().Doubt();
  MutexLock lock(mutex_);
  avoided_[broker] = steady_clock::now() + kAvoidance;
}

}  // namespace dunlin::internal
