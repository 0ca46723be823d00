#include "services/broker/wire/message_properties.h"

#include <algorithm>

#include "services/broker/wire/utf8.h"
#include "services/broker/wire/wire_reader.h"

namespace dunlin::broker {
namespace {

constexpr int64_t kYear1Seconds = -62'135'596'800;
constexpr int64_t kYear9999Seconds = 253'402'300'799;
constexpr int64_t kNanosPerMilli = 1'000'000;

// A Timestamp or a Duration: seconds 1, nanos 2.
bool ScanMillis(std::string_view bytes, std::chrono::milliseconds& millis) {
  int64_t seconds = 0;
  int64_t nanos = 0;
  WireReader reader(bytes);
  WireField field;
  while (reader.Next(field)) {
    if (field.number > 2) continue;
    if (field.type != WireType::kVarint) return false;
    if (field.number == 1) seconds = static_cast<int64_t>(field.varint);
    if (field.number == 2) nanos = static_cast<int32_t>(field.varint);
  }
  seconds = std::clamp(seconds, kYear1Seconds, kYear9999Seconds);
  millis = std::chrono::milliseconds(seconds * 1000 + nanos / kNanosPerMilli);
  return reader.ok();
}

// A Digest: type 1, checksum 2. Only its form matters.
bool IsDigest(std::string_view bytes) {
  WireReader reader(bytes);
  WireField field;
  while (reader.Next(field)) {
    if (field.number == 1 && field.type != WireType::kVarint) return false;
    if (field.number == 2 && (field.type != WireType::kBytes || !IsUtf8(field.bytes))) return false;
  }
  return reader.ok();
}

bool ReadText(const WireField& field, std::string_view& text) {
  text = field.bytes;
  return field.type == WireType::kBytes && IsUtf8(field.bytes);
}

bool ReadInt(const WireField& field, int32_t& value) {
  value = static_cast<int32_t>(field.varint);
  return field.type == WireType::kVarint;
}

bool ReadKey(const WireField& field, MessageProperties& to) {
  if (field.type != WireType::kBytes || !IsUtf8(field.bytes)) return false;
  if (to.keys.size() <= kMaxKeys) to.keys.push_back(field.bytes);
  return true;
}

bool ReadMoment(const WireField& field, std::chrono::milliseconds& millis) {
  return field.type == WireType::kBytes && ScanMillis(field.bytes, millis);
}

// False when the field is not what its number promises.
bool ReadProperty(const WireField& field, MessageProperties& to) {
  std::chrono::milliseconds millis{0};
  switch (field.number) {
    case property::kTag:
      return ReadText(field, to.tag);
    case property::kKeys:
      return ReadKey(field, to);
    case property::kMessageId:
      return ReadText(field, to.message_id);
    case property::kBodyDigest:
      to.has_body_digest = true;
      return field.type == WireType::kBytes && IsDigest(field.bytes);
    case property::kBodyEncoding:
      if (!ReadInt(field, to.body_encoding)) return false;
      to.gzip = to.body_encoding == kEncodingGzip;
      return true;
    case property::kMessageType:
      return ReadInt(field, to.message_type);
    case property::kBornTimestamp:
      to.has_born_timestamp = true;
      return ReadMoment(field, millis);
    case property::kBornHost:
      return ReadText(field, to.born_host);
    case property::kDeliveryTimestamp:
      if (!ReadMoment(field, millis)) return false;
      to.delivery_time = Timestamp(millis);
      return true;
    case property::kMessageGroup:
      return ReadText(field, to.message_group);
    case property::kTraceContext:
      return ReadText(field, to.trace_context);
    case property::kRecoveryDuration:
      if (!ReadMoment(field, millis)) return false;
      to.recovery_duration = millis;
      return true;
    case property::kLiteTopic:
      return ReadText(field, to.lite_topic);
    case property::kPriority:
      return ReadInt(field, to.priority.emplace());
    default:
      return true;
  }
}

}  // namespace

MessageKind KindOf(const MessageProperties& properties) {
  if (properties.message_type == static_cast<int32_t>(MessageKind::kTransaction)) {
    return MessageKind::kTransaction;
  }
  if (properties.delivery_time.has_value()) return MessageKind::kDelay;
  if (!properties.message_group.empty()) return MessageKind::kFifo;
  if (properties.priority.has_value()) return MessageKind::kPriority;
  if (!properties.lite_topic.empty()) return MessageKind::kLite;
  return MessageKind::kNormal;
}

std::string_view NameOf(MessageKind kind) {
  switch (kind) {
    case MessageKind::kNormal:
      return "NORMAL";
    case MessageKind::kFifo:
      return "FIFO";
    case MessageKind::kDelay:
      return "DELAY";
    case MessageKind::kTransaction:
      return "TRANSACTION";
    case MessageKind::kLite:
      return "LITE";
    case MessageKind::kPriority:
      return "PRIORITY";
  }
  return "UNKNOWN";
}

PropertyScan ScanProperties(std::string_view bytes, MessageProperties& properties) {
  properties = MessageProperties();
  bool repeated = false;
  uint64_t seen = 0;
  WireReader reader(bytes);
  WireField field;
  while (reader.Next(field)) {
    if (field.number > property::kPriority) continue;
    if (IsServerProperty(field.number)) {
      properties.has_server_property = true;
      continue;
    }
    if (!ReadProperty(field, properties)) return PropertyScan::kMalformed;
    if (field.number == property::kKeys) continue;
    const uint64_t bit = uint64_t{1} << field.number;
    repeated |= (seen & bit) != 0;
    seen |= bit;
  }
  if (!reader.ok()) return PropertyScan::kMalformed;
  return repeated ? PropertyScan::kRepeated : PropertyScan::kFine;
}

}  // namespace dunlin::broker
