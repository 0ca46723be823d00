#include "services/broker/wire/delivered_message.h"

#include <openssl/evp.h>

#include <memory>

#include "services/base/check.h"
#include "services/base/status_macros.h"
#include "services/broker/wire/message_fields.h"
#include "services/broker/wire/stored_message.h"
#include "services/broker/wire/wire_reader.h"
#include "services/broker/wire/wire_writer.h"

namespace dunlin::broker {
namespace {

// Of ReceiveMessageResponse and PullMessageResponse.
constexpr uint32_t kMessage = 2;
// apache.rocketmq.v2.DigestType.
constexpr int64_t kMd5 = 2;

constexpr size_t kMd5Bytes = 16;
// What the overlay adds to the stored properties at most, without its strings.
constexpr size_t kOverlayRoom = 160;

// Shown anew at each delivery, so left out of what is copied from the stored properties.
bool IsOverlaid(uint32_t number, const MessageProperties& stored) {
  switch (number) {
    case property::kBodyDigest:
    case property::kBodyEncoding:
    case property::kMessageType:
      return true;
    case property::kBornHost:
      return stored.born_host.empty();
    case property::kMessageId:
      return stored.message_id.empty();
    default:
      return IsServerProperty(number);
  }
}

// A Timestamp or a Duration.
void WriteMillis(uint32_t number, std::chrono::milliseconds millis, WireWriter& writer) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(millis);
  std::string value;
  WireWriter inner(value);
  inner.Int(1, seconds.count());
  inner.Int(2, std::chrono::nanoseconds(millis - seconds).count());
  writer.Bytes(number, value);
}

void WriteDigest(std::string_view body, WireWriter& writer) {
  std::string digest;
  WireWriter inner(digest);
  inner.Int(1, kMd5);
  inner.Bytes(2, Md5Hex(body));
  writer.Bytes(property::kBodyDigest, digest);
}

void WriteOverlay(const StoredMessage& stored, std::string_view body, const Overlay& overlay,
                  WireWriter& writer) {
  WriteDigest(body, writer);
  writer.Int(property::kBodyEncoding, stored.gzip ? kEncodingGzip : kEncodingIdentity);
  // Who gets a half message gets it since it was committed: then it is like any other.
  const MessageKind kind =
      stored.kind == MessageKind::kTransaction ? MessageKind::kNormal : stored.kind;
  writer.Int(property::kMessageType, static_cast<int32_t>(overlay.kind.value_or(kind)));
  if (stored.born_host.empty()) writer.Bytes(property::kBornHost, overlay.born_host);
  if (!stored.has_born_timestamp) {
    WriteMillis(property::kBornTimestamp, overlay.born_time.time_since_epoch(), writer);
  }
  if (stored.message_id.empty()) writer.Bytes(property::kMessageId, overlay.message_id);
  WriteMillis(property::kStoreTimestamp, overlay.store_time.time_since_epoch(), writer);
  writer.Bytes(property::kStoreHost, overlay.store_host);
  if (!overlay.receipt_handle.empty()) {
    writer.Bytes(property::kReceiptHandle, overlay.receipt_handle);
  }
  writer.Int(property::kQueueId, overlay.queue_id);
  writer.Int(property::kQueueOffset, overlay.queue_offset);
  if (overlay.invisible_duration.has_value()) {
    WriteMillis(property::kInvisibleDuration, *overlay.invisible_duration, writer);
  }
  writer.Int(property::kDeliveryAttempt, overlay.delivery_attempt);
  if (!overlay.dead_letter_topic.empty()) {
    std::string origin;
    WireWriter inner(origin);
    inner.Bytes(1, overlay.dead_letter_topic);
    inner.Bytes(2, stored.message_id.empty() ? overlay.message_id : stored.message_id);
    writer.Bytes(property::kDeadLetterQueue, origin);
  }
}

std::string EncodeTopic(const Overlay& overlay) {
  std::string resource;
  WireWriter inner(resource);
  if (!overlay.topic_namespace.empty()) inner.Bytes(1, overlay.topic_namespace);
  inner.Bytes(2, overlay.topic_name);
  std::string topic;
  WireWriter(topic).Bytes(message_field::kTopic, resource);
  return topic;
}

// Between the topic, which is first, and the properties.
absl::StatusOr<std::string_view> MiddleOf(std::string_view payload, uint32_t properties_offset) {
  WireReader reader(payload.substr(0, properties_offset));
  WireField topic;
  if (!reader.Next(topic) || topic.number != message_field::kTopic) {
    return absl::DataLossError("a stored message does not begin with its topic");
  }
  return payload.substr(topic.whole.size(), properties_offset - topic.whole.size());
}

}  // namespace

std::string Md5Hex(std::string_view bytes) {
  // Looking an algorithm up takes longer than hashing a small body.
  static const EVP_MD* const md5 = EVP_MD_fetch(nullptr, "MD5", nullptr);
  CHECK(md5 != nullptr, "OpenSSL has no MD5");
  thread_local const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(
      EVP_MD_CTX_new(), EVP_MD_CTX_free);
  unsigned char digest[kMd5Bytes];
  CHECK(context != nullptr && EVP_DigestInit_ex(context.get(), md5, nullptr) == 1 &&
        EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) == 1 &&
        EVP_DigestFinal_ex(context.get(), digest, nullptr) == 1);
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string hex(2 * kMd5Bytes, '0');
  for (size_t i = 0; i < kMd5Bytes; ++i) {
    hex[2 * i] = kHex[digest[i] >> 4];
    hex[2 * i + 1] = kHex[digest[i] & 15];
  }
  return hex;
}

absl::StatusOr<DeliveredMessage> MakeDelivered(std::string_view payload, uint32_t properties_offset,
                                               const Overlay& overlay) {
  ASSIGN_OR_RETURN(const StoredMessage stored, ScanStored(payload, properties_offset));
  ASSIGN_OR_RETURN(const std::string_view stored_properties,
                   StoredProperties(payload, properties_offset));
  ASSIGN_OR_RETURN(const std::string_view body, StoredBody(payload, properties_offset));
  DeliveredMessage delivered;
  ASSIGN_OR_RETURN(delivered.middle, MiddleOf(payload, properties_offset));

  std::string properties;
  properties.reserve(stored_properties.size() + kOverlayRoom + overlay.store_host.size() +
                     overlay.receipt_handle.size());
  WireField field;
  for (WireReader reader(stored_properties); reader.Next(field);) {
    if (!IsOverlaid(field.number, stored)) properties.append(field.whole);
  }
  WireWriter properties_writer(properties);
  WriteOverlay(stored, body, overlay, properties_writer);
  delivered.tail.reserve(properties.size() + kMaxPrefixSize);
  WireWriter(delivered.tail).Bytes(message_field::kSystemProperties, properties);

  const std::string topic = EncodeTopic(overlay);
  delivered.head.reserve(topic.size() + kMaxPrefixSize);
  WireWriter(delivered.head)
      .Prefix(kMessage, topic.size() + delivered.middle.size() + delivered.tail.size());
  delivered.head.append(topic);
  return delivered;
}

}  // namespace dunlin::broker
