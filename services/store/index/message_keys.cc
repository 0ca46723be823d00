#include "services/store/index/message_keys.h"

#include <fmt/format.h>

#include <optional>

namespace dunlin::store {
namespace {

// Field numbers of apache.rocketmq.v2: Message.system_properties; SystemProperties.tag, keys,
// message_id.
constexpr uint64_t kSystemProperties = 3;
constexpr uint64_t kTag = 1;
constexpr uint64_t kKeys = 2;
constexpr uint64_t kMessageId = 3;

// What stands for properties that the producer left out.
constexpr std::string_view kNoProperties("\x1a\x00", 2);

constexpr uint64_t kVarint = 0;
constexpr uint64_t kFixed64 = 1;
constexpr uint64_t kBytes = 2;
constexpr uint64_t kFixed32 = 5;

std::optional<uint64_t> TakeVarint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

std::optional<std::string_view> Take(std::string_view& bytes, uint64_t length) {
  if (length > bytes.size()) return std::nullopt;
  const std::string_view taken = bytes.substr(0, length);
  bytes.remove_prefix(length);
  return taken;
}

// The field's bytes for a length-delimited one, nothing else of interest for the others.
std::optional<std::string_view> TakeField(std::string_view& bytes, uint64_t wire_type) {
  switch (wire_type) {
    case kVarint:
      return TakeVarint(bytes).has_value() ? std::optional<std::string_view>("") : std::nullopt;
    case kFixed64:
      return Take(bytes, 8);
    case kFixed32:
      return Take(bytes, 4);
    case kBytes: {
      const std::optional<uint64_t> length = TakeVarint(bytes);
      return length.has_value() ? Take(bytes, *length) : std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

absl::Status Malformed() {
  return absl::DataLossError("the system properties of a stored message cannot be decoded");
}

}  // namespace

absl::StatusOr<MessageKeys> ReadMessageKeys(std::string_view payload, uint32_t properties_offset) {
  MessageKeys found;
  if (properties_offset > payload.size()) return Malformed();
  std::string_view rest = payload.substr(properties_offset);
  if (rest.empty() || rest == kNoProperties) return found;
  const std::optional<uint64_t> outer = TakeVarint(rest);
  if (!outer.has_value() || *outer >> 3 != kSystemProperties || (*outer & 7) != kBytes) {
    return Malformed();
  }
  std::optional<std::string_view> properties = TakeField(rest, kBytes);
  if (!properties.has_value()) return Malformed();
  while (!properties->empty()) {
    const std::optional<uint64_t> tag = TakeVarint(*properties);
    if (!tag.has_value()) return Malformed();
    const std::optional<std::string_view> value = TakeField(*properties, *tag & 7);
    if (!value.has_value()) return Malformed();
    if ((*tag & 7) != kBytes) continue;
    if (*tag >> 3 == kTag) found.tag = *value;
    if (*tag >> 3 == kKeys) found.keys.push_back(*value);
    if (*tag >> 3 == kMessageId) found.message_id = *value;
  }
  return found;
}

}  // namespace dunlin::store
