// Dead letters over the wire: they are counted, shown, sent again once, purged, and never lost.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "services/broker/rpc/testing/groups_fixture.h"

namespace dunlin::broker {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class DeadLetterAdminTest : public GroupsTest {
 protected:
  // Topic t of one queue, and `count` letters of group g: 0, 1, ...
  void Bury(int count, const std::string& message_group = "") {
    admin::v1::CreateTopicRequest topic;
    topic.mutable_topic()->set_name("t");
    topic.mutable_topic()->set_queues(1);
    topic.mutable_topic()->add_kinds(message_group.empty() ? admin::v1::NORMAL : admin::v1::FIFO);
    Do(&Admin::CreateTopic, topic);
    admin::v1::Group group = Named("g");
    group.set_max_attempts(1);
    Create(group);
    for (int i = 0; i < count; ++i) {
      v2::SendMessageRequest request;
      v2::Message* const message = AddMessage(request, "t", std::to_string(i), "tag");
      if (!message_group.empty()) {
        message->mutable_system_properties()->set_message_type(v2::FIFO);
        message->mutable_system_properties()->set_message_group(message_group);
      }
      EXPECT_EQ(Call(&v2::MessagingService::Stub::SendMessage, request).status().code(), v2::OK);
    }
    AwaitIndexed("t", static_cast<size_t>(count));
    for (int got = 0; got < count;) got += static_cast<int>(BodiesOf("t", "g").size());
    clock_.Advance(seconds(31));
    while (Waiting() != static_cast<uint64_t>(count)) {
      EXPECT_THAT(BodiesOf("t", "g"), IsEmpty());
    }
  }

  admin::v1::DeadLetterStatus Status() {
    const auto list = Do(&Admin::ListDeadLetters, admin::v1::ListDeadLettersRequest());
    for (const auto& status : list.groups()) {
      if (status.group() == "g") return status;
    }
    return {};
  }
  uint64_t Waiting() { return Status().waiting(); }

  static admin::v1::ResendDeadLettersRequest ResendOne(int64_t offset) {
    admin::v1::ResendDeadLettersRequest request;
    request.set_group("g");
    request.set_offset(offset);
    return request;
  }
  static admin::v1::ResendDeadLettersRequest ResendAll() {
    admin::v1::ResendDeadLettersRequest request;
    request.set_group("g");
    request.set_before_offset(INT64_MAX);
    return request;
  }
  static admin::v1::GetDeadLettersRequest Letters(bool all) {
    admin::v1::GetDeadLettersRequest request;
    request.set_group("g");
    request.set_all(all);
    return request;
  }
  std::vector<int64_t> OffsetsOf(const admin::v1::GetDeadLettersRequest& request) {
    std::vector<int64_t> offsets;
    const auto shown = Do(&Admin::GetDeadLetters, request);
    for (const auto& letter : shown.letters()) offsets.push_back(letter.offset());
    return offsets;
  }
  std::vector<std::string> SomeBodies(const std::string& topic, const std::string& group) {
    std::vector<std::string> bodies;
    for (const v2::Message& message : ReceiveSome(topic, group)) bodies.push_back(message.body());
    return bodies;
  }
};

TEST_F(DeadLetterAdminTest, LettersAreCountedAndShown) {
  Bury(3);
  const admin::v1::DeadLetterStatus status = Status();
  EXPECT_EQ(status.held(), 3u);
  EXPECT_EQ(status.first_offset(), 0);
  EXPECT_EQ(status.end_offset(), 3);
  EXPECT_FALSE(status.group_deleted());
  EXPECT_EQ(status.last_time().seconds(), ToUnixMillis(clock_.Now()) / 1000);
  const auto shown = Do(&Admin::GetDeadLetters, Letters(false));
  ASSERT_EQ(shown.letters_size(), 3);
  EXPECT_EQ(shown.next_offset(), -1);
  for (int i = 0; i < 3; ++i) {
    const admin::v1::DeadLetter& letter = shown.letters(i);
    EXPECT_EQ(letter.offset(), i);
    EXPECT_EQ(letter.origin_topic(), "t");
    EXPECT_EQ(letter.attempts(), 1u);
    EXPECT_EQ(letter.reason(), admin::v1::ATTEMPTS_EXHAUSTED);
    EXPECT_FALSE(letter.done());
    v2::Message message;
    ASSERT_TRUE(message.ParseFromString(letter.message().message()));
    EXPECT_EQ(message.body(), std::to_string(letter.origin_offset()));
    EXPECT_EQ(message.system_properties().message_id(), "id-" + message.body());
  }
}

TEST_F(DeadLetterAdminTest, LettersAreShownInPages) {
  Bury(5);
  admin::v1::GetDeadLettersRequest request = Letters(false);
  request.set_limit(2);
  EXPECT_THAT(OffsetsOf(request), ElementsAre(0, 1));
  EXPECT_EQ(Do(&Admin::GetDeadLetters, request).next_offset(), 2);
  request.set_offset(4);
  EXPECT_THAT(OffsetsOf(request), ElementsAre(4));
  request.set_offset(99);
  EXPECT_THAT(OffsetsOf(request), IsEmpty());
  request.set_limit(65);
  EXPECT_THAT(Refusal(&Admin::GetDeadLetters, request), HasSubstr("65"));
  request.set_group("nobody");
  EXPECT_THAT(Refusal(&Admin::GetDeadLetters, request), HasSubstr("has no dead letters"));
}

TEST_F(DeadLetterAdminTest, OneLetterIsSentAgainOnce) {
  Bury(3);
  EXPECT_EQ(Do(&Admin::ResendDeadLetters, ResendOne(1)).resent(), 1u);
  EXPECT_THAT(Refusal(&Admin::ResendDeadLetters, ResendOne(1)), HasSubstr("letter 1 is done"));
  EXPECT_THAT(OffsetsOf(Letters(false)), ElementsAre(0, 2));
  EXPECT_THAT(OffsetsOf(Letters(true)), ElementsAre(0, 1, 2));
  const std::vector<v2::Message> again = ReceiveSome("t", "g");
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].body(), "1");
  EXPECT_EQ(again[0].system_properties().message_id(), "id-1");
  EXPECT_EQ(again[0].system_properties().tag(), "tag");
  EXPECT_EQ(again[0].system_properties().delivery_attempt(), 1);
  EXPECT_FALSE(again[0].system_properties().has_dead_letter_queue());
  Ack("t", "g", {Handle(again[0])});
  EXPECT_THAT(Refusal(&Admin::ResendDeadLetters, ResendOne(3)), HasSubstr("no letter 3"));
  EXPECT_THAT(Refusal(&Admin::ResendDeadLetters, ResendOne(-1)), HasSubstr("no letter -1"));
}

