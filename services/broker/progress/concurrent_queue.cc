#include "services/broker/progress/concurrent_queue.h"

#include <utility>

#include "services/base/check.h"

namespace dunlin::broker {

const GroupQueue::Entry* ConcurrentQueue::Redeliver(const Terms& terms) {
  if (by_end_.empty() || by_end_.begin()->first > terms.now) return nullptr;
  auto found = in_flight_.find(by_end_.begin()->second);
  CHECK(found != in_flight_.end());
  Lease(*found, terms);
  ++found->second.attempts;
  return &*found;
}

const GroupQueue::Entry* ConcurrentQueue::DeliverNext(const Terms& terms) {
  InFlight entry;
  entry.attempts = 1;
  entry.visible_at = terms.visible_at;
  entry.lease_id = terms.lease_id;
  entry.renewed_for = terms.renewed_for;
  entry.leased_at = terms.now;
  return &Add(std::move(entry));
}

const GroupQueue::Entry* ConcurrentQueue::Claim(QueueOffset offset, const Terms& terms) {
  while (cursor_ < offset) {
    InFlight passed;  // never delivered, and free at once
    passed.visible_at = terms.now;
    passed.lease_id = terms.lease_id;
    Add(std::move(passed));
  }
  if (cursor_ == offset) return DeliverNext(terms);
  auto found = in_flight_.find(offset);
  if (found == in_flight_.end() || found->second.visible_at > terms.now) return nullptr;
  Lease(*found, terms);
  ++found->second.attempts;
  return &*found;
}

}  // namespace dunlin::broker
