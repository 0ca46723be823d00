// Field numbers of apache.rocketmq.v2.Message.

#pragma once

#include <cstdint>

namespace dunlin::broker::message_field {

inline constexpr uint32_t kTopic = 1;
inline constexpr uint32_t kUserProperties = 2;
inline constexpr uint32_t kSystemProperties = 3;
inline constexpr uint32_t kBody = 4;

}  // namespace dunlin::broker::message_field
