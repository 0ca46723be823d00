#include "services/broker/wire/frame_scanner.h"

#include "services/broker/wire/message_fields.h"
#include "services/broker/wire/wire_reader.h"

namespace dunlin::broker {
namespace {

// Of PublishRequest.
constexpr uint32_t kOpen = 1;
constexpr uint32_t kBind = 2;
constexpr uint32_t kFrame = 3;
// Of PublishFrame.
constexpr uint32_t kBinding = 1;
constexpr uint32_t kFirstSequence = 2;
constexpr uint32_t kMessages = 3;

// As in send_scanner.cc: a stored message always has these fields.
constexpr std::string_view kNoTopic("\x0a\x00", 2);
constexpr std::string_view kNoProperties("\x1a\x00", 2);

// A body, then perhaps system properties, and nothing else: what a producer in a hurry sends.
// False leaves it to the scanner that takes everything.
bool ScanPlain(std::string_view bytes, RawMessage& message) {
  WireReader reader(bytes);
  WireField field;
  if (!reader.Next(field) || field.number != message_field::kBody ||
      field.type != WireType::kBytes) {
    return false;
  }
  const std::string_view body = field.bytes;
  const size_t properties_at = field.whole.size();
  if (!reader.Next(field)) {
    if (!reader.ok()) return false;
    message.payload = {kNoTopic, bytes, kNoProperties};
    message.payload_size = kNoTopic.size() + bytes.size() + kNoProperties.size();
  } else {
    if (field.number != message_field::kSystemProperties || field.type != WireType::kBytes ||
        properties_at + field.whole.size() != bytes.size() ||
        ScanProperties(field.bytes, message) != PropertyScan::kFine ||
        message.has_server_property) {
      return false;
    }
    message.payload = {kNoTopic, bytes};
    message.payload_size = kNoTopic.size() + bytes.size();
  }
  message.body = body;
  message.properties_offset = static_cast<uint32_t>(kNoTopic.size() + properties_at);
  return true;
}

}  // namespace

absl::StatusOr<RawPublish> ScanPublish(std::string_view request) {
  RawPublish publish;
  int cases = 0;
  WireReader reader(request);
  WireField field;
  while (reader.Next(field)) {
    if (field.number > kFrame) continue;
    if (field.type != WireType::kBytes) {
      return absl::InvalidArgumentError("the PublishRequest is malformed");
    }
    publish.which = field.number == kOpen   ? RawPublish::Case::kOpen
                    : field.number == kBind ? RawPublish::Case::kBind
                                            : RawPublish::Case::kFrame;
    publish.value = field.bytes;
    ++cases;
  }
  if (!reader.ok()) return absl::InvalidArgumentError("the PublishRequest is malformed");
  if (cases != 1) {
    return absl::InvalidArgumentError("a PublishRequest holds one of open, bind and frame");
  }
  return publish;
}

absl::Status ScanFrame(std::string_view bytes, RawFrame& frame) {
  frame.binding = 0;
  frame.first_sequence = 0;
  frame.messages.clear();
  WireReader reader(bytes);
  WireField field;
  bool typed = true;
  while (reader.Next(field)) {
    switch (field.number) {
      case kBinding:
        typed &= field.type == WireType::kVarint;
        frame.binding = static_cast<uint32_t>(field.varint);
        break;
      case kFirstSequence:
        typed &= field.type == WireType::kVarint;
        frame.first_sequence = field.varint;
        break;
      case kMessages:
        typed &= field.type == WireType::kBytes;
        if (frame.messages.size() == kMaxMessagesPerFrame) {
          return absl::InvalidArgumentError("a frame holds at most 65536 messages");
        }
        frame.messages.push_back(field.bytes);
        break;
      default:
        break;
    }
  }
  if (!reader.ok() || !typed) return absl::InvalidArgumentError("the PublishFrame is malformed");
  if (frame.messages.empty()) return absl::InvalidArgumentError("a frame without a message");
  return absl::OkStatus();
}

absl::Status ScanFramed(std::string_view bytes, RawMessage& message, OwnedBytes& owned) {
  message = RawMessage();
  if (ScanPlain(bytes, message)) return absl::OkStatus();
  return ScanOneMessage(bytes, message, owned);
}

}  // namespace dunlin::broker
