#include "services/broker/admission/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

using ::testing::HasSubstr;

constexpr Timestamp kNow = FromUnixMillis(1'700'000'000'000);

RawMessage Fine() {
  RawMessage message;
  message.topic_name = "orders";
  message.message_id = "01AB";
  message.body = "body";
  message.tag = "paid";
  message.keys = {"order-1", "customer-2"};
  message.user_properties = {{"region", "north"}};
  return message;
}

absl::Status Admit(RawMessage message) {
  RawSend send;
  send.messages.push_back(std::move(message));
  return AdmitSend(send, Limits(), kNow);
}

// A row of the table of SendMessage checks: what is refused, with which code, saying what.
void ExpectRefused(const RawMessage& message, PublicCode code, std::string_view text) {
  const absl::Status status = Admit(message);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(CodeOf(status), code) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(std::string(text)));
}

TEST(AdmitSendTest, FineMessageIsAdmitted) { EXPECT_OK(Admit(Fine())); }

TEST(AdmitSendTest, NoMessageInRequest) {
  const absl::Status status = AdmitSend(RawSend(), Limits(), kNow);
  EXPECT_EQ(CodeOf(status), PublicCode::kMessageCorrupted);
}

TEST(AdmitSendTest, MessagesOfDifferentTopics) {
  RawSend send;
  send.messages.push_back(Fine());
  send.messages.push_back(Fine());
  EXPECT_OK(AdmitSend(send, Limits(), kNow));
  send.messages[1].topic_name = "invoices";
  EXPECT_EQ(CodeOf(AdmitSend(send, Limits(), kNow)), PublicCode::kMessageCorrupted);
  send.messages[1].topic_name = "orders";
  send.messages[1].topic_namespace = "tenant";
  EXPECT_EQ(CodeOf(AdmitSend(send, Limits(), kNow)), PublicCode::kMessageCorrupted);
}

TEST(AdmitSendTest, TooManyMessages) {
  RawSend send;
  send.messages.push_back(Fine());
  send.too_many = true;
  EXPECT_EQ(CodeOf(AdmitSend(send, Limits(), kNow)), PublicCode::kBadRequest);
}

TEST(AdmitSendTest, EveryMessageOfABatchIsChecked) {
  RawSend send;
  send.messages.push_back(Fine());
  send.messages.push_back(Fine());
  send.messages[1].body = "";
  const absl::Status status = AdmitSend(send, Limits(), kNow);
  EXPECT_EQ(CodeOf(status), PublicCode::kMessageBodyEmpty);
  EXPECT_THAT(std::string(status.message()), HasSubstr("message 2 of 2"));
}

TEST(AdmitSendTest, TopicNameInvalid) {
  RawMessage message = Fine();
  message.topic_name = "no spaces";
  ExpectRefused(message, PublicCode::kIllegalTopic, "no spaces");
}

TEST(AdmitSendTest, BodyEmpty) {
  RawMessage message = Fine();
  message.body = "";
  ExpectRefused(message, PublicCode::kMessageBodyEmpty, "empty");
}

TEST(AdmitSendTest, BodyTooLarge) {
  RawMessage message = Fine();
  const std::string body(4'194'305, 'b');
  message.body = std::string_view(body).substr(1);
  EXPECT_OK(Admit(message));
  message.body = body;
  ExpectRefused(message, PublicCode::kMessageBodyTooLarge, "4194305");
}

TEST(AdmitSendTest, MessageGroupIllegal) {
  RawMessage message = Fine();
  const std::string group(64, 'g');
  message.message_group = std::string_view(group).substr(1);
  EXPECT_OK(Admit(message));
  message.message_group = group;
  ExpectRefused(message, PublicCode::kIllegalMessageGroup, "64");
  message.message_group = " \t ";
  ExpectRefused(message, PublicCode::kIllegalMessageGroup, "blank");
  message.message_group = "a\x01";
  ExpectRefused(message, PublicCode::kIllegalMessageGroup, "\"a\\x01\"");
}

TEST(AdmitSendTest, DeliveryTimeTooFarAhead) {
  RawMessage message = Fine();
  message.delivery_time = kNow + std::chrono::hours(24);
  EXPECT_OK(Admit(message));
  message.delivery_time = kNow - std::chrono::hours(24);
  EXPECT_OK(Admit(message));
  message.delivery_time = kNow + std::chrono::hours(24) + std::chrono::seconds(5);
  ExpectRefused(message, PublicCode::kIllegalDeliveryTime, "86405000 ms");
}

