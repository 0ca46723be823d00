#include "services/broker/wire/send_scanner.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <string>
#include <utility>

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/wire/stored_message.h"
#include "services/broker/wire/testing/random_message.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;
using google::protobuf::util::MessageDifferencer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The bytes of a literal, zeros and all.
template <size_t kSize>
std::string Bytes(const char (&literal)[kSize]) {
  return std::string(literal, kSize - 1);
}

void ExpectSameProperties(const v2::SystemProperties& sent, const MessageProperties& scanned) {
  EXPECT_EQ(scanned.tag, sent.tag());
  ASSERT_EQ(scanned.keys.size(), static_cast<size_t>(sent.keys_size()));
  for (int i = 0; i < sent.keys_size(); ++i) EXPECT_EQ(scanned.keys[i], sent.keys(i));
  EXPECT_EQ(scanned.message_id, sent.message_id());
  EXPECT_EQ(scanned.has_body_digest, sent.has_body_digest());
  EXPECT_EQ(scanned.body_encoding, sent.body_encoding());
  EXPECT_EQ(scanned.gzip, sent.body_encoding() == v2::GZIP);
  EXPECT_EQ(scanned.message_type, sent.message_type());
  EXPECT_EQ(scanned.has_born_timestamp, sent.has_born_timestamp());
  EXPECT_EQ(scanned.born_host, sent.born_host());
  EXPECT_EQ(scanned.message_group, sent.message_group());
  EXPECT_EQ(scanned.trace_context, sent.trace_context());
  EXPECT_EQ(scanned.lite_topic, sent.lite_topic());
  ASSERT_EQ(scanned.priority.has_value(), sent.has_priority());
  if (sent.has_priority()) EXPECT_EQ(*scanned.priority, sent.priority());
  ASSERT_EQ(scanned.delivery_time.has_value(), sent.has_delivery_timestamp());
  if (sent.has_delivery_timestamp()) {
    EXPECT_EQ(
        ToUnixMillis(*scanned.delivery_time),
        sent.delivery_timestamp().seconds() * 1000 + sent.delivery_timestamp().nanos() / 1'000'000);
  }
  ASSERT_EQ(scanned.recovery_duration.has_value(),
            sent.has_orphaned_transaction_recovery_duration());
  if (scanned.recovery_duration) {
    EXPECT_EQ(*scanned.recovery_duration,
              std::chrono::seconds(sent.orphaned_transaction_recovery_duration().seconds()));
  }
}

TEST(ScanSendTest, ReadsAUsualMessage) {
  const std::string request = SerializeSend(UsualMessage(128));
  const absl::StatusOr<RawSend> send = ScanSend(request);
  ASSERT_OK(send);
  ASSERT_EQ(send->messages.size(), 1u);
  const RawMessage& message = send->messages[0];
  EXPECT_EQ(message.topic_name, "orders");
  EXPECT_EQ(message.tag, "paid");
  EXPECT_THAT(message.keys, ElementsAre("order-4711"));
  EXPECT_EQ(message.user_properties[0].key, "region");
  EXPECT_EQ(message.user_properties[0].value, "north");
  EXPECT_EQ(message.body.size(), 128u);
  EXPECT_EQ(KindOf(message), MessageKind::kNormal);
}

TEST(ScanSendTest, StaysValidWhenMoved) {
  const std::string request = SerializeSend(UsualMessage(16));
  absl::StatusOr<RawSend> scanned = ScanSend(request);
  ASSERT_OK(scanned);
  const std::string before = PayloadOf(scanned->messages[0]);
  const RawSend moved = *std::move(scanned);
  EXPECT_EQ(PayloadOf(moved.messages[0]), before);
}

TEST(ScanSendTest, SeesWhatAProtobufParserSees) {
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    v2::SendMessageRequest request;
    for (size_t left = 1 + random() % 3; left > 0; --left) {
      *request.add_messages() = RandomMessage(random);
    }
    const std::string bytes = request.SerializeAsString();
    const absl::StatusOr<RawSend> send = ScanSend(bytes);
    ASSERT_OK(send);
    ASSERT_EQ(send->messages.size(), static_cast<size_t>(request.messages_size()));
    for (int m = 0; m < request.messages_size(); ++m) {
      const v2::Message& sent = request.messages(m);
      const RawMessage& scanned = send->messages[static_cast<size_t>(m)];
      EXPECT_EQ(scanned.topic_name, sent.topic().name());
      EXPECT_EQ(scanned.topic_namespace, sent.topic().resource_namespace());
      EXPECT_EQ(scanned.body, sent.body());
      ASSERT_EQ(scanned.user_properties.size(), sent.user_properties().size());
      for (const UserProperty& property : scanned.user_properties) {
        EXPECT_EQ(sent.user_properties().at(std::string(property.key)), property.value);
      }
      ExpectSameProperties(sent.system_properties(), scanned);
    }
  }
}

