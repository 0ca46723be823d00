#include "services/broker/wire/testing/fuzz_checks.h"

#include <string>

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "services/base/bytes.h"
#include "services/base/check.h"
#include "services/broker/wire/delivered_message.h"
#include "services/broker/wire/send_scanner.h"
#include "services/broker/wire/stored_message.h"
#include "services/broker/wire/testing/random_message.h"
#include "services/broker/wire/wire_reader.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

void CheckAgainstParser(const RawMessage& message, const std::string& payload) {
  v2::Message parsed;
  CHECK(parsed.ParseFromString(payload));
  CHECK(parsed.topic().name() == message.topic_name);
  CHECK(parsed.topic().resource_namespace() == message.topic_namespace);
  CHECK(parsed.body() == message.body);
  const v2::SystemProperties& properties = parsed.system_properties();
  CHECK(properties.tag() == message.tag);
  CHECK(static_cast<size_t>(properties.keys_size()) == message.keys.size());
  CHECK(properties.message_id() == message.message_id);
  CHECK(properties.message_group() == message.message_group);
  CHECK(properties.lite_topic() == message.lite_topic);
  CHECK(properties.has_priority() == message.priority.has_value());
  CHECK(properties.has_delivery_timestamp() == message.delivery_time.has_value());
  CHECK(static_cast<int>(properties.message_type()) == message.message_type);
  CHECK(properties.queue_id() == 0 && !properties.has_receipt_handle());
}

// One field 2 that fills everything, and in it one field 3 at the end.
void CheckEnvelope(const DeliveredMessage& delivered) {
  const std::string bytes = delivered.head + std::string(delivered.middle) + delivered.tail;
  WireReader reader(bytes);
  WireField envelope;
  CHECK(reader.Next(envelope) && envelope.number == 2 && envelope.whole.size() == bytes.size());
  size_t properties = 0;
  WireReader message(envelope.bytes);
  for (WireField field; message.Next(field);) properties += field.number == 3 ? 1 : 0;
  CHECK(message.ok() && properties == 1);
}

}  // namespace

void CheckAnySend(std::string_view request) {
  const absl::StatusOr<RawSend> send = ScanSend(request);
  if (!send.ok()) return;
  for (const RawMessage& message : send->messages) {
    const std::string payload = PayloadOf(message);
    CHECK(payload.size() == message.payload_size);
    CheckAgainstParser(message, payload);
    const auto stored = ScanStored(payload, message.properties_offset);
    CHECK(stored.ok(), stored.status().ToString());
    CHECK(stored->tag == message.tag && stored->kind == KindOf(message));
    const auto delivered = MakeDelivered(payload, message.properties_offset, Overlay());
    CHECK(delivered.ok(), delivered.status().ToString());
    CheckEnvelope(*delivered);
  }
}

void CheckAnyStored(std::string_view bytes) {
  if (bytes.size() < sizeof(uint32_t)) return;
  const auto offset = LoadLittle<uint32_t>(bytes.data());
  const std::string_view payload = bytes.substr(sizeof(uint32_t));
  const auto stored = ScanStored(payload, offset);
  const auto delivered = MakeDelivered(payload, offset, Overlay());
  CHECK(stored.ok() || !delivered.ok());
  if (!delivered.ok()) return;
  const std::string all = delivered->head + std::string(delivered->middle) + delivered->tail;
  WireReader reader(all);
  WireField envelope;
  CHECK(reader.Next(envelope) && envelope.whole.size() == all.size());
}

}  // namespace dunlin::broker
