// BrokerMark: a broker's name in two bytes, for handles that have no room for more.
//
// Two names may have the same mark: it says where a handle is not from, and where to look first.

#pragma once

#include <cstdint>
#include <string_view>

#include "services/base/crc32c.h"

namespace dunlin::broker {

using BrokerMark = uint16_t;

// Of no broker: what has been made before there were marks.
inline constexpr BrokerMark kNoMark = 0;

inline BrokerMark MarkOf(std::string_view broker) {
  const uint32_t sum = Crc32c(broker);
  const auto mark = static_cast<BrokerMark>(sum ^ (sum >> 16));
  return mark == kNoMark ? 1 : mark;
}

}  // namespace dunlin::broker
