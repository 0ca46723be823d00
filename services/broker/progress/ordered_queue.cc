#include "services/broker/progress/ordered_queue.h"

#include <algorithm>

#include "services/base/check.h"

namespace dunlin::broker {

std::optional<Timestamp> OrderedQueue::NextVisible() const {
  // A lane that is free by an acknowledgement has no lease; one whose messages come back at
  // different times has leases that end, and may be renewed, before it is free.
  std::optional<Timestamp> next = GroupQueue::NextVisible();
  if (by_ready_.empty()) return next;
  const Timestamp ready = by_ready_.begin()->first;
  return next.has_value() ? std::min(*next, ready) : ready;
}

void OrderedQueue::Entering(Entry& entry) {
  Lane& lane = lanes_[entry.second.lane];
  lane.entries.push_back(&entry);
  if (entry.second.waits()) ++waiting_;
  Timestamp ready;
  for (const Entry* member : lane.entries) {
    if (!member->second.acknowledged) ready = std::max(ready, member->second.visible_at);
  }
  SetReady(entry.second.lane, lane, ready);
}

void OrderedQueue::Leaving(Entry& entry) {
  if (full_) unlocked_ = true;
  full_ = false;
  if (entry.second.waits()) --waiting_;
  auto lane = lanes_.find(entry.second.lane);
  CHECK(lane != lanes_.end());
  std::vector<Entry*>& entries = lane->second.entries;
  auto found = std::find(entries.begin(), entries.end(), &entry);
  CHECK(found != entries.end());
  entries.erase(found);
}

void OrderedQueue::Clear() {
  lanes_.clear();
  by_ready_.clear();
  attempts_.clear();
  waiting_ = 0;
  full_ = false;
}

void OrderedQueue::SetReady(uint32_t id, Lane& lane, Timestamp ready_at) {
  by_ready_.erase({lane.ready_at, id});
  lane.ready_at = ready_at;
  by_ready_.emplace(ready_at, id);
}

void OrderedQueue::SetAttempt(uint32_t id, Lane& lane, std::string_view attempt) {
  if (lane.attempt == attempt) return;
  if (!lane.attempt.empty()) {
    auto old = attempts_.find(lane.attempt);
    CHECK(old != attempts_.end());
    old->second.erase(std::find(old->second.begin(), old->second.end(), id));
    if (old->second.empty()) attempts_.erase(old);
  }
  lane.attempt = attempt;
  if (!attempt.empty()) attempts_[lane.attempt].push_back(id);
}

void OrderedQueue::Drop(uint32_t id) {
  auto lane = lanes_.find(id);
  SetAttempt(id, lane->second, "");
  by_ready_.erase({lane->second.ready_at, id});
  lanes_.erase(lane);
}

void OrderedQueue::Touched(uint32_t id, Timestamp now) {
  auto found = lanes_.find(id);
  if (found == lanes_.end()) return;
  Lane& lane = found->second;
  size_t done = 0;
  while (done < lane.entries.size() && lane.entries[done]->second.acknowledged) ++done;
  for (size_t i = 0; i < done; ++i) in_flight_.erase(lane.entries[i]->first);
  lane.entries.erase(lane.entries.begin(), lane.entries.begin() + static_cast<ptrdiff_t>(done));
  if (done > 0 && full_) {
    unlocked_ = true;
    full_ = false;
  }
  if (lane.entries.empty()) return Drop(id);
  Timestamp ready;
  for (const Entry* entry : lane.entries) {
    if (entry->second.waits()) break;
    if (!entry->second.acknowledged) ready = std::max(ready, entry->second.visible_at);
  }
  // Free lanes stand in the order in which they became free, so that none starves another.
  if (ready <= now) {
    if (lane.ready_at > now) unlocked_ = true;
    ready = std::min(lane.ready_at, now);
  }
  SetReady(id, lane, ready);
}

void OrderedQueue::Deliver(Entry& entry, const Take& take, std::vector<Delivered>& out) {
  if (entry.second.waits()) --waiting_;
  entry.second.acknowledged = false;
  Lease(entry, take.lease);
  out.push_back({&entry, false});
}

void OrderedQueue::Repeat(const Take& take, std::vector<Delivered>& out) {
  auto found = attempts_.find(take.attempt);
  if (found == attempts_.end()) return;
  for (uint32_t id : found->second) {
    Lane& lane = lanes_.find(id)->second;
    if (lane.ready_at <= take.lease.now) continue;  // free for everybody: an attempt more
    for (Entry* entry : lane.entries) {
      if (entry->second.waits() || out.size() >= take.limit) break;
      Deliver(*entry, take, out);
      entry->second.attempts = std::max<uint32_t>(entry->second.attempts, 1);
    }
    Touched(id, take.lease.now);
  }
}

void OrderedQueue::DeliverReady(const Take& take, std::vector<Delivered>& out) {
  while (out.size() < take.limit && !by_ready_.empty() &&
         by_ready_.begin()->first <= take.lease.now) {
    const uint32_t id = by_ready_.begin()->second;
    DeliverLane(id, lanes_.find(id)->second, take, out);
    Touched(id, take.lease.now);
  }
}

void OrderedQueue::DeliverLane(uint32_t id, Lane& lane, const Take& take,
                               std::vector<Delivered>& out) {
  Entry& front = *lane.entries.front();
  if (front.second.attempts >= take.max_attempts) {
    // Alone: what comes behind it waits until it is a dead letter.
    Terms dead = take.lease;
    dead.visible_at = take.dead_until;
    dead.renewed_for = nullptr;
    Lease(front, dead);
    SetAttempt(id, lane, "");
    out.push_back({&front, true});
    return;
  }
  SetAttempt(id, lane, take.attempt);
  const bool again = !front.second.waits();
  const size_t end = out.size() + std::min(take.lane_limit, take.limit - out.size());
  bool open = true;
  for (Entry* entry : lane.entries) {
    InFlight& state = entry->second;
    if (again && state.waits()) break;
    const bool exhausted = state.attempts >= take.max_attempts;
    if (exhausted && state.acknowledged) continue;  // consumed, and not to become a dead letter
    open = open && !exhausted && out.size() < end;
    if (open) {
      Deliver(*entry, take, out);
      ++state.attempts;
      continue;
    }
    if (!again) break;
    if (!state.acknowledged) continue;
    // Comes again behind those that go out now.
    state.acknowledged = false;
    Move(*entry, take.lease.now);
  }
}

void OrderedQueue::DeliverAhead(QueueOffset first, std::span<const LookedAt> ahead,
                                const Take& take, std::vector<Delivered>& out) {
  absl::flat_hash_map<uint32_t, size_t> begun;  // lanes of this call, and what each has given
  for (size_t i = 0; i < ahead.size(); ++i) {
    const QueueOffset offset = first + i;
    if (offset < cursor_) continue;
    if (offset != cursor_) break;
    if (ahead[i].passed_over) {
      ++cursor_;
      continue;
    }
    const uint32_t id = ahead[i].lane;
    const auto given = begun.find(id);
    const bool blocked =
        given != begun.end() ? given->second >= take.lane_limit : lanes_.contains(id);
    if (blocked ? waiting_ >= limits_.waiting : in_flight_.size() - waiting_ >= limits_.in_flight) {
      full_ = true;
      break;
    }
    if (!blocked && out.size() >= take.limit) break;
    InFlight state;
    state.lane = id;
    Entry& entry = Add(std::move(state));
    Lane& lane = lanes_[id];
    lane.entries.push_back(&entry);
    ++waiting_;
    if (blocked) continue;
    if (++begun[id] == 1) SetAttempt(id, lane, take.attempt);
    Deliver(entry, take, out);
    entry.second.attempts = 1;
  }
  for (const auto& [id, count] : begun) Touched(id, take.lease.now);
}

size_t OrderedQueue::Room() {
  if (waiting_ >= limits_.waiting || in_flight_.size() - waiting_ >= limits_.in_flight) {
    full_ = true;
    return 0;
  }
  return limits_.waiting - waiting_;
}

void OrderedQueue::Acknowledge(QueueOffset offset, Timestamp now) {
  auto found = in_flight_.find(offset);
  CHECK(found != in_flight_.end());
  EndLease(*found);
  found->second.acknowledged = true;
  found->second.renewed_for = nullptr;
  Touched(found->second.lane, now);
}

}  // namespace dunlin::broker
