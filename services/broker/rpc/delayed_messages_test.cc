// Delayed messages by the public API: sent, waited for, delivered, recalled; on a clock that the
// test turns.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>
#include <vector>

#include "proto/dunlin/admin/v1/admin.pb.h"
#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/base/clock.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"
#include "services/broker/rpc/testing/stream_clients.h"
#include "services/broker/rpc/testing/topic_admin.h"
#include "services/broker/timers/recall_handle.h"

namespace dunlin::broker {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

class DelayedMessagesTest : public MessagingServiceTest {
 protected:
  DelayedMessagesTest() { CreateTopic("delayed", {admin::v1::DELAY}); }

  TopicAdmin Admin() { return TopicAdmin(server_->InProcessChannel({})); }
  void CreateTopic(const std::string& name, const std::vector<admin::v1::MessageKind>& kinds) {
    admin::v1::Topic topic = TopicAdmin::Topic(name, 1);
    for (admin::v1::MessageKind kind : kinds) topic.add_kinds(kind);
    Admin().Create(topic);
  }

  v2::SendResultEntry SendDelayed(const std::string& body, milliseconds delay,
                                  const std::string& topic = "delayed") {
    v2::SendMessageRequest request;
    SetDue(*AddMessage(request, topic, body), clock_.Now() + delay);
    const v2::SendMessageResponse response = Call(&Stub::SendMessage, request);
    EXPECT_EQ(response.entries_size() == 1 ? response.entries(0).status().code()
                                           : response.status().code(),
              response.status().code());
    v2::SendResultEntry entry;
    if (response.entries_size() == 1) entry = response.entries(0);
    *entry.mutable_status() = response.status();
    return entry;
  }

  static void SetDue(v2::Message& message, Timestamp due) {
    const int64_t millis = ToUnixMillis(due);
    auto& time = *message.mutable_system_properties()->mutable_delivery_timestamp();
    time.set_seconds(millis / 1000);
    time.set_nanos(static_cast<int32_t>(millis % 1000) * 1'000'000);
  }

  v2::RecallMessageResponse Recall(const std::string& handle,
                                   const std::string& topic = "delayed") {
    v2::RecallMessageRequest request;
    request.mutable_topic()->set_name(topic);
    request.set_recall_handle(handle);
    return Call(&Stub::RecallMessage, request);
  }

  std::vector<std::string> Bodies(const std::vector<v2::Message>& messages) {
    std::vector<std::string> bodies;
    for (const v2::Message& message : messages) bodies.push_back(message.body());
    return bodies;
  }

  using Stub = v2::MessagingService::Stub;
};

TEST_F(DelayedMessagesTest, ComesWhenItIsDueAndNotBefore) {
  const v2::SendResultEntry sent = SendDelayed("hello", milliseconds(1500));
  EXPECT_EQ(sent.status().code(), v2::OK);
  EXPECT_EQ(sent.message_id(), "id-hello");
  EXPECT_THAT(sent.recall_handle(), Not(IsEmpty()));
  clock_.Advance(milliseconds(1499));
  EXPECT_EQ(Receive("delayed", "group").status.code(), v2::MESSAGE_NOT_FOUND);

  clock_.Advance(milliseconds(1));
  const std::vector<v2::Message> messages = ReceiveSome("delayed", "group");
  ASSERT_EQ(messages.size(), 1u);
  const v2::SystemProperties& properties = messages[0].system_properties();
  EXPECT_EQ(messages[0].body(), "hello");
  EXPECT_EQ(properties.message_type(), v2::DELAY);
  EXPECT_EQ(properties.message_id(), "id-hello");
  EXPECT_EQ(properties.queue_offset(), 0);
  EXPECT_EQ(properties.delivery_attempt(), 1);
  EXPECT_EQ(properties.delivery_timestamp().seconds(), ToUnixMillis(clock_.Now()) / 1000);
  EXPECT_FALSE(properties.has_dead_letter_queue());
  EXPECT_EQ(Ack("delayed", "group", {Handle(messages[0])}).status().code(), v2::OK);
}

TEST_F(DelayedMessagesTest, APollThatWaitsIsServedWhenOneIsDue) {
  SendDelayed("soon", seconds(3));
  auto poll = std::async(std::launch::async, [this] { return ReceiveSome("delayed", "group"); });
  TopicAdmin admin = Admin();
  while (admin.Waiting() != 1) {
  }
  clock_.Advance(seconds(3));
  EXPECT_THAT(Bodies(poll.get()), ElementsAre("soon"));
}

TEST_F(DelayedMessagesTest, APastTimeMeansAtOnce) {
  const v2::SendResultEntry sent = SendDelayed("late", -hours(1));
  EXPECT_EQ(sent.status().code(), v2::OK);
  EXPECT_EQ(sent.offset(), 0);
  const std::vector<v2::Message> messages = ReceiveSome("delayed", "group");
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].system_properties().message_type(), v2::DELAY);
  EXPECT_TRUE(messages[0].system_properties().has_delivery_timestamp());
}

