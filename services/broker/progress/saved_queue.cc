#include "services/broker/progress/saved_queue.h"

#include "absl/container/flat_hash_set.h"

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/clock.h"
#include "services/broker/progress/concurrent_queue.h"

namespace dunlin::broker {

void FillRow(const RowName& name, const GroupQueue& queue, storage::v1::QueueProgress& row) {
  row.set_group_id(name.group.value());
  row.set_topic_id(name.queue.topic.value());
  row.set_queue(name.queue.queue);
  row.set_cursor(queue.cursor().value());
  uint64_t previous = 0;
  for (const auto& [offset, entry] : queue.in_flight()) {
    row.add_offset_deltas(offset.value() - previous);
    previous = offset.value();
    row.add_attempts(entry.attempts);
    row.add_visible_at_ms(ToUnixMillis(entry.visible_at));
    row.add_lease_ids(entry.lease_id);
    if (!queue.ordered()) continue;
    row.add_lanes(entry.lane);
    row.add_acknowledged(entry.acknowledged);
  }
}

std::unique_ptr<GroupQueue> NewQueue(bool ordered, QueueOffset cursor,
                                     const OrderedQueue::Limits& limits) {
  if (!ordered) return std::make_unique<ConcurrentQueue>(cursor);
  return std::make_unique<OrderedQueue>(cursor, limits);
}

std::unique_ptr<GroupQueue> ToQueue(const storage::v1::QueueProgress& row,
                                    const OrderedQueue::Limits& limits) {
  const bool ordered = row.lanes_size() > 0;
  std::unique_ptr<GroupQueue> queue = NewQueue(ordered, QueueOffset(row.cursor()), limits);
  absl::flat_hash_set<uint32_t> lanes;
  uint64_t offset = 0;
  for (int i = 0; i < row.offset_deltas_size(); ++i) {
    offset += row.offset_deltas(i);
    GroupQueue::InFlight entry;
    entry.attempts = row.attempts(i);
    entry.visible_at = FromUnixMillis(row.visible_at_ms(i));
    entry.lease_id = row.lease_ids(i);
    if (ordered) {
      entry.lane = row.lanes(i);
      entry.acknowledged = row.acknowledged(i);
      // Done: what came before it has become a dead letter.
      if (entry.acknowledged && !lanes.contains(entry.lane)) continue;
      lanes.insert(entry.lane);
    }
    queue->Restore(QueueOffset(offset), entry);
  }
  return queue;
}

}  // namespace dunlin::broker
