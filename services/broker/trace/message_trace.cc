#include "services/broker/trace/message_trace.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"

namespace dunlin::broker {
namespace {

// Clients come and go: of so many the names are kept, and half of them at least.
constexpr size_t kMaxNames = 65'536;

}  // namespace

MessageTrace::MessageTrace(size_t max_events, const Clock& clock)
    : shard_events_((max_events + kShards - 1) / kShards), clock_(clock) {}

size_t MessageTrace::ShardOf(QueueKey queue) { return absl::HashOf(queue) % kShards; }

uint32_t MessageTrace::NumberOf(std::string_view client_id) {
  if (!enabled()) return 0;
  MutexLock lock(names_mutex_);
  const auto found = numbers_.find(client_id);
  if (found != numbers_.end()) return found->second;
  if (names_.size() >= kMaxNames) {
    for (size_t i = 0; i < kMaxNames / 2; ++i) {
      numbers_.erase(names_.front());
      names_.pop_front();
      ++first_name_;
    }
  }
  const uint32_t number = first_name_ + static_cast<uint32_t>(names_.size());
  names_.emplace_back(client_id);
  numbers_.emplace(client_id, number);
  return number;
}

std::string MessageTrace::NameOf(uint32_t number) const {
  const size_t place = static_cast<uint32_t>(number - first_name_);
  return place < names_.size() ? names_[place] : std::string();
}

void MessageTrace::Note(TraceStep step, QueueKey queue, QueueOffset first, uint32_t count,
                        const TraceActor& actor) {
  if (!enabled() || count == 0) return;
  Kept kept;
  kept.queue = queue;
  kept.first = first;
  kept.time = clock_.Now();
  kept.count = count;
  kept.attempt = actor.attempt;
  kept.client = actor.client;
  kept.group = actor.group;
  kept.step = step;
  Shard& shard = shards_[ShardOf(queue)];
  MutexLock lock(shard.mutex);
  if (shard.ring.size() < shard_events_) {
    shard.ring.push_back(kept);
    return;
  }
  shard.ring[shard.next] = kept;
  shard.next = (shard.next + 1) % shard_events_;
}

std::vector<TraceEvent> MessageTrace::Find(QueueKey queue, QueueOffset offset) const {
  std::vector<Kept> found;
  {
    const Shard& shard = shards_[ShardOf(queue)];
    MutexLock lock(shard.mutex);
    for (size_t i = 0; i < shard.ring.size(); ++i) {
      const Kept& kept = shard.ring[(shard.next + i) % shard.ring.size()];
      if (kept.queue != queue || offset < kept.first || offset - kept.first >= kept.count) continue;
      found.push_back(kept);
    }
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Kept& a, const Kept& b) { return a.time < b.time; });
  std::vector<TraceEvent> events;
  MutexLock lock(names_mutex_);
  for (const Kept& kept : found) {
    events.push_back({kept.step, kept.time, NameOf(kept.client), kept.group, kept.attempt});
  }
  return events;
}

}  // namespace dunlin::broker
