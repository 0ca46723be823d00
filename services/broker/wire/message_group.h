// Where a message group belongs: the same for every client and every server that reads the wire
// contract (docs/fifo.md).

#pragma once

#include <cstdint>
#include <string_view>

#include "services/base/crc32c.h"

namespace dunlin::broker {

// 0 for no group.
inline uint32_t HashMessageGroup(std::string_view group) { return Crc32c(group); }

// The queue of a topic with `queues` of them that holds all messages of a group.
inline uint32_t QueueOfMessageGroup(std::string_view group, uint32_t queues) {
  return HashMessageGroup(group) % queues;
}

}  // namespace dunlin::broker
