#include "services/broker/wire/testing/random_message.h"

#include <string_view>

#include "services/base/check.h"
#include "services/broker/wire/wire_writer.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

bool Maybe(std::mt19937& random) { return random() % 2 == 0; }

std::string RandomText(std::mt19937& random) {
  static constexpr std::string_view kLetters[] = {"a", "Z", "7", "_", " ", "é", "水", "🐦"};
  std::string text;
  for (size_t left = random() % 12; left > 0; --left) text += kLetters[random() % 8];
  return text;
}

void FillProducerProperties(std::mt19937& random, v2::SystemProperties& to) {
  if (Maybe(random)) to.set_tag(RandomText(random));
  for (size_t left = random() % 4; left > 0; --left) to.add_keys(RandomText(random));
  to.set_message_id(RandomText(random));
  if (Maybe(random)) {
    to.mutable_body_digest()->set_type(v2::CRC32);
    to.mutable_body_digest()->set_checksum(RandomText(random));
  }
  to.set_body_encoding(static_cast<v2::Encoding>(random() % 3));
  to.set_message_type(static_cast<v2::MessageType>(random() % 7));
  if (Maybe(random)) to.mutable_born_timestamp()->set_seconds(random());
  if (Maybe(random)) to.set_born_host(RandomText(random));
  if (Maybe(random)) {
    to.mutable_delivery_timestamp()->set_seconds(random());
    to.mutable_delivery_timestamp()->set_nanos(static_cast<int32_t>(random() % 1'000'000'000));
  }
  if (Maybe(random)) to.set_message_group(RandomText(random));
  if (Maybe(random)) to.set_trace_context(RandomText(random));
  if (Maybe(random)) to.mutable_orphaned_transaction_recovery_duration()->set_seconds(random());
  if (Maybe(random)) to.set_lite_topic(RandomText(random));
  if (Maybe(random)) to.set_priority(static_cast<int32_t>(random()));
}

void FillServerProperties(std::mt19937& random, v2::SystemProperties& to) {
  if (Maybe(random)) to.mutable_store_timestamp()->set_seconds(random());
  if (Maybe(random)) to.set_store_host(RandomText(random));
  if (Maybe(random)) to.set_receipt_handle(RandomText(random));
  if (Maybe(random)) to.set_queue_id(static_cast<int32_t>(random()));
  if (Maybe(random)) to.set_queue_offset(static_cast<int64_t>(random()));
  if (Maybe(random)) to.mutable_invisible_duration()->set_seconds(random());
  if (Maybe(random)) to.set_delivery_attempt(static_cast<int32_t>(random()));
  if (Maybe(random)) to.mutable_dead_letter_queue()->set_topic(RandomText(random));
}

}  // namespace

v2::Message RandomMessage(std::mt19937& random) {
  v2::Message message;
  if (Maybe(random)) message.mutable_topic()->set_name(RandomText(random));
  if (Maybe(random)) message.mutable_topic()->set_resource_namespace(RandomText(random));
  for (size_t left = random() % 5; left > 0; --left) {
    (*message.mutable_user_properties())[RandomText(random)] = RandomText(random);
  }
  if (random() % 8 != 0) FillProducerProperties(random, *message.mutable_system_properties());
  if (Maybe(random)) FillServerProperties(random, *message.mutable_system_properties());
  message.set_body(std::string(random() % 300, '\xff'));
  return message;
}

v2::Message UsualMessage(size_t body_bytes) {
  v2::Message message;
  message.mutable_topic()->set_name("orders");
  (*message.mutable_user_properties())["region"] = "north";
  v2::SystemProperties& properties = *message.mutable_system_properties();
  properties.set_tag("paid");
  properties.add_keys("order-4711");
  properties.set_message_id("01ABCDEF0123456789ABCDEF0123456789");
  properties.set_message_type(v2::NORMAL);
  properties.set_body_encoding(v2::IDENTITY);
  properties.mutable_born_timestamp()->set_seconds(1'700'000'000);
  properties.set_born_host("producer-1");
  properties.set_queue_id(3);
  message.set_body(std::string(body_bytes, 'b'));
  return message;
}

std::string SerializeSend(const v2::Message& message) {
  return WrapSend(message.SerializeAsString());
}

std::string WrapSend(std::string_view message) {
  std::string request;
  WireWriter(request).Bytes(1, message);
  return request;
}

std::string PayloadOf(const RawMessage& message) {
  std::string payload;
  for (const std::string_view piece : message.payload) payload.append(piece);
  return payload;
}

Stored Store(const v2::Message& message) {
  const std::string request = SerializeSend(message);
  const absl::StatusOr<RawSend> send = ScanSend(request);
  CHECK(send.ok(), send.status().ToString());
  return {PayloadOf(send->messages.front()), send->messages.front().properties_offset};
}

v2::Message WithoutServerFields(v2::Message message) {
  v2::SystemProperties& properties = *message.mutable_system_properties();
  properties.clear_store_timestamp();
  properties.clear_store_host();
  properties.clear_receipt_handle();
  properties.clear_queue_id();
  properties.clear_queue_offset();
  properties.clear_invisible_duration();
  properties.clear_delivery_attempt();
  properties.clear_dead_letter_queue();
  return message;
}

}  // namespace dunlin::broker
