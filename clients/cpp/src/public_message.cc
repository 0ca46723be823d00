#include "clients/cpp/src/public_message.h"

#include <fmt/format.h>

#include <random>
#include <utility>

#include "clients/cpp/src/gzip.h"

namespace dunlin::internal {
namespace {

namespace v2 = apache::rocketmq::v2;

uint64_t RandomNumber() {
  std::random_device random;
  return (uint64_t{random()} << 32) | random();
}

}  // namespace

MessageIds::MessageIds() : prefix_(RandomNumber()) {}

std::string MessageIds::Next() {
  return fmt::format("01{:016X}{:016X}", prefix_, next_.fetch_add(1, std::memory_order_relaxed));
}

void FillContent(const Connection& connection, const Message& message, v2::Message& to) {
  connection.Fill(message.topic, *to.mutable_topic());
  to.set_body(message.body);
  for (const auto& [name, value] : message.properties)
    (*to.mutable_user_properties())[name] = value;
  v2::SystemProperties& system = *to.mutable_system_properties();
  system.set_body_encoding(v2::IDENTITY);
  if (!message.tag.empty()) system.set_tag(message.tag);
  for (const std::string& key : message.keys) system.add_keys(key);
}

absl::StatusOr<ReceivedLiteMessage> FromPublicMessage(v2::Message message, size_t max_body_bytes) {
  v2::SystemProperties& system = *message.mutable_system_properties();
  ReceivedLiteMessage received;
  switch (system.body_encoding()) {
    case v2::ENCODING_UNSPECIFIED:
    case v2::IDENTITY:
      received.body = std::move(*message.mutable_body());
      break;
    case v2::GZIP: {
      absl::StatusOr<std::string> body = GzipDecompress(message.body(), max_body_bytes);
      if (!body.ok()) return body.status();
      received.body = *std::move(body);
      break;
    }
    default:
      return absl::UnimplementedError(
          fmt::format("message {} has a body of encoding {}, which this client does not know",
                      system.message_id(), static_cast<int>(system.body_encoding())));
  }
  received.topic = message.topic().name();
  received.lite_topic = system.lite_topic();
  received.tag = system.tag();
  received.keys.assign(system.keys().begin(), system.keys().end());
  received.properties.assign(message.user_properties().begin(), message.user_properties().end());
  received.message_id = system.message_id();
  received.offset = static_cast<uint64_t>(system.queue_offset());
  received.attempt = static_cast<uint32_t>(system.delivery_attempt());
  received.store_time = Timestamp(std::chrono::milliseconds(
      system.store_timestamp().seconds() * 1000 + system.store_timestamp().nanos() / 1'000'000));
  received.receipt_handle = std::move(*system.mutable_receipt_handle());
  return received;
}

}  // namespace dunlin::internal
