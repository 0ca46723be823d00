#include "services/broker/progress/concurrent_queue.h"

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
  Entry& added = Add({});
  Lease(added, terms);
  added.second.attempts = 1;
  return &added;
}

}  // namespace dunlin::broker
