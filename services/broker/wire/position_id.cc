#include "services/broker/wire/position_id.h"

#include <fmt/format.h>

#include <charconv>

namespace dunlin::broker {
namespace {

constexpr size_t kDigits = 32;

template <typename Int>
bool ReadHex(std::string_view digits, Int& value) {
  // Lower-case digits and signs, which from_chars takes, are not ours.
  if (digits.find_first_not_of("0123456789ABCDEF") != std::string_view::npos) return false;
  const char* const end = digits.data() + digits.size();
  return std::from_chars(digits.data(), end, value, 16).ptr == end;
}

}  // namespace

std::string PositionId(const Position& position) {
  return fmt::format("{:08X}{:08X}{:016X}", position.queue.topic.value(), position.queue.queue,
                     position.offset.value());
}

std::optional<Position> ParsePositionId(std::string_view id) {
  uint32_t topic = 0;
  uint32_t queue = 0;
  uint64_t offset = 0;
  if (id.size() != kDigits || !ReadHex(id.substr(0, 8), topic) ||
      !ReadHex(id.substr(8, 8), queue) || !ReadHex(id.substr(16), offset)) {
    return std::nullopt;
  }
  return Position{{TopicId(topic), queue}, QueueOffset(offset)};
}

}  // namespace dunlin::broker
