// A group's queue and its row: what a PROGRESS record holds of it. Pure.

#pragma once

#include <memory>

#include "services/base/strong_int.h"
#include "services/broker/progress/group_queue.h"
#include "services/broker/progress/ordered_queue.h"

namespace dunlin::storage::v1 {
class QueueProgress;
}  // namespace dunlin::storage::v1

namespace dunlin::broker {

// Everything below `cursor` is done. `limits` are those of an ordered one.
std::unique_ptr<GroupQueue> NewQueue(bool ordered, QueueOffset cursor,
                                     const OrderedQueue::Limits& limits);

struct RowName {
  GroupId group;
  QueueKey queue;
};
void FillRow(const RowName& name, const GroupQueue& queue, storage::v1::QueueProgress& row);
std::unique_ptr<GroupQueue> ToQueue(const storage::v1::QueueProgress& row,
                                    const OrderedQueue::Limits& limits);

}  // namespace dunlin::broker
