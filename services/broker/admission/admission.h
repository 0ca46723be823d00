// Admission: whether what a producer sends may be stored, or precisely why not. Pure: no topic
// table, no clock of its own, no state; any thread.
//
// Errors carry the public code of the SendMessage rule that is broken and name the message, the
// value, the limit and the way out. Whether the topic exists, may be written to and takes the kind
// is the caller's to find out; CheckKind helps with the last.

#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"

#include "services/base/clock.h"
#include "services/broker/wire/message_properties.h"
#include "services/broker/wire/send_scanner.h"

namespace dunlin::config::v1 {
class BrokerConfig;
}

namespace dunlin::broker {

// What RocketMQ allows, unless configured otherwise.
struct Limits {
  size_t max_body_bytes = size_t{4} << 20;
  size_t max_user_properties = 128;
  size_t max_properties_bytes = size_t{16} << 10;  // user properties, tag and keys together
  size_t max_message_group_bytes = 63;
  size_t max_lite_topic_bytes = 64;
  std::chrono::milliseconds max_delay = std::chrono::hours(24);
  std::chrono::milliseconds max_recovery = std::chrono::hours(1);
};

Limits LimitsOf(const config::v1::BrokerConfig& config);
// Of streams, whose producers may look further ahead.
Limits StreamLimitsOf(const config::v1::BrokerConfig& config);

// Every rule for the request as a whole and for each of its messages; the first broken one counts.
absl::Status AdmitSend(const RawSend& send, const Limits& limits, Timestamp now);

// The rules for one message, apart from those for its topic. Without `id_required` it may leave its
// id to the server.
absl::Status AdmitMessage(const RawMessage& message, const Limits& limits, Timestamp now,
                          bool id_required);

// Whether a topic that takes `accepted` (bits 1 << MessageKind) takes a message of `kind`.
// Error: MESSAGE_PROPERTY_CONFLICT_WITH_TYPE.
absl::Status CheckKind(MessageKind kind, uint32_t accepted, std::string_view topic);

// Keys that user properties may not have: RocketMQ keeps its own data under them.
bool IsReservedPropertyKey(std::string_view key);

}  // namespace dunlin::broker
