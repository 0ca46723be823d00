// ScanSend: a serialised SendMessageRequest as views, each message with the bytes that are stored
// for it. No protobuf parse and no copy on the way that every SDK's requests take.
//
// Checks form only: what the values may be is admission's business.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"

#include "services/broker/wire/message_properties.h"

namespace dunlin::broker {

// More messages than this in one request are not looked at: see RawSend::too_many.
inline constexpr size_t kMaxMessagesPerSend = 4096;
// Nor are messages behind so many user properties and keys: a view takes more room than an empty
// property takes in a request.
inline constexpr size_t kMaxPropertiesPerSend = size_t{1} << 19;
// Of one message, this many and one are kept, enough to refuse it.
inline constexpr size_t kMaxUserPropertiesKept = 65'536;

struct UserProperty {
  std::string_view key;
  std::string_view value;
};

struct RawMessage : MessageProperties {
  std::string_view topic_namespace;
  std::string_view topic_name;
  absl::InlinedVector<UserProperty, 4> user_properties;
  std::string_view body;

  // What is stored (docs/decisions/0002-stored-message-layout.md): a serialised Message, in pieces.
  absl::InlinedVector<std::string_view, 6> payload;
  size_t payload_size = 0;
  uint32_t properties_offset = 0;  // of the system_properties field in it
};

// Rebuilt length prefixes, and messages that had to be put in order.
using OwnedBytes = absl::InlinedVector<std::unique_ptr<char[]>, 1>;

// Views point into the request, or into what RawSend owns; they stay valid when it is moved.
struct RawSend {
  absl::InlinedVector<RawMessage, 1> messages;
  // The request has more messages or properties than the limits above; the rest is not here.
  bool too_many = false;

  OwnedBytes owned;
};

// One serialised Message; `bytes` and what is added to `owned` must outlive `message`, which is
// reset first. INVALID_ARGUMENT as ScanSend.
absl::Status ScanOneMessage(std::string_view bytes, RawMessage& message, OwnedBytes& owned);

// `request` must outlive the result. INVALID_ARGUMENT when the bytes are not a SendMessageRequest:
// malformed, a string that is not UTF-8, or a known field of another type.
absl::StatusOr<RawSend> ScanSend(std::string_view request);

}  // namespace dunlin::broker