TEST(AdmitSendTest, TooManyUserProperties) {
  RawMessage message = Fine();
  message.user_properties.assign(128, {"k", "v"});
  EXPECT_OK(Admit(message));
  message.user_properties.assign(129, {"k", "v"});
  ExpectRefused(message, PublicCode::kMessagePropertiesTooLarge, "129");
}

TEST(AdmitSendTest, UserPropertyKeyReserved) {
  for (const std::string_view key : {"1ST_POP_TIME",
                                     "ARRIVE_TIME",
                                     "BORN_TIMESTAMP",
                                     "BUYER_ID",
                                     "CLUSTER",
                                     "CONSUME_START_TIME",
                                     "CORRECTION_FLAG",
                                     "CORRELATION_ID",
                                     "DELAY",
                                     "DLQ_ORIGIN_MESSAGE_ID",
                                     "DLQ_ORIGIN_TOPIC",
                                     "DUP_INFO",
                                     "EXTEND_UNIQ_INFO",
                                     "INNER_MULTI_QUEUE_OFFSET",
                                     "INSTANCE_ID",
                                     "KEYS",
                                     "MAX_OFFSET",
                                     "MAX_RECONSUME_TIMES",
                                     "MIN_OFFSET",
                                     "MQ2_FLAG",
                                     "MSG_REGION",
                                     "MSG_TYPE",
                                     "ORIGIN_MESSAGE_ID",
                                     "PGROUP",
                                     "POP_CK",
                                     "POP_CK_OFFSET",
                                     "PUSH_REPLY_TIME",
                                     "REAL_QID",
                                     "REAL_TOPIC",
                                     "RECONSUME_TIME",
                                     "REPLY_TO_CLIENT",
                                     "RETRY_TOPIC",
                                     "TAGS",
                                     "TIMER_DELAY_LEVEL",
                                     "TIMER_DELAY_MS",
                                     "TIMER_DELAY_SEC",
                                     "TIMER_DELIVER_MS",
                                     "TIMER_DEL_UNIQKEY",
                                     "TIMER_DEQUEUE_MS",
                                     "TIMER_ENQUEUE_MS",
                                     "TIMER_OUT_MS",
                                     "TIMER_ROLL_TIMES",
                                     "TRACE_ON",
                                     "TRANSFER_FLAG",
                                     "TRAN_MSG",
                                     "TRAN_PREPARED_QUEUE_OFFSET",
                                     "TTL",
                                     "UNIQ_KEY",
                                     "WAIT",
                                     "_SYS_MSG_PRIORITY_",
                                     "__BORNHOST",
                                     "__CRC32#"}) {
    RawMessage message = Fine();
    message.user_properties = {{key, "v"}};
    ExpectRefused(message, PublicCode::kIllegalMessagePropertyKey, key);
  }
  for (const std::string_view key : {"__SHARDINGKEY", "TRACE_CONTEXT", "keys", "KEY"}) {
    RawMessage message = Fine();
    message.user_properties = {{key, "v"}};
    EXPECT_OK(Admit(message));
  }
}

TEST(AdmitSendTest, UserPropertyWithControlCharacter) {
  RawMessage message = Fine();
  message.user_properties = {{"k\x02", "v"}};
  ExpectRefused(message, PublicCode::kIllegalMessagePropertyKey, "control");
  message.user_properties = {{"k", "v\x7f"}};
  ExpectRefused(message, PublicCode::kIllegalMessagePropertyKey, "control");
  message.user_properties = {{"k", "v\xc2\x85"}};
  ExpectRefused(message, PublicCode::kIllegalMessagePropertyKey, "control");
  message.user_properties = {{"ключ", "значение"}};
  EXPECT_OK(Admit(message));
}

TEST(AdmitSendTest, TagIllegal) {
  RawMessage message = Fine();
  message.tag = "a|b";
  ExpectRefused(message, PublicCode::kIllegalMessageTag, "|");
  message.tag = "  ";
  ExpectRefused(message, PublicCode::kIllegalMessageTag, "blank");
  message.tag = "a\nb";
  ExpectRefused(message, PublicCode::kIllegalMessageTag, "control");
  message.tag = "";
  EXPECT_OK(Admit(message));
}

TEST(AdmitSendTest, KeyIllegal) {
  RawMessage message = Fine();
  message.keys = {"fine", " "};
  ExpectRefused(message, PublicCode::kIllegalMessageKey, "blank");
  message.keys = {"a\x01"};
  ExpectRefused(message, PublicCode::kIllegalMessageKey, "control");
}

