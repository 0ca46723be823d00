#include "services/broker/progress/group_queue.h"

#include <algorithm>
#include <vector>

#include "services/base/check.h"

namespace dunlin::broker {

std::optional<Timestamp> GroupQueue::NextVisible() const {
  if (by_end_.empty()) return std::nullopt;
  return by_end_.begin()->first;
}

std::optional<Timestamp> GroupQueue::NextVisibleAfter(Timestamp now) const {
  auto after = by_end_.lower_bound({now + std::chrono::milliseconds(1), QueueOffset(0)});
  if (after == by_end_.end()) return std::nullopt;
  return after->first;
}

GroupQueue::Counts GroupQueue::Count(Timestamp now) const {
  Counts counts;
  for (auto end = by_end_.begin(); end != by_end_.end() && end->first <= now; ++end) ++counts.ended;
  counts.leased = by_end_.size() - counts.ended;
  return counts;
}

void GroupQueue::Restore(QueueOffset offset, const InFlight& entry) {
  CHECK(offset < cursor_);
  const auto [added, is_new] = in_flight_.emplace(offset, entry);
  if (!is_new) return;
  if (!entry.waits() && !entry.acknowledged) by_end_.emplace(entry.visible_at, offset);
  Entering(*added);
}

void GroupQueue::Erase(std::map<QueueOffset, InFlight>::iterator entry) {
  Leaving(*entry);
  EndLease(*entry);
  in_flight_.erase(entry);
}

void GroupQueue::Expire(QueueOffset min, Timestamp now) {
  std::set<uint32_t> lanes;
  while (!in_flight_.empty() && in_flight_.begin()->first < min) {
    lanes.insert(in_flight_.begin()->second.lane);
    Erase(in_flight_.begin());
  }
  if (cursor_ < min) cursor_ = min;
  for (uint32_t lane : lanes) Touched(lane, now);
}

void GroupQueue::Reset(QueueOffset cursor) {
  Clear();
  in_flight_.clear();
  by_end_.clear();
  cursor_ = cursor;
}

uint64_t GroupQueue::Skip(uint64_t count, QueueOffset end, Timestamp now) {
  uint64_t skipped = 0;
  std::set<uint32_t> lanes;
  while (skipped < count && !in_flight_.empty() && in_flight_.begin()->first < end) {
    const InFlight& first = in_flight_.begin()->second;
    if (!first.acknowledged) ++skipped;
    lanes.insert(first.lane);
    Erase(in_flight_.begin());
  }
  for (uint32_t lane : lanes) Touched(lane, now);
  if (skipped == count || cursor_ >= end) return skipped;
  const uint64_t more = std::min<uint64_t>(count - skipped, end - cursor_);
  cursor_ = cursor_ + more;
  return skipped + more;
}

GroupQueue::Entry& GroupQueue::Add(InFlight entry) {
  // Nothing is behind the cursor, and leases mostly end in the order in which they began.
  if (!entry.waits()) by_end_.emplace_hint(by_end_.end(), entry.visible_at, cursor_);
  Entry& added = *in_flight_.emplace_hint(in_flight_.end(), cursor_, std::move(entry));
  ++cursor_;
  return added;
}

void GroupQueue::Move(Entry& entry, Timestamp visible_at) {
  EndLease(entry);
  entry.second.visible_at = visible_at;
  by_end_.emplace(visible_at, entry.first);
}

void GroupQueue::Lease(Entry& entry, const Terms& terms) {
  Move(entry, terms.visible_at);
  entry.second.lease_id = terms.lease_id;
  entry.second.renewed_for = terms.renewed_for;
  entry.second.leased_at = terms.now;
}

const GroupQueue::Entry* GroupQueue::FindLease(QueueOffset offset, uint64_t lease_id) const {
  auto found = in_flight_.find(offset);
  return found != in_flight_.end() && found->second.lease_id == lease_id ? &*found : nullptr;
}

void GroupQueue::Acknowledge(QueueOffset offset, Timestamp now) { Finish(offset, now); }

bool GroupQueue::Finish(QueueOffset offset, Timestamp now) {
  auto found = in_flight_.find(offset);
  if (found == in_flight_.end()) return false;
  const uint32_t lane = found->second.lane;
  Erase(found);
  Touched(lane, now);
  return true;
}

void GroupQueue::Change(QueueOffset offset, const Terms& terms, bool uncount) {
  auto found = in_flight_.find(offset);
  CHECK(found != in_flight_.end());
  Lease(*found, terms);
  if (uncount && found->second.attempts > 0) --found->second.attempts;
  Touched(found->second.lane, terms.now);
}

size_t GroupQueue::Renew(const Renewal& renewal,
                         const std::function<bool(std::string_view)>& is_alive) {
  std::vector<QueueOffset> ending;
  for (auto end = by_end_.begin(); end != by_end_.end() && end->first <= renewal.until; ++end) {
    if (end->first > renewal.now) ending.push_back(end->second);
  }
  size_t renewed = 0;
  std::set<uint32_t> lanes;  // each is looked at once, when all of it has changed
  for (QueueOffset offset : ending) {
    Entry& entry = *in_flight_.find(offset);
    InFlight& flight = entry.second;
    if (flight.renewed_for == nullptr || !is_alive(*flight.renewed_for)) continue;
    const Timestamp last = flight.leased_at + renewal.total;
    Timestamp extended = std::min(renewal.now + renewal.step, last);
    if (flight.visible_at >= last) {
      // Held for as long as may be: what failed is tried again after the delay of its group.
      flight.renewed_for = nullptr;
      extended = flight.visible_at + renewal.retry_delay(flight.attempts);
    }
    if (extended <= flight.visible_at) continue;
    Move(entry, extended);
    lanes.insert(flight.lane);
    ++renewed;
  }
  for (uint32_t lane : lanes) Touched(lane, renewal.now);
  return renewed;
}

size_t GroupQueue::Release(const absl::flat_hash_set<std::string>& clients, Timestamp now,
                           Timestamp at) {
  size_t released = 0;
  std::set<uint32_t> lanes;
  for (Entry& entry : in_flight_) {
    const Client& client = entry.second.renewed_for;
    if (client == nullptr || !clients.contains(*client)) continue;
    entry.second.renewed_for = nullptr;
    ++released;
    if (entry.second.visible_at <= at) continue;
    Move(entry, at);
    lanes.insert(entry.second.lane);
  }
  for (uint32_t lane : lanes) Touched(lane, now);
  return released;
}

}  // namespace dunlin::broker
