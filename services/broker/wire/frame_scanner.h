// FrameScanner: the requests of a Publish stream as views; a frame's messages with the bytes that
// are stored for them. No protobuf parse, and no copy.
//
// Checks form only: what the values may be is admission's business.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/broker/wire/send_scanner.h"

namespace dunlin::broker {

// One frame may hold so many messages.
inline constexpr size_t kMaxMessagesPerFrame = 65'536;

// A PublishRequest: exactly one of its cases.
struct RawPublish {
  enum class Case { kOpen, kBind, kFrame };
  Case which = Case::kOpen;
  std::string_view value;  // the serialised message of that case
};

// INVALID_ARGUMENT when the bytes are not a PublishRequest with one case set.
absl::StatusOr<RawPublish> ScanPublish(std::string_view request);

struct RawFrame {
  uint32_t binding = 0;
  uint64_t first_sequence = 0;
  std::vector<std::string_view> messages;  // serialised Message each
};

// Fills `frame` (its vector keeps its memory). INVALID_ARGUMENT when the bytes are not a
// PublishFrame, or it has no message or more than kMaxMessagesPerFrame.
absl::Status ScanFrame(std::string_view bytes, RawFrame& frame);

// One message of a frame: `message` as ScanOneMessage makes it, faster for those that are laid out
// as they are stored.
absl::Status ScanFramed(std::string_view bytes, RawMessage& message, OwnedBytes& owned);

}  // namespace dunlin::broker
