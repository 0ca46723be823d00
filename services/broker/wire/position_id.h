// PositionId: the id of a message that came without one, made of the place where it is stored.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "services/base/strong_int.h"

namespace dunlin::broker {

struct Position {
  QueueKey queue;
  QueueOffset offset;
};

// 32 upper-case hexadecimal digits: topic u32, queue u32, offset u64. Ids of SDKs have 34.
std::string PositionId(const Position& position);

// nullopt when `id` is none of those.
std::optional<Position> ParsePositionId(std::string_view id);

}  // namespace dunlin::broker