TEST_F(DeadLetterAdminTest, NoOtherGroupGetsALetterThatIsSentAgain) {
  Bury(1);
  // It has had the message in its time.
  EXPECT_THAT(SomeBodies("t", "other"), ElementsAre("0"));
  Do(&Admin::ResendDeadLetters, ResendAll());
  EXPECT_THAT(SomeBodies("t", "g"), ElementsAre("0"));
  EXPECT_THAT(BodiesOf("t", "other"), IsEmpty());
  // One that begins now gets it once.
  EXPECT_THAT(BodiesOf("t", "new"), ElementsAre("0"));
  Subscriber other(*streams_, "other", Context());
  EXPECT_EQ(other.AttachAt("t", 0, 0).status().code(), v2::OK);
  EXPECT_THAT(other.Bodies(1), ElementsAre("0"));
  Subscriber reader(*streams_, "", Context());
  EXPECT_EQ(reader.AttachAt("t", 0, 0).status().code(), v2::OK);
  EXPECT_THAT(reader.Bodies(2), ElementsAre("0", "0"));
}

TEST_F(DeadLetterAdminTest, AllLettersAreSentAgainAndThatOutlivesARestart) {
  Bury(5);
  EXPECT_EQ(Do(&Admin::ResendDeadLetters, ResendOne(3)).resent(), 1u);
  const auto resent = Do(&Admin::ResendDeadLetters, ResendAll());
  EXPECT_EQ(resent.resent(), 4u);
  EXPECT_EQ(resent.failed(), 0u);
  EXPECT_FALSE(resent.more());
  EXPECT_EQ(resent.before_offset(), 5);
  Restart();
  EXPECT_EQ(Waiting(), 0u);
  EXPECT_EQ(Status().held(), 5u);
  EXPECT_EQ(Do(&Admin::ResendDeadLetters, ResendAll()).resent(), 0u);
  std::vector<std::string> bodies;
  while (bodies.size() < 5) {
    for (std::string& body : SomeBodies("t", "g")) bodies.push_back(std::move(body));
  }
  EXPECT_THAT(bodies, UnorderedElementsAre("0", "1", "2", "3", "4"));
}

TEST_F(DeadLetterAdminTest, ALetterMayFailAgain) {
  Bury(1);
  Do(&Admin::ResendDeadLetters, ResendAll());
  EXPECT_THAT(SomeBodies("t", "g"), ElementsAre("0"));
  clock_.Advance(seconds(31));
  while (Waiting() == 0) EXPECT_THAT(BodiesOf("t", "g"), IsEmpty());
  EXPECT_THAT(OffsetsOf(Letters(false)), ElementsAre(1));
  EXPECT_EQ(Do(&Admin::ResendDeadLetters, ResendAll()).resent(), 1u);
  EXPECT_THAT(SomeBodies("t", "g"), ElementsAre("0"));
}