TEST(ScanSendTest, PayloadIsTheMessageWithoutWhatOnlyTheServerWrites) {
  std::mt19937 random(2);
  for (int i = 0; i < 3000; ++i) {
    const v2::Message sent = RandomMessage(random);
    const std::string request = SerializeSend(sent);
    const absl::StatusOr<RawSend> send = ScanSend(request);
    ASSERT_OK(send);
    const RawMessage& message = send->messages[0];
    const std::string payload = PayloadOf(message);
    EXPECT_EQ(payload.size(), message.payload_size);
    EXPECT_EQ(payload.front(), '\x0a') << "the topic is first";
    v2::Message stored;
    ASSERT_TRUE(stored.ParseFromString(payload));
    v2::Message expected = WithoutServerFields(sent);
    expected.mutable_topic();
    EXPECT_TRUE(MessageDifferencer::Equals(stored, expected)) << stored.DebugString();
    // The properties are last and are found at their offset.
    const absl::StatusOr<StoredMessage> scanned = ScanStored(payload, message.properties_offset);
    ASSERT_OK(scanned);
    ExpectSameProperties(sent.system_properties(), *scanned);
    EXPECT_THAT(StoredBody(payload, message.properties_offset), IsOkAndHolds(sent.body()));
  }
}

TEST(ScanSendTest, NothingIsCopiedUnlessServerFieldsAreDropped) {
  v2::Message message = UsualMessage(128);
  message.mutable_system_properties()->clear_queue_id();
  const std::string request = SerializeSend(message);
  const absl::StatusOr<RawSend> send = ScanSend(request);
  ASSERT_OK(send);
  EXPECT_TRUE(send->owned.empty());
  for (const std::string_view piece : send->messages[0].payload) {
    EXPECT_GE(piece.data(), request.data());
    EXPECT_LE(piece.data() + piece.size(), request.data() + request.size());
  }
}

TEST(ScanSendTest, UnknownFieldsAreKept) {
  // Field 100 of Message and field 100 of SystemProperties, both 7.
  const std::string request =
      WrapSend(Bytes("\x0a\x03\x12\x01t\xa0\x06\x07\x1a\x03\xa0\x06\x07\x22\x01z"));
  const absl::StatusOr<RawSend> send = ScanSend(request);
  ASSERT_OK(send);
  EXPECT_EQ(PayloadOf(send->messages[0]),
            Bytes("\x0a\x03\x12\x01t\xa0\x06\x07\x22\x01z\x1a\x03\xa0\x06\x07"));
}

// Concatenated messages are one merged message to protobuf.
TEST(ScanSendTest, FieldsThatOccurTwiceAreMergedAsAParserDoes) {
  std::mt19937 random(3);
  for (int i = 0; i < 1000; ++i) {
    const std::string twice =
        RandomMessage(random).SerializeAsString() + RandomMessage(random).SerializeAsString();
    v2::Message merged;
    ASSERT_TRUE(merged.ParseFromString(twice));
    const std::string request = WrapSend(twice);
    const absl::StatusOr<RawSend> send = ScanSend(request);
    ASSERT_OK(send);
    v2::Message stored;
    ASSERT_TRUE(stored.ParseFromString(PayloadOf(send->messages[0])));
    v2::Message expected = WithoutServerFields(merged);
    expected.mutable_topic();
    EXPECT_TRUE(MessageDifferencer::Equals(stored, expected)) << stored.DebugString();
  }
}

// The example of docs/decisions/0002-stored-message-layout.md.
TEST(ScanSendTest, ExampleOfTheDocumentation) {
  const std::string request =
      WrapSend(Bytes("\x0a\x03\x12\x01t\x1a\x08\x0a\x01\x61\x1a\x01m\x68\x03\x22\x01x"));
  const absl::StatusOr<RawSend> send = ScanSend(request);
  ASSERT_OK(send);
  EXPECT_EQ(PayloadOf(send->messages[0]),
            Bytes("\x0a\x03\x12\x01t\x22\x01x\x1a\x06\x0a\x01\x61\x1a\x01m"));
  EXPECT_EQ(send->messages[0].properties_offset, 8u);
}

