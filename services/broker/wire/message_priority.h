// Where a priority belongs: the same for every client and every server that reads the wire contract
// (docs/priority.md).

#pragma once

#include <algorithm>
#include <cstdint>

namespace dunlin::broker {

// The queue of a topic with `queues` of them that holds the messages of a priority of 0 or more:
// the higher, the more urgent. What is above the last queue shares it.
inline uint32_t QueueOfPriority(int32_t priority, uint32_t queues) {
  return std::min(static_cast<uint32_t>(priority), queues - 1);
}

}  // namespace dunlin::broker