TEST_F(DelayedMessagesTest, OnlyWithinTheHorizonAndOnlyWhereTheTopicTakesThem) {
  EXPECT_EQ(SendDelayed("day", hours(24)).status().code(), v2::OK);
  EXPECT_EQ(SendDelayed("more", hours(24) + seconds(1)).status().code(), v2::ILLEGAL_DELIVERY_TIME);
  EXPECT_EQ(Send("delayed", "not delayed").status().code(),
            v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  CreateTopic("normal", {admin::v1::NORMAL});
  EXPECT_EQ(SendDelayed("x", seconds(1), "normal").status().code(),
            v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
}

TEST_F(DelayedMessagesTest, ABatchMayMixThem) {
  CreateTopic("mixed", {admin::v1::NORMAL, admin::v1::DELAY});
  v2::SendMessageRequest request;
  SetDue(*AddMessage(request, "mixed", "later"), clock_.Now() + seconds(5));
  AddMessage(request, "mixed", "now");
  const v2::SendMessageResponse response = Call(&Stub::SendMessage, request);
  ASSERT_EQ(response.entries_size(), 2);
  EXPECT_THAT(response.entries(0).recall_handle(), Not(IsEmpty()));
  EXPECT_THAT(response.entries(1).recall_handle(), IsEmpty());
  EXPECT_THAT(Bodies(ReceiveSome("mixed", "group")), ElementsAre("now"));
  clock_.Advance(seconds(5));
  EXPECT_THAT(Bodies(ReceiveSome("mixed", "group")), ElementsAre("later"));
}

TEST_F(DelayedMessagesTest, SurvivesARestartAndComesAtOnceWhenItWasDueMeanwhile) {
  SendDelayed("a", seconds(10));
  SendDelayed("b", seconds(20));
  StopAll();
  clock_.Advance(seconds(15));
  Start();
  EXPECT_THAT(Bodies(ReceiveSome("delayed", "group")), ElementsAre("a"));
  StopAll();
  Start();
  EXPECT_EQ(Receive("delayed", "other").messages.size(), 1u);
  clock_.Advance(seconds(5));
  EXPECT_THAT(Bodies(ReceiveSome("delayed", "group")), ElementsAre("b"));
}

TEST_F(DelayedMessagesTest, FailsLikeAnyOtherAndBecomesADeadLetter) {
  SendDelayed("poison", seconds(1));
  clock_.Advance(seconds(1));
  std::vector<v2::Message> messages = ReceiveSome("delayed", "group");
  ASSERT_EQ(messages.size(), 1u);
  v2::ForwardMessageToDeadLetterQueueRequest request;
  request.mutable_topic()->set_name("delayed");
  request.mutable_group()->set_name("group");
  request.set_receipt_handle(Handle(messages[0]));
  request.set_message_id("id-poison");
  EXPECT_EQ(Call(&Stub::ForwardMessageToDeadLetterQueue, request).status().code(), v2::OK);
  messages = ReceiveSome("%DLQ%group", "undertaker");
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].body(), "poison");
  EXPECT_EQ(messages[0].system_properties().dead_letter_queue().topic(), "delayed");
  EXPECT_EQ(messages[0].system_properties().dead_letter_queue().message_id(), "id-poison");
}

