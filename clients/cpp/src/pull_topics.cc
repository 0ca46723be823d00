// The part of PullCore that is about whole topics: where they are, and all of their queues.

#include <algorithm>
#include <utility>

#include "clients/cpp/src/pull_core.h"

namespace dunlin::internal {
namespace {

// Where to begin in a queue that came when its topic was being read from `start` on: all that is in
// it is newer, but for a moment that is still to come.
StartAt StartOfNewQueue(StartAt start) {
  const bool keeps =
      start.kind() == StartAt::Kind::kTime || start.kind() == StartAt::Kind::kCommitted;
  return keeps ? start : StartAt::First();
}

}  // namespace

void PullCore::LeaveIfUnused(const std::string& topic) {
  const auto other = assignments_.lower_bound(Key{topic, "", 0});
  if (other != assignments_.end() && std::get<0>(other->first) == topic) return;
  followed_.erase(topic);
  const auto known = topics_.find(topic);
  if (known == topics_.end() || known->second.users > 0) return;
  topics_.erase(known);
  connection_->routes().Leave(topic, this);
}

bool PullCore::IsNamed(const FrameSource& source) const {
  const auto known = topics_.find(source.topic);
  if (known == topics_.end()) return false;
  const std::vector<BrokerRoute>& brokers = known->second.route.brokers;
  return std::any_of(brokers.begin(), brokers.end(),
                     [&source](const BrokerRoute& at) { return at.broker == source.broker; });
}

std::set<const SubscribeStream*> PullCore::WantedStreams() {
  std::set<const SubscribeStream*> wanted;
  for (const auto& [key, assignment] : assignments_) {
    if (!IsNamed(*assignment.source)) continue;
    wanted.insert(&assignment.master);
    if (assignment.slave != nullptr) wanted.insert(assignment.slave);
  }
  for (const auto& [binding, owed] : owed_) {
    if (IsNamed(*owed.source)) wanted.insert(&owed.master);
  }
  return wanted;
}

void PullCore::WantStreams() { streams_.SetWanted(WantedStreams()); }

absl::StatusOr<Route> PullCore::AwaitRoute(const std::string& topic) {
  const SteadyTime deadline = steady_clock::now() + options_.request_timeout;
  bool is_new = false;
  {
    MutexLock lock(mutex_);
    is_new = topics_.try_emplace(topic).second;
    ++topics_.at(topic).users;
  }
  if (is_new) connection_->routes().Follow(topic, this);
  MutexLock lock(mutex_);
  Known& known = topics_.at(topic);
  absl::Status status;
  for (bool in_time = true; status.ok(); in_time = changed_.WaitUntil(mutex_, deadline)) {
    if (closed_) status = Closed();
    if (known.is_routed && !known.route.brokers.empty()) break;
    if (known.is_routed) status.Update(known.route.status);
    if (!in_time) status.Update(absl::DeadlineExceededError("no broker answers"));
    if (!status.ok()) break;
  }
  if (status.ok()) return known.route;
  EndUse(topic);
  return status;
}

void PullCore::EndUse(const std::string& topic) {
  --topics_.at(topic).users;
  LeaveIfUnused(topic);
}

absl::Status PullCore::BeginAll(const std::string& topic, const Route& route, StartAt start,
                                const Filter& filter, Sources& begun) {
  for (const BrokerRoute& broker : route.brokers) {
    for (uint32_t queue = 0; queue < broker.queues; ++queue) {
      const Key key{topic, broker.broker, queue};
      if (assignments_.contains(key)) return AlreadyAssigned(topic, queue);
      begun.push_back(Begin(key, broker, filter, start).source);
    }
  }
  return absl::OkStatus();
}

absl::Status PullCore::AwaitAll(const Sources& begun) {
  for (const std::shared_ptr<FrameSource>& source : begun) {
    const Key key = KeyOf(*source);
    const auto found = assignments_.find(key);
    if (found == assignments_.end() || found->second.source != source) return AssignedAnew();
    const absl::Status status = Await(key, found->second.asked).status();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

void PullCore::Undo(const Sources& begun) {
  for (const std::shared_ptr<FrameSource>& source : begun) {
    const auto found = assignments_.find(KeyOf(*source));
    if (found == assignments_.end() || found->second.source != source) continue;
    Remove(found->second);
  }
}

absl::StatusOr<uint32_t> PullCore::AssignAll(std::string_view topic, StartAt start,
                                             const Filter& filter) {
  const std::string name(topic);
  const absl::StatusOr<Route> route = AwaitRoute(name);
  if (!route.ok()) return route.status();
  MutexLock lock(mutex_);
  Sources begun;
  absl::Status status = closed_ ? Closed() : BeginAll(name, *route, start, filter, begun);
  if (status.ok()) status = AwaitAll(begun);
  if (status.ok()) {
    Followed followed{filter, StartOfNewQueue(start), {}};
    for (const std::shared_ptr<FrameSource>& source : begun) {
      Seen& seen = followed.seen[source->broker];
      seen = {std::max(seen.queues, source->queue + 1), source->topic_id};
    }
    Followed& kept = followed_.insert_or_assign(name, std::move(followed)).first->second;
    AssignNew(name, topics_.at(name).route, kept);
  } else {
    Undo(begun);
  }
  EndUse(name);  // which forgets all of it, if everything was unassigned meanwhile
  if (!status.ok()) return status;
  return static_cast<uint32_t>(begun.size());
}

void PullCore::AssignNew(const std::string& topic, const Route& route, Followed& followed) {
  for (const BrokerRoute& broker : route.brokers) {
    Seen& seen = followed.seen.try_emplace(broker.broker, Seen{0, broker.topic_id}).first->second;
    // Another topic of the same name is none that was assigned.
    const bool is_another =
        broker.topic_id != 0 && seen.topic_id != 0 && broker.topic_id != seen.topic_id;
    for (; !is_another && seen.queues < broker.queues; ++seen.queues) {
      const Key key{topic, broker.broker, seen.queues};
      if (assignments_.contains(key)) continue;
      Begin(key, broker, followed.filter, followed.start).awaited = false;
    }
  }
}

bool PullCore::IsUsed(const std::string& topic, const std::string& broker) const {
  const auto assigned = assignments_.lower_bound(Key{topic, broker, 0});
  if (assigned != assignments_.end() && std::get<0>(assigned->first) == topic &&
      std::get<1>(assigned->first) == broker) {
    return true;
  }
  return std::any_of(owed_.begin(), owed_.end(), [&](const auto& owed) {
    const FrameSource& source = *owed.second.source;
    return source.topic == topic && source.broker == broker;
  });
}

void PullCore::OnRoute(const std::string& topic, const Route& route) {
  MutexLock lock(mutex_);
  const auto known = topics_.find(topic);
  if (closed_ || known == topics_.end()) return;
  known->second.is_routed = true;
  known->second.route = route;
  changed_.SignalAll();
  for (const BrokerRoute& broker : route.brokers) {
    if (IsUsed(topic, broker.broker)) streams_.At(broker);
  }
  LeaveFormerSlaves(topic, route);
  const auto followed = followed_.find(topic);
  if (followed != followed_.end()) AssignNew(topic, route, followed->second);
  WantStreams();
}

}  // namespace dunlin::internal
