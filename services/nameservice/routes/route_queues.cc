#include "services/nameservice/routes/route_queues.h"

#include <algorithm>

namespace dunlin::nameservice {

namespace v2 = apache::rocketmq::v2;

uint64_t CountQueues(const std::vector<QueuesAt>& groups) {
  uint64_t queues = 0;
  for (const QueuesAt& group : groups) queues += group.queues;
  return queues;
}

std::vector<v2::MessageQueue> QueuesByTurns(const std::vector<QueuesAt>& groups) {
  std::vector<v2::MessageQueue> queues;
  queues.reserve(CountQueues(groups));
  uint32_t most = 0;
  for (const QueuesAt& group : groups) most = std::max(most, group.queues);
  for (uint32_t id = 0; id < most; ++id) {
    for (const QueuesAt& group : groups) {
      if (id >= group.queues) continue;
      v2::MessageQueue& added = queues.emplace_back(group.queue);
      added.set_id(static_cast<int32_t>(id));
      if (id >= group.write_queues) added.set_permission(ReadOnly(added.permission()));
    }
  }
  return queues;
}

v2::Permission ReadOnly(v2::Permission permission) {
  return permission == v2::READ || permission == v2::READ_WRITE ? v2::READ : v2::NONE;
}

}  // namespace dunlin::nameservice