TEST_F(DeadLetterAdminTest, AnOrderedMessageGoesWhereItsMessageGroupIs) {
  Bury(2, "account");
  EXPECT_EQ(Do(&Admin::ResendDeadLetters, ResendAll()).resent(), 2u);
  EXPECT_THAT(SomeBodies("t", "g"), ElementsAre("0", "1"));
}

TEST_F(DeadLetterAdminTest, WithoutItsTopicALetterWaits) {
  Bury(2);
  admin::v1::UpdateTopicRequest update;
  update.mutable_topic()->set_name("t");
  update.mutable_topic()->set_permission(admin::v1::READ);
  Do(&Admin::UpdateTopic, update);
  EXPECT_THAT(Refusal(&Admin::ResendDeadLetters, ResendOne(0)), HasSubstr("permission READ_WRITE"));
  admin::v1::DeleteTopicRequest remove;
  remove.set_name("t");
  Do(&Admin::DeleteTopic, remove);
  EXPECT_THAT(Refusal(&Admin::ResendDeadLetters, ResendOne(0)), HasSubstr("was deleted"));
  const auto resent = Do(&Admin::ResendDeadLetters, ResendAll());
  EXPECT_EQ(resent.resent(), 0u);
  EXPECT_EQ(resent.failed(), 2u);
  EXPECT_THAT(resent.failure(), HasSubstr("was deleted"));
  EXPECT_EQ(Waiting(), 2u);
  EXPECT_THAT(Do(&Admin::GetDeadLetters, Letters(false)).letters(0).origin_topic(),
              HasSubstr("deleted"));
  EXPECT_THAT(SomeBodies("%DLQ%g", "reader-of-letters"), ElementsAre("0", "1"));
}

TEST_F(DeadLetterAdminTest, LettersArePurged) {
  Bury(4);
  EXPECT_EQ(Do(&Admin::ResendDeadLetters, ResendOne(0)).resent(), 1u);
  admin::v1::PurgeDeadLettersRequest request;
  request.set_group("g");
  EXPECT_THAT(Refusal(&Admin::PurgeDeadLetters, request), HasSubstr("say which"));
  request.set_before_offset(2);
  EXPECT_EQ(Do(&Admin::PurgeDeadLetters, request).purged(), 1u);
  EXPECT_THAT(OffsetsOf(Letters(false)), ElementsAre(2, 3));
  EXPECT_THAT(Refusal(&Admin::ResendDeadLetters, ResendOne(1)), HasSubstr("is done"));
  request.mutable_before_time()->set_seconds(1);
  EXPECT_EQ(Do(&Admin::PurgeDeadLetters, request).purged(), 0u);
  request.set_all(true);
  EXPECT_EQ(Do(&Admin::PurgeDeadLetters, request).purged(), 2u);
  EXPECT_EQ(Waiting(), 0u);
  Restart();
  EXPECT_EQ(Waiting(), 0u);
}

TEST_F(DeadLetterAdminTest, AForwardedMessageSaysSo) {
  CreateTopic("t", 1);
  Create(Named("g"));
  Send("t", "0");
  const std::vector<v2::Message> messages = ReceiveSome("t", "g");
  ASSERT_EQ(messages.size(), 1u);
  v2::ForwardMessageToDeadLetterQueueRequest request;
  request.mutable_topic()->set_name("t");
  request.mutable_group()->set_name("g");
  request.set_receipt_handle(Handle(messages[0]));
  Call(&v2::MessagingService::Stub::ForwardMessageToDeadLetterQueue, request);
  while (Waiting() == 0) {
  }
  const auto shown = Do(&Admin::GetDeadLetters, Letters(false));
  EXPECT_EQ(shown.letters(0).reason(), admin::v1::FORWARDED);
  EXPECT_EQ(shown.letters(0).attempts(), 1u);
}

TEST_F(DeadLetterAdminTest, WhatTheGroupConsumesOfItsLettersIsDone) {
  Bury(2);
  const Received received = Receive("%DLQ%g", "g");
  ASSERT_EQ(received.messages.size(), 2u);
  Ack("%DLQ%g", "g", {Handle(received.messages[0])});
  EXPECT_THAT(OffsetsOf(Letters(false)), ElementsAre(1));
  EXPECT_THAT(Refusal(&Admin::ResendDeadLetters, ResendOne(1)), HasSubstr("in a minute"));
}

TEST_F(DeadLetterAdminTest, LettersOfADeletedGroupStay) {
  Bury(1);
  admin::v1::DeleteGroupRequest remove;
  remove.set_name("g");
  Do(&Admin::DeleteGroup, remove);
  EXPECT_TRUE(Status().group_deleted());
  EXPECT_THAT(OffsetsOf(Letters(false)), ElementsAre(0));
  EXPECT_THAT(Refusal(&Admin::ResendDeadLetters, ResendAll()), HasSubstr("no consumer group g"));
}

}  // namespace
}  // namespace dunlin::broker
