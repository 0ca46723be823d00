#include "services/broker/progress/group_queue.h"

#include <algorithm>

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

size_t GroupQueue::CountVisible(Timestamp now) const {
  size_t count = 0;
  for (auto end = by_end_.begin(); end != by_end_.end() && end->first <= now; ++end) ++count;
  return count;
}

void GroupQueue::Restore(QueueOffset offset, const InFlight& entry) {
  CHECK(offset < cursor_);
  in_flight_[offset] = entry;
  by_end_.emplace(entry.visible_at, offset);
}

void GroupQueue::Expire(QueueOffset min) {
  while (!in_flight_.empty() && in_flight_.begin()->first < min) {
    by_end_.erase({in_flight_.begin()->second.visible_at, in_flight_.begin()->first});
    in_flight_.erase(in_flight_.begin());
  }
  if (cursor_ < min) cursor_ = min;
}

void GroupQueue::Reset(QueueOffset cursor) {
  in_flight_.clear();
  by_end_.clear();
  cursor_ = cursor;
}

void GroupQueue::Move(QueueOffset offset, InFlight& entry, Timestamp visible_at) {
  by_end_.erase({entry.visible_at, offset});
  entry.visible_at = visible_at;
  by_end_.emplace(visible_at, offset);
}

const GroupQueue::Entry* GroupQueue::Redeliver(const Terms& terms) {
  if (by_end_.empty() || by_end_.begin()->first > terms.now) return nullptr;
  auto found = in_flight_.find(by_end_.begin()->second);
  CHECK(found != in_flight_.end());
  Change(found->first, terms, /*uncount=*/false);
  ++found->second.attempts;
  return &*found;
}

const GroupQueue::Entry* GroupQueue::DeliverNext(const Terms& terms) {
  InFlight entry;
  entry.attempts = 1;
  entry.visible_at = terms.visible_at;
  entry.lease_id = terms.lease_id;
  entry.renewed_for = terms.renewed_for;
  entry.leased_at = terms.now;
  const auto added = in_flight_.emplace(cursor_, std::move(entry)).first;
  by_end_.emplace(terms.visible_at, cursor_);
  ++cursor_;
  return &*added;
}

const GroupQueue::Entry* GroupQueue::FindLease(QueueOffset offset, uint64_t lease_id) const {
  auto found = in_flight_.find(offset);
  return found != in_flight_.end() && found->second.lease_id == lease_id ? &*found : nullptr;
}

bool GroupQueue::Finish(QueueOffset offset) {
  auto found = in_flight_.find(offset);
  if (found == in_flight_.end()) return false;
  by_end_.erase({found->second.visible_at, offset});
  in_flight_.erase(found);
  return true;
}

void GroupQueue::Change(QueueOffset offset, const Terms& terms, bool uncount) {
  auto found = in_flight_.find(offset);
  CHECK(found != in_flight_.end());
  InFlight& entry = found->second;
  Move(offset, entry, terms.visible_at);
  entry.lease_id = terms.lease_id;
  entry.renewed_for = terms.renewed_for;
  entry.leased_at = terms.now;
  if (uncount && entry.attempts > 0) --entry.attempts;
}

size_t GroupQueue::Renew(Timestamp now, Timestamp until, std::chrono::milliseconds step,
                         std::chrono::milliseconds total,
                         const std::function<bool(std::string_view)>& is_alive) {
  std::vector<QueueOffset> ending;
  for (auto end = by_end_.begin(); end != by_end_.end() && end->first <= until; ++end) {
    if (end->first > now) ending.push_back(end->second);
  }
  size_t renewed = 0;
  for (QueueOffset offset : ending) {
    InFlight& entry = in_flight_.find(offset)->second;
    const Timestamp extended = std::min(now + step, entry.leased_at + total);
    if (entry.renewed_for == nullptr || extended <= entry.visible_at ||
        !is_alive(*entry.renewed_for)) {
      continue;
    }
    Move(offset, entry, extended);
    ++renewed;
  }
  return renewed;
}

size_t GroupQueue::Release(const std::string& client, Timestamp at) {
  size_t released = 0;
  for (auto& [offset, entry] : in_flight_) {
    if (entry.renewed_for == nullptr || *entry.renewed_for != client) continue;
    entry.renewed_for = nullptr;
    if (entry.visible_at > at) Move(offset, entry, at);
    ++released;
  }
  return released;
}

}  // namespace dunlin::broker