TEST_F(DelayedMessagesTest, WhatIsRecalledNeverComes) {
  const v2::SendResultEntry sent = SendDelayed("wrong", seconds(10));
  const v2::SendResultEntry kept = SendDelayed("right", seconds(10));
  for (int i = 0; i < 2; ++i) {  // the second time changes nothing
    const v2::RecallMessageResponse recalled = Recall(sent.recall_handle());
    EXPECT_EQ(recalled.status().code(), v2::OK) << recalled.status().message();
    EXPECT_EQ(recalled.message_id(), "id-wrong");
  }
  StopAll();
  Start();
  EXPECT_EQ(Recall(sent.recall_handle()).status().code(), v2::OK);
  clock_.Advance(seconds(10));
  EXPECT_THAT(Bodies(ReceiveSome("delayed", "group")), ElementsAre("right"));
  EXPECT_EQ(Receive("delayed", "group").status.code(), v2::MESSAGE_NOT_FOUND);
  EXPECT_EQ(Recall(kept.recall_handle()).status().code(), v2::MESSAGE_NOT_FOUND);
}

TEST_F(DelayedMessagesTest, ARecallSaysPreciselyWhatIsWrong) {
  CreateTopic("other", {admin::v1::DELAY});
  CreateTopic("normal", {admin::v1::NORMAL});
  const std::string handle = SendDelayed("hello", seconds(10)).recall_handle();
  EXPECT_EQ(Recall(handle, "other").status().code(), v2::BAD_REQUEST);
  EXPECT_EQ(Recall(handle, "normal").status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_EQ(Recall(handle, "missing").status().code(), v2::TOPIC_NOT_FOUND);
  EXPECT_EQ(Recall("").status().code(), v2::BAD_REQUEST);
  EXPECT_EQ(Recall("no base64!").status().code(), v2::BAD_REQUEST);
  EXPECT_EQ(Recall(handle.substr(4)).status().code(), v2::BAD_REQUEST);
  EXPECT_EQ(Recall(handle).status().code(), v2::OK);
}

// Who may send to one topic and makes a handle up takes nothing out of another one.
TEST_F(DelayedMessagesTest, AHandleThatNamesAnotherTopicRecallsNothing) {
  CreateTopic("other", {admin::v1::DELAY});
  RecallHandle handle =
      DecodeRecallHandle(SendDelayed("hello", seconds(10)).recall_handle()).value();
  handle.topic =
      DecodeRecallHandle(SendDelayed("mine", seconds(10), "other").recall_handle())->topic;
  EXPECT_EQ(Recall(Encode(handle), "other").status().code(), v2::BAD_REQUEST);
  clock_.Advance(seconds(10));
  EXPECT_THAT(Bodies(ReceiveSome("delayed", "group")), ElementsAre("hello"));
}

TEST_F(DelayedMessagesTest, StreamsCarryThemToo) {
  const auto streams = v1::StreamService::NewStub(server_->InProcessChannel({}));
  {
    Publisher publisher(*streams, 7, Context());
    publisher.Bind(1, "delayed", 0);
    v1::PublishRequest request = Publisher::Frame(1, 1, {});
    for (const char* body : {"a", "b"}) {
      v2::Message message;
      message.set_body(body);
      SetDue(message, clock_.Now() + hours(48));
      request.mutable_frame()->add_messages(message.SerializeAsString());
    }
    publisher.Write(request);
    EXPECT_EQ(publisher.Ack().first_offset(), -1);
    publisher.Write(request);  // a repetition is not stored again
    EXPECT_EQ(publisher.Ack().first_offset(), -1);
  }
  StopAll();
  Start();
  const auto again = v1::StreamService::NewStub(server_->InProcessChannel({}));
  Publisher publisher(*again, 7, Context());
  EXPECT_EQ(publisher.Bind(1, "delayed", 0).last_sequence(), 2u);
  clock_.Advance(hours(48));
  const std::vector<v2::Message> messages = ReceiveSome("delayed", "group");
  EXPECT_THAT(Bodies(messages), ElementsAre("a", "b"));
  EXPECT_NE(messages[0].system_properties().message_id(),
            messages[1].system_properties().message_id());
}

TEST_F(DelayedMessagesTest, TimersOfADeletedTopicEnd) {
  SendDelayed("orphan", seconds(10));
  Admin().Delete("delayed");
  clock_.Advance(seconds(10));
  CreateTopic("delayed", {admin::v1::DELAY});
  SendDelayed("new", seconds(1));
  clock_.Advance(seconds(1));
  EXPECT_THAT(Bodies(ReceiveSome("delayed", "group")), ElementsAre("new"));
}

}  // namespace
}  // namespace dunlin::broker