TEST(ScanSendTest, EmptyRequestHasNoMessages) {
  const absl::StatusOr<RawSend> send = ScanSend("");
  ASSERT_OK(send);
  EXPECT_TRUE(send->messages.empty());
}

TEST(ScanSendTest, EmptyMessageStillHasAWholePayload) {
  const absl::StatusOr<RawSend> send = ScanSend(Bytes("\x0a\x00"));
  ASSERT_OK(send);
  EXPECT_EQ(PayloadOf(send->messages[0]), Bytes("\x0a\x00\x1a\x00"));
  EXPECT_EQ(send->messages[0].properties_offset, 2u);
}

TEST(ScanSendTest, CutRequestsAreMalformed) {
  const std::string request = SerializeSend(UsualMessage(32));
  for (size_t size = 1; size < request.size(); ++size) {
    EXPECT_THAT(ScanSend(request.substr(0, size)), StatusIs(absl::StatusCode::kInvalidArgument))
        << size;
  }
}

TEST(ScanSendTest, StringsMustBeUtf8) {
  for (const std::string_view good : {"orders", "region", "north", "paid", "order-4711",
                                      "01ABCDEF0123456789ABCDEF0123456789", "producer-1"}) {
    std::string request = SerializeSend(UsualMessage(32));
    request[request.find(good)] = '\xff';
    EXPECT_THAT(ScanSend(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("UTF-8")))
        << good;
  }
}

TEST(ScanSendTest, MessagesBeyondTheLimitAreNotLookedAt) {
  std::string request;
  for (size_t i = 0; i <= kMaxMessagesPerSend; ++i) request += Bytes("\x0a\x00");
  const absl::StatusOr<RawSend> send = ScanSend(request);
  ASSERT_OK(send);
  EXPECT_TRUE(send->too_many);
  EXPECT_EQ(send->messages.size(), kMaxMessagesPerSend);
}

TEST(ScanSendTest, MessagesBehindTooManyPropertiesAreNotLookedAt) {
  std::string properties;
  for (size_t i = 0; i < kMaxUserPropertiesKept; ++i) properties += Bytes("\x12\x00");
  std::string request;
  for (size_t i = 0; i < 12; ++i) request += WrapSend(properties);
  const absl::StatusOr<RawSend> send = ScanSend(request);
  ASSERT_OK(send);
  EXPECT_TRUE(send->too_many);
  EXPECT_EQ(send->messages.size(), kMaxPropertiesPerSend / kMaxUserPropertiesKept + 1);
}

TEST(KindTest, FollowsFromWhatTheMessageCarries) {
  MessageProperties properties;
  EXPECT_EQ(KindOf(properties), MessageKind::kNormal);
  properties.message_type = static_cast<int32_t>(MessageKind::kFifo);
  EXPECT_EQ(KindOf(properties), MessageKind::kNormal) << "only TRANSACTION counts as said";
  properties.lite_topic = "lite";
  EXPECT_EQ(KindOf(properties), MessageKind::kLite);
  properties.priority = 0;
  EXPECT_EQ(KindOf(properties), MessageKind::kPriority);
  properties.message_group = "group";
  EXPECT_EQ(KindOf(properties), MessageKind::kFifo);
  properties.delivery_time = FromUnixMillis(1);
  EXPECT_EQ(KindOf(properties), MessageKind::kDelay);
  properties.message_type = static_cast<int32_t>(MessageKind::kTransaction);
  EXPECT_EQ(KindOf(properties), MessageKind::kTransaction);
}

TEST(ScanStoredTest, WrongOffsetIsDataLoss) {
  const Stored stored = Store(UsualMessage(64));
  EXPECT_OK(ScanStored(stored.payload, stored.properties_offset));
  for (uint32_t offset = 0; offset < stored.payload.size() + 3; ++offset) {
    if (offset == stored.properties_offset) continue;
    EXPECT_THAT(ScanStored(stored.payload, offset), StatusIs(absl::StatusCode::kDataLoss))
        << offset;
  }
}

}  // namespace
}  // namespace dunlin::broker
