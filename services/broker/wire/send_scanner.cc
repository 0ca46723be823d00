#include "services/broker/wire/send_scanner.h"

#include <fmt/format.h>

#include <utility>

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "services/base/strings.h"
#include "services/broker/wire/message_fields.h"
#include "services/broker/wire/utf8.h"
#include "services/broker/wire/wire_reader.h"
#include "services/broker/wire/wire_writer.h"

namespace dunlin::broker {
namespace {

// Of SendMessageRequest.
constexpr uint32_t kMessages = 1;
// What stands for a field that the producer left out, so that a stored message always has it.
constexpr std::string_view kNoTopic("\x0a\x00", 2);
constexpr std::string_view kNoProperties("\x1a\x00", 2);

// The fields of one Message before they are put in order.
struct Parts {
  std::string_view topic;       // the whole field
  std::string_view properties;  // the whole field
  std::string_view properties_value;
  bool has_body = false;
  // One of those, or a field within them, occurs twice.
  bool repeated = false;
};

bool IsText(const WireField& field) {
  return field.type == WireType::kBytes && IsUtf8(field.bytes);
}

bool ScanTopic(std::string_view bytes, RawMessage& message) {
  WireReader reader(bytes);
  WireField field;
  while (reader.Next(field)) {
    if (field.number > 2) continue;
    if (!IsText(field)) return false;
    (field.number == 1 ? message.topic_namespace : message.topic_name) = field.bytes;
  }
  return reader.ok();
}

bool ScanUserProperty(std::string_view bytes, RawMessage& message) {
  UserProperty entry;
  WireReader reader(bytes);
  WireField field;
  while (reader.Next(field)) {
    if (field.number > 2) continue;
    if (!IsText(field)) return false;
    (field.number == 1 ? entry.key : entry.value) = field.bytes;
  }
  if (message.user_properties.size() <= kMaxUserPropertiesKept) {
    message.user_properties.push_back(entry);
  }
  return reader.ok();
}

void AddPiece(std::string_view bytes, RawMessage& message) {
  message.payload_size += bytes.size();
  if (!message.payload.empty()) {
    std::string_view& last = message.payload.back();
    if (last.data() + last.size() == bytes.data()) {
      last = {last.data(), last.size() + bytes.size()};
      return;
    }
  }
  message.payload.push_back(bytes);
}

// Reads the fields of a Message; false when one is malformed.
bool ScanFields(std::string_view bytes, RawMessage& message, Parts& parts) {
  WireReader reader(bytes);
  WireField field;
  while (reader.Next(field)) {
    if (field.number <= message_field::kBody && field.type != WireType::kBytes) return false;
    switch (field.number) {
      case message_field::kTopic:
        parts.repeated |= !parts.topic.empty();
        parts.topic = field.whole;
        if (!ScanTopic(field.bytes, message)) return false;
        break;
      case message_field::kUserProperties:
        if (!ScanUserProperty(field.bytes, message)) return false;
        break;
      case message_field::kSystemProperties:
        parts.repeated |= !parts.properties.empty();
        parts.properties = field.whole;
        parts.properties_value = field.bytes;
        break;
      case message_field::kBody:
        parts.repeated |= parts.has_body;
        parts.has_body = true;
        message.body = field.bytes;
        break;
      default:
        break;
    }
  }
  return reader.ok();
}

// Appends system_properties without the fields that only the server writes.
void AddProperties(const Parts& parts, RawMessage& message, OwnedBytes& owned) {
  message.properties_offset = static_cast<uint32_t>(message.payload_size);
  if (parts.properties.empty()) return AddPiece(kNoProperties, message);
  size_t dropped = 0;
  WireField field;
  for (WireReader reader(parts.properties_value); reader.Next(field);) {
    if (IsServerProperty(field.number)) dropped += field.whole.size();
  }
  if (dropped == 0) return AddPiece(parts.properties, message);
  char* const prefix = owned.emplace_back(new char[kMaxPrefixSize]).get();
  const size_t size = WritePrefix(message_field::kSystemProperties,
                                  parts.properties_value.size() - dropped, prefix);
  AddPiece({prefix, size}, message);
  for (WireReader reader(parts.properties_value); reader.Next(field);) {
    if (!IsServerProperty(field.number)) AddPiece(field.whole, message);
  }
}

// Puts the stored bytes together: topic, everything else in its order, system_properties.
void BuildPayload(std::string_view bytes, const Parts& parts, RawMessage& message,
                  OwnedBytes& owned) {
  AddPiece(parts.topic.empty() ? kNoTopic : parts.topic, message);
  WireField field;
  for (WireReader reader(bytes); reader.Next(field);) {
    if (field.number != message_field::kTopic && field.number != message_field::kSystemProperties) {
      AddPiece(field.whole, message);
    }
  }
  AddProperties(parts, message, owned);
}

// One Message whose fields occur once.
enum class Scanned { kFine, kMalformed, kRepeated };
Scanned ScanMessage(std::string_view bytes, RawMessage& message, OwnedBytes& owned) {
  Parts parts;
  if (!ScanFields(bytes, message, parts)) return Scanned::kMalformed;
  switch (ScanProperties(parts.properties_value, message)) {
    case PropertyScan::kMalformed:
      return Scanned::kMalformed;
    case PropertyScan::kRepeated:
      return Scanned::kRepeated;
    case PropertyScan::kFine:
      break;
  }
  if (parts.repeated) return Scanned::kRepeated;
  BuildPayload(bytes, parts, message, owned);
  return Scanned::kFine;
}

// Legal protobuf that no SDK writes: a field that occurs twice. What it means is what a parser
// makes of it, so one is asked; its serialisation has every field once.
absl::Status ScanRepeated(std::string_view bytes, RawMessage& message, OwnedBytes& owned) {
  apache::rocketmq::v2::Message parsed;
  if (!parsed.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("it is not a Message");
  }
  const size_t size = parsed.ByteSizeLong();
  char* const canonical = owned.emplace_back(new char[size]).get();
  if (!parsed.SerializeToArray(canonical, static_cast<int>(size))) {
    return absl::InvalidArgumentError("it cannot be serialised again");
  }
  message = RawMessage();
  if (ScanMessage({canonical, size}, message, owned) != Scanned::kFine) {
    return absl::InvalidArgumentError("it has a field twice");
  }
  return absl::OkStatus();
}

absl::Status AddMessage(const WireField& field, RawSend& send) {
  if (field.type != WireType::kBytes || field.bytes.size() > INT32_MAX) {
    return absl::InvalidArgumentError("it is not a Message");
  }
  return ScanOneMessage(field.bytes, send.messages.emplace_back(), send.owned);
}

}  // namespace

absl::Status ScanOneMessage(std::string_view bytes, RawMessage& message, OwnedBytes& owned) {
  message = RawMessage();
  switch (ScanMessage(bytes, message, owned)) {
    case Scanned::kFine:
      return absl::OkStatus();
    case Scanned::kRepeated:
      return ScanRepeated(bytes, message, owned);
    case Scanned::kMalformed:
      break;
  }
  return absl::InvalidArgumentError("its bytes are malformed, or a string of it is not UTF-8");
}

absl::StatusOr<RawSend> ScanSend(std::string_view request) {
  absl::StatusOr<RawSend> result(absl::in_place);
  RawSend& send = *result;
  WireReader reader(request);
  WireField field;
  size_t properties = 0;
  while (reader.Next(field)) {
    if (field.number != kMessages) continue;
    if (send.messages.size() == kMaxMessagesPerSend || properties > kMaxPropertiesPerSend) {
      send.too_many = true;
      return result;
    }
    if (const absl::Status status = AddMessage(field, send); !status.ok()) {
      return absl::InvalidArgumentError(fmt::format("message {} of the SendMessageRequest: {}",
                                                    send.messages.size(),
                                                    FromAbsl(status.message())));
    }
    properties += send.messages.back().user_properties.size() + send.messages.back().keys.size();
  }
  if (!reader.ok()) return absl::InvalidArgumentError("the SendMessageRequest is malformed");
  return result;
}

}  // namespace dunlin::broker
