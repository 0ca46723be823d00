#include "services/broker/wire/delivered_message.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <random>
#include <string>

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/wire/testing/random_message.h"
#include "services/broker/wire/wire_reader.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;
using google::protobuf::util::MessageDifferencer;

Overlay SomeOverlay() {
  Overlay overlay;
  overlay.topic_namespace = "tenant";
  overlay.topic_name = "shown";
  overlay.queue_id = 5;
  overlay.queue_offset = 1'234'567'890'123;
  overlay.store_time = FromUnixMillis(1'700'000'000'123);
  overlay.store_host = "broker-a";
  overlay.receipt_handle = "handle";
  overlay.delivery_attempt = 3;
  overlay.born_host = "10.0.0.1";
  overlay.born_time = FromUnixMillis(1'600'000'000'500);
  overlay.message_id = "by position";
  overlay.invisible_duration = std::chrono::milliseconds(30'500);
  return overlay;
}

std::string Join(const DeliveredMessage& delivered) {
  return delivered.head + std::string(delivered.middle) + delivered.tail;
}

std::string Deliver(const Stored& stored, const Overlay& overlay) {
  const auto delivered = MakeDelivered(stored.payload, stored.properties_offset, overlay);
  EXPECT_OK(delivered);
  return delivered.ok() ? Join(*delivered) : "";
}

// How often each field occurs.
std::map<uint32_t, int> CountFields(std::string_view bytes) {
  std::map<uint32_t, int> counts;
  WireReader reader(bytes);
  for (WireField field; reader.Next(field);) ++counts[field.number];
  EXPECT_TRUE(reader.ok());
  return counts;
}

std::string_view ValueOf(std::string_view bytes, uint32_t number) {
  WireReader reader(bytes);
  for (WireField field; reader.Next(field);) {
    if (field.number == number) return field.bytes;
  }
  return {};
}

v2::Message Expected(const v2::Message& sent, const Overlay& overlay) {
  v2::Message expected = WithoutServerFields(sent);
  expected.mutable_topic()->set_resource_namespace("tenant");
  expected.mutable_topic()->set_name("shown");
  v2::SystemProperties& properties = *expected.mutable_system_properties();
  properties.mutable_body_digest()->set_type(v2::MD5);
  properties.mutable_body_digest()->set_checksum(Md5Hex(sent.body()));
  if (properties.body_encoding() == v2::ENCODING_UNSPECIFIED) {
    properties.set_body_encoding(v2::IDENTITY);
  }
  if (properties.born_host().empty()) properties.set_born_host("10.0.0.1");
  if (properties.message_id().empty()) properties.set_message_id("by position");
  if (!properties.has_born_timestamp()) {
    properties.mutable_born_timestamp()->set_seconds(1'600'000'000);
    properties.mutable_born_timestamp()->set_nanos(500'000'000);
  }
  properties.mutable_store_timestamp()->set_seconds(1'700'000'000);
  properties.mutable_store_timestamp()->set_nanos(123'000'000);
  properties.set_store_host("broker-a");
  properties.set_receipt_handle("handle");
  properties.set_queue_id(overlay.queue_id);
  properties.set_queue_offset(overlay.queue_offset);
  properties.mutable_invisible_duration()->set_seconds(30);
  properties.mutable_invisible_duration()->set_nanos(500'000'000);
  properties.set_delivery_attempt(overlay.delivery_attempt);
  return expected;
}

TEST(DeliveredMessageTest, ParserSeesTheStoredMessageAndTheOverlay) {
  std::mt19937 random(4);
  for (int i = 0; i < 2000; ++i) {
    const v2::Message sent = RandomMessage(random);
    const Overlay overlay = SomeOverlay();
    v2::ReceiveMessageResponse response;
    ASSERT_TRUE(response.ParseFromString(Deliver(Store(sent), overlay)));
    v2::Message expected = Expected(sent, overlay);
    // Derived, and tested with KindOf; never unspecified.
    const v2::MessageType kind = response.message().system_properties().message_type();
    EXPECT_NE(kind, v2::MESSAGE_TYPE_UNSPECIFIED);
    expected.mutable_system_properties()->set_message_type(kind);
    EXPECT_TRUE(MessageDifferencer::Equals(response.message(), expected))
        << response.message().DebugString() << "instead of\n"
        << expected.DebugString();
  }
}

// A parser that replaces what comes twice must see the same: nothing comes twice.
TEST(DeliveredMessageTest, EveryFieldOccursOnce) {
  std::mt19937 random(5);
  for (int i = 0; i < 2000; ++i) {
    const std::string bytes = Deliver(Store(RandomMessage(random)), SomeOverlay());
    EXPECT_EQ(CountFields(bytes), (std::map<uint32_t, int>{{2, 1}}));
    const std::string_view message = ValueOf(bytes, 2);
    for (const auto& [number, count] : CountFields(message)) {
      if (number != 2) EXPECT_EQ(count, 1) << "field " << number << " of Message";
    }
    EXPECT_EQ(CountFields(message).count(3), 1u);
    for (const auto& [number, count] : CountFields(ValueOf(message, 3))) {
      if (number != 2) EXPECT_EQ(count, 1) << "field " << number << " of SystemProperties";
    }
  }
}

TEST(DeliveredMessageTest, SameBytesAreAPullResponse) {
  v2::PullMessageResponse response;
  ASSERT_TRUE(response.ParseFromString(Deliver(Store(UsualMessage(64)), SomeOverlay())));
  EXPECT_EQ(response.message().body(), std::string(64, 'b'));
  EXPECT_EQ(response.message().topic().name(), "shown");
}

TEST(DeliveredMessageTest, BodyIsNotCopied) {
  const Stored stored = Store(UsualMessage(1 << 20));
  const auto delivered = MakeDelivered(stored.payload, stored.properties_offset, SomeOverlay());
  ASSERT_OK(delivered);
  EXPECT_GE(delivered->middle.data(), stored.payload.data());
  EXPECT_LE(delivered->middle.data() + delivered->middle.size(),
            stored.payload.data() + stored.payload.size());
  EXPECT_LT(delivered->head.size() + delivered->tail.size(), 500u);
}

TEST(DeliveredMessageTest, ZerosArePresent) {
  Overlay overlay = SomeOverlay();
  overlay.queue_id = 0;
  overlay.queue_offset = 0;
  v2::ReceiveMessageResponse response;
  ASSERT_TRUE(response.ParseFromString(Deliver(Store(UsualMessage(1)), overlay)));
  EXPECT_TRUE(response.message().system_properties().has_queue_offset());
  EXPECT_EQ(response.message().system_properties().queue_offset(), 0);
}

TEST(DeliveredMessageTest, PullHasNoHandleAndNoInvisibleDuration) {
  Overlay overlay = SomeOverlay();
  overlay.receipt_handle = {};
  overlay.invisible_duration.reset();
  v2::ReceiveMessageResponse response;
  ASSERT_TRUE(response.ParseFromString(Deliver(Store(UsualMessage(1)), overlay)));
  EXPECT_FALSE(response.message().system_properties().has_receipt_handle());
  EXPECT_FALSE(response.message().system_properties().has_invisible_duration());
}

TEST(DeliveredMessageTest, CommittedTransactionIsShownAsNormal) {
  v2::Message sent = UsualMessage(8);
  sent.mutable_system_properties()->set_message_type(v2::TRANSACTION);
  Overlay overlay = SomeOverlay();
  v2::ReceiveMessageResponse response;
  ASSERT_TRUE(response.ParseFromString(Deliver(Store(sent), overlay)));
  EXPECT_EQ(response.message().system_properties().message_type(), v2::NORMAL);
  overlay.kind = MessageKind::kTransaction;
  ASSERT_TRUE(response.ParseFromString(Deliver(Store(sent), overlay)));
  EXPECT_EQ(response.message().system_properties().message_type(), v2::TRANSACTION);
}

TEST(DeliveredMessageTest, DeadLetterNamesItsOrigin) {
  const v2::Message sent = UsualMessage(8);
  Overlay overlay = SomeOverlay();
  overlay.dead_letter_topic = "orders";
  v2::ReceiveMessageResponse response;
  ASSERT_TRUE(response.ParseFromString(Deliver(Store(sent), overlay)));
  const v2::DeadLetterQueue& origin = response.message().system_properties().dead_letter_queue();
  EXPECT_EQ(origin.topic(), "orders");
  EXPECT_EQ(origin.message_id(), sent.system_properties().message_id());
}

TEST(DeliveredMessageTest, GzipStaysGzip) {
  v2::Message sent = UsualMessage(8);
  sent.mutable_system_properties()->set_body_encoding(v2::GZIP);
  v2::ReceiveMessageResponse response;
  ASSERT_TRUE(response.ParseFromString(Deliver(Store(sent), SomeOverlay())));
  EXPECT_EQ(response.message().system_properties().body_encoding(), v2::GZIP);
}

TEST(DeliveredMessageTest, DamagedPayloadIsDataLoss) {
  const Stored stored = Store(UsualMessage(32));
  const auto deliver = [&](std::string_view payload, uint32_t offset) {
    return MakeDelivered(payload, offset, SomeOverlay());
  };
  const std::string_view payload = stored.payload;
  EXPECT_THAT(deliver(payload, stored.properties_offset - 1),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(deliver(payload.substr(0, payload.size() - 1), stored.properties_offset),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(deliver(payload.substr(1), stored.properties_offset - 1),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(deliver("", 0), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(Md5Test, IsTheKnownOneInUpperCase) {
  EXPECT_EQ(Md5Hex(""), "D41D8CD98F00B204E9800998ECF8427E");
  EXPECT_EQ(Md5Hex("message digest"), "F96B697D7CB7938D525A2F31AAF161D0");
}

}  // namespace
}  // namespace dunlin::broker