TEST(AdmitSendTest, PropertiesTooLargeTogether) {
  RawMessage message = Fine();
  const std::string value(16'384, 'v');
  message.tag = "t";
  message.keys = {"ke"};
  message.user_properties = {{"k", std::string_view(value).substr(4)}};
  EXPECT_OK(Admit(message));
  message.keys = {"key"};
  ExpectRefused(message, PublicCode::kMessagePropertiesTooLarge, "16385");
}

TEST(AdmitSendTest, MessageIdBlank) {
  RawMessage message = Fine();
  message.message_id = "";
  ExpectRefused(message, PublicCode::kIllegalMessageId, "blank");
  message.message_id = " \xe3\x80\x80";
  ExpectRefused(message, PublicCode::kIllegalMessageId, "blank");
}

TEST(AdmitSendTest, RecoveryDurationTooLong) {
  RawMessage message = Fine();
  message.recovery_duration = std::chrono::seconds(3600);
  EXPECT_OK(Admit(message));
  message.recovery_duration = std::chrono::milliseconds(3'600'001);
  ExpectRefused(message, PublicCode::kBadRequest, "3600001");
}

TEST(AdmitSendTest, AHalfMessageIsNothingElse) {
  RawMessage half = Fine();
  half.message_type = static_cast<int32_t>(MessageKind::kTransaction);
  half.recovery_duration = std::chrono::seconds(3600);
  EXPECT_OK(Admit(half));
  const PublicCode conflict = PublicCode::kMessagePropertyConflictWithType;
  RawMessage other = half;
  other.message_group = "group";
  ExpectRefused(other, conflict, "a message group");
  other = half;
  other.delivery_time = kNow;
  ExpectRefused(other, conflict, "a delivery time");
  other = half;
  other.priority = 1;
  ExpectRefused(other, conflict, "a priority");
  other = half;
  other.lite_topic = "lite";
  ExpectRefused(other, conflict, "a lite topic");
}

TEST(AdmitSendTest, LiteTopicIllegal) {
  RawMessage message = Fine();
  message.lite_topic = "chat-7";
  EXPECT_OK(Admit(message));
  message.lite_topic = "chat@7";
  ExpectRefused(message, PublicCode::kIllegalLiteTopic, "chat@7");
}

TEST(AdmitSendTest, AMessageOfALightweightTopicIsNothingElse) {
  RawMessage message = Fine();
  message.lite_topic = "session-1";
  EXPECT_OK(Admit(message));
  constexpr PublicCode kConflict = PublicCode::kMessagePropertyConflictWithType;
  RawMessage second = message;
  second.message_group = "group";
  ExpectRefused(second, kConflict, "a message group");
  second = message;
  second.delivery_time = kNow;
  ExpectRefused(second, kConflict, "a delivery time");
  second = message;
  second.priority = 1;
  ExpectRefused(second, kConflict, "a priority");
}

TEST(AdmitSendTest, PriorityNegative) {
  RawMessage message = Fine();
  message.priority = 0;
  EXPECT_OK(Admit(message));
  message.priority = -1;
  ExpectRefused(message, PublicCode::kBadRequest, "-1");
}

TEST(CheckKindTest, KindConflictsWithTopic) {
  const uint32_t normal_and_fifo = (1u << 1) | (1u << 2);
  EXPECT_OK(CheckKind(MessageKind::kNormal, normal_and_fifo, "orders"));
  EXPECT_OK(CheckKind(MessageKind::kFifo, normal_and_fifo, "orders"));
  const absl::Status status = CheckKind(MessageKind::kDelay, normal_and_fifo, "orders");
  EXPECT_EQ(CodeOf(status), PublicCode::kMessagePropertyConflictWithType);
  EXPECT_THAT(std::string(status.message()), HasSubstr("DELAY, and topic \"orders\" takes NORMAL, "
                                                       "FIFO"));
}

TEST(CheckKindTest, ANormalMessageIsToldWhatItLacks) {
  const auto lacks = [](uint32_t accepted) {
    return std::string(CheckKind(MessageKind::kNormal, accepted, "sessions").message());
  };
  EXPECT_THAT(lacks(1u << 5), HasSubstr("or give it a lightweight topic"));
  EXPECT_THAT(lacks((1u << 2) | (1u << 3)),
              HasSubstr("or give it a message group or a delivery time"));
}

TEST(LimitsTest, ConfiguredOnesCount) {
  config::v1::BrokerConfig config;
  config.set_max_message_body_bytes(3);
  config.set_max_user_properties(2);
  config.set_max_properties_bytes(1);
  config.set_max_delay_hours(4);
  const Limits limits = LimitsOf(config);
  EXPECT_EQ(limits.max_body_bytes, 3u);
  EXPECT_EQ(limits.max_user_properties, 2u);
  EXPECT_EQ(limits.max_properties_bytes, 1u);
  EXPECT_EQ(limits.max_delay, std::chrono::hours(4));
}

}  // namespace
}  // namespace dunlin::broker
