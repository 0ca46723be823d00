// The queues of a topic one by one, as QueryRoute and QueryAssignment name them. Pure.

#pragma once

#include <cstdint>
#include <vector>

#include "proto/apache/rocketmq/v2/definition.pb.h"

namespace dunlin::nameservice {

// The queues of a topic at one broker group.
struct QueuesAt {
  apache::rocketmq::v2::MessageQueue queue;  // each of them, but for its id
  uint32_t queues = 0;
  uint32_t write_queues = 0;  // the others may only be read from
};

// More than this one answer does not name: no client could take it.
inline constexpr uint64_t kMaxQueuesPerAnswer = 262'144;
uint64_t CountQueues(const std::vector<QueuesAt>& groups);

// By turns: clients go through the queues in this order, and are to meet all brokers soon.
std::vector<apache::rocketmq::v2::MessageQueue> QueuesByTurns(const std::vector<QueuesAt>& groups);

// Without the bit for writing.
apache::rocketmq::v2::Permission ReadOnly(apache::rocketmq::v2::Permission permission);

}  // namespace dunlin::nameservice
