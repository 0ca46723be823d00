// MessageProperties: what the server reads of a message's system_properties, as views.
//
// The numbers of their fields are named here too, for those who write them.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/container/inlined_vector.h"

#include "services/base/clock.h"

namespace dunlin::broker {

// apache.rocketmq.v2.MessageType, without the unspecified one.
enum class MessageKind : int32_t {
  kNormal = 1,
  kFifo = 2,
  kDelay = 3,
  kTransaction = 4,
  kLite = 5,
  kPriority = 6,
};

// Numbers of apache.rocketmq.v2.SystemProperties.
namespace property {
inline constexpr uint32_t kTag = 1;
inline constexpr uint32_t kKeys = 2;
inline constexpr uint32_t kMessageId = 3;
inline constexpr uint32_t kBodyDigest = 4;
inline constexpr uint32_t kBodyEncoding = 5;
inline constexpr uint32_t kMessageType = 6;
inline constexpr uint32_t kBornTimestamp = 7;
inline constexpr uint32_t kBornHost = 8;
inline constexpr uint32_t kStoreTimestamp = 9;
inline constexpr uint32_t kStoreHost = 10;
inline constexpr uint32_t kDeliveryTimestamp = 11;
inline constexpr uint32_t kReceiptHandle = 12;
inline constexpr uint32_t kQueueId = 13;
inline constexpr uint32_t kQueueOffset = 14;
inline constexpr uint32_t kInvisibleDuration = 15;
inline constexpr uint32_t kDeliveryAttempt = 16;
inline constexpr uint32_t kMessageGroup = 17;
inline constexpr uint32_t kTraceContext = 18;
inline constexpr uint32_t kRecoveryDuration = 19;
inline constexpr uint32_t kDeadLetterQueue = 20;
inline constexpr uint32_t kLiteTopic = 21;
inline constexpr uint32_t kPriority = 22;
}  // namespace property

// apache.rocketmq.v2.Encoding.
inline constexpr int32_t kEncodingIdentity = 1;
inline constexpr int32_t kEncodingGzip = 2;

struct MessageProperties {
  std::string_view tag;
  absl::InlinedVector<std::string_view, 2> keys;
  std::string_view message_id;
  bool has_server_property = false;  // one of IsServerProperty
  bool has_body_digest = false;
  int32_t body_encoding = 0;
  bool gzip = false;  // body_encoding is GZIP
  int32_t message_type = 0;
  bool has_born_timestamp = false;
  std::string_view born_host;
  std::optional<Timestamp> delivery_time;  // clamped to the years 1 to 9999
  std::string_view message_group;
  std::string_view trace_context;
  std::optional<std::chrono::milliseconds> recovery_duration;
  std::string_view lite_topic;
  std::optional<int32_t> priority;
};

// The kind of a message follows from what it carries: TRANSACTION (which it must say), else DELAY,
// FIFO, PRIORITY, LITE by the property that makes it one, else NORMAL.
MessageKind KindOf(const MessageProperties& properties);

// `NORMAL` and so on.
std::string_view NameOf(MessageKind kind);

// Fields that only the server writes; what a producer sent of them is not stored.
constexpr bool IsServerProperty(uint32_t number) {
  switch (number) {
    case property::kStoreTimestamp:
    case property::kStoreHost:
    case property::kReceiptHandle:
    case property::kQueueId:
    case property::kQueueOffset:
    case property::kInvisibleDuration:
    case property::kDeliveryAttempt:
    case property::kDeadLetterQueue:
      return true;
    default:
      return false;
  }
}

enum class PropertyScan {
  kFine,
  kMalformed,  // not a serialised SystemProperties
  kRepeated,   // well-formed, but a field that is not repeated occurs twice
};

// Reads `bytes`, a serialised SystemProperties, into `properties` (reset first). Server properties
// are passed over unread. At most kMaxKeys + 1 keys are kept.
inline constexpr size_t kMaxKeys = 65'536;
PropertyScan ScanProperties(std::string_view bytes, MessageProperties& properties);

}  // namespace dunlin::broker
