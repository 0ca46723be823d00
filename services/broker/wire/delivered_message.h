// MakeDelivered: the bytes of a message on its way to a consumer, mostly those in the log.
//
// A stored message and what the server has to say about this delivery become one serialised
// Message. Body and user properties are a view into the log; only the topic and the small
// system_properties field are written anew, so that every field occurs once: some parsers replace a
// sub-message that comes twice instead of merging it.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/broker/wire/message_properties.h"

namespace dunlin::broker {

// What a delivery says over the stored message.
struct Overlay {
  // The topic as the consumer knows it.
  std::string_view topic_namespace;
  std::string_view topic_name;
  int32_t queue_id = 0;
  int64_t queue_offset = 0;
  Timestamp store_time;
  std::string_view store_host;
  std::string_view receipt_handle;  // empty: none
  int32_t delivery_attempt = 1;
  std::optional<std::chrono::milliseconds> invisible_duration;
  // Shown when the producer did not say where the message was born, or when, or how it is called.
  std::string_view born_host;
  Timestamp born_time;
  std::string_view message_id;
  // Shown instead of the message's own kind, or NORMAL instead of TRANSACTION.
  std::optional<MessageKind> kind;
  // Of a dead letter: the topic it came from. Empty: it is none.
  std::string_view dead_letter_topic;
};

// `head`, `middle` and `tail` one after the other are a serialised ReceiveMessageResponse, and as
// well a PullMessageResponse, that holds the message: field 2 in both.
struct DeliveredMessage {
  std::string head;
  std::string_view middle;  // into the payload
  std::string tail;
};

// `payload` is a stored one (docs/decisions/0002-stored-message-layout.md) whose system_properties
// field begins at `properties_offset`. Always shown: the MD5 of the body, an encoding and a kind
// that are specified. DATA_LOSS when the payload is malformed.
absl::StatusOr<DeliveredMessage> MakeDelivered(std::string_view payload, uint32_t properties_offset,
                                               const Overlay& overlay);

// MD5 of `bytes` in upper-case hexadecimal.
std::string Md5Hex(std::string_view bytes);

}  // namespace dunlin::broker
