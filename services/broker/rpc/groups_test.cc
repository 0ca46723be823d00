// What a consumer group may be told, over the wire: where to start, to pause, its filter, its
// limits.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>
#include <vector>

#include "services/broker/rpc/testing/groups_fixture.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
TEST_F(GroupsTest, AGroupBeginsWhereItIsTold) {
  CreateTopic("t", 1);
  Send("t", "old");
  clock_.Advance(seconds(10));
  const int64_t between = ToUnixMillis(clock_.Now()) / 1000;
  Send("t", "middle");
  clock_.Advance(seconds(10));
  admin::v1::Group group = Named("last");
  group.mutable_start()->set_last(true);
  Create(group);
  group = Named("since");
  group.mutable_start()->mutable_time()->set_seconds(between);
  Create(group);
  Create(Named("first"));
  clock_.Advance(seconds(10));
  Send("t", "new");
  AwaitIndexed("t", 3);
  // It was decided when the group was made: a restart makes no difference.
  Restart();
  EXPECT_THAT(BodiesOf("t", "last"), ElementsAre("new"));
  EXPECT_THAT(BodiesOf("t", "since"), ElementsAre("middle", "new"));
  EXPECT_THAT(BodiesOf("t", "first"), ElementsAre("old", "middle", "new"));
  // Where it is now it goes on.
  group = Named("last");
  group.mutable_start()->set_first(true);
  Update(group);
  EXPECT_THAT(BodiesOf("t", "last"), IsEmpty());
}

TEST_F(GroupsTest, AStreamBeginsThereToo) {
  CreateTopic("t", 1);
  Send("t", "old");
  AwaitIndexed("t", 1);
  clock_.Advance(seconds(10));
  admin::v1::Group group = Named("g");
  group.mutable_start()->set_last(true);
  Create(group);
  Subscriber subscriber(*streams_, "g", Context());
  v1::SubscribeRequest request;
  request.mutable_attach()->set_binding(1);
  request.mutable_attach()->mutable_offset()->set_start(v1::OffsetMode::COMMITTED);
  EXPECT_EQ(subscriber.Attach(request, "t").start_offset(), 1u);
}

TEST_F(GroupsTest, APausedGroupWaitsAndGoesOnAtOnce) {
  CreateTopic("t", 1);
  Create(Named("g"));
  Pause("g", true);
  Send("t", "a");
  AwaitIndexed("t", 1);
  EXPECT_THAT(BodiesOf("t", "g"), IsEmpty());
  auto waiting = Wait("t", "g");
  AwaitWaiting(1);
  admin::v1::GetGroupRequest get;
  get.set_name("g");
  EXPECT_TRUE(Do(&Admin::GetGroup, get).group().paused());
  Pause("g", false);
  EXPECT_EQ(waiting.get().size(), 1u);
}

TEST_F(GroupsTest, WhoWaitsForADeletedGroupIsToldAtOnce) {
  CreateTopic("t", 1);
  Create(Named("g"));
  v2::ReceiveMessageRequest request = ReceiveRequest("t", "g");
  request.mutable_long_polling_timeout()->set_seconds(5);
  auto waiting = std::async(std::launch::async, [&] { return Receive(request).status.code(); });
  AwaitWaiting(1);
  admin::v1::DeleteGroupRequest gone;
  gone.set_name("g");
  Do(&Admin::DeleteGroup, gone);
  EXPECT_EQ(waiting.get(), v2::CONSUMER_GROUP_NOT_FOUND);
}

TEST_F(GroupsTest, APauseOutlivesARestart) {
  CreateTopic("t", 1);
  Create(Named("g"));
  Pause("g", true);
  Send("t", "a");
  AwaitIndexed("t", 1);
  Restart();
  EXPECT_THAT(BodiesOf("t", "g"), IsEmpty());
  Pause("g", false);
  EXPECT_THAT(BodiesOf("t", "g"), ElementsAre("a"));
}

TEST_F(GroupsTest, WhatAPausedGroupHasInFlightIsAcknowledged) {
  CreateTopic("t", 1);
  Create(Named("g"));
  Send("t", "a");
  AwaitIndexed("t", 1);
  const Received received = Receive("t", "g");
  ASSERT_EQ(received.messages.size(), 1u);
  Pause("g", true);
  EXPECT_EQ(Ack("t", "g", {Handle(received.messages[0])}).status().code(), v2::OK);
}

TEST_F(GroupsTest, AStreamOfAPausedGroupWaitsInBothModes) {
  CreateTopic("t", 1);
  Create(Named("g"));
  Pause("g", true);
  Send("t", "a");
  AwaitIndexed("t", 1);
  Subscriber by_lease(*streams_, "g", Context());
  EXPECT_EQ(by_lease.AttachGroup("t").status().code(), v2::OK);
  Subscriber by_offset(*streams_, "g", Context());
  EXPECT_EQ(by_offset.AttachAt("t", 0, 0).status().code(), v2::OK);
  AwaitWaiting(2);
  Pause("g", false);
  EXPECT_THAT(by_lease.Bodies(1), ElementsAre("a"));
  EXPECT_THAT(by_offset.Bodies(1), ElementsAre("a"));
}

TEST_F(GroupsTest, AnotherFilterIsRefusedUntilTheOldOnesHaveGone) {
  CreateTopic("t", 1);
  Create(Named("g"));
  EXPECT_EQ(ReceiveWith("red", "old").status.code(), v2::MESSAGE_NOT_FOUND);
  const v2::Status refused = ReceiveWith("green", "new").status;
  EXPECT_EQ(refused.code(), v2::PRECONDITION_FAILED);
  EXPECT_THAT(refused.message(), HasSubstr("client new asks for TAG green"));
  EXPECT_THAT(refused.message(), HasSubstr("client old consumes"));
  Subscriber subscriber(*streams_, "g", Context("stream"));
  EXPECT_EQ(subscriber.AttachGroup("t").status().code(), v2::PRECONDITION_FAILED);

  admin::v1::GetGroupRequest get;
  get.set_name("g");
  const admin::v1::GetGroupResponse shown = Do(&Admin::GetGroup, get);
  ASSERT_EQ(shown.subscriptions_size(), 1);
  EXPECT_EQ(shown.subscriptions(0).filter(), "TAG red");
  EXPECT_EQ(shown.subscriptions(0).refused_client(), "stream");

  v2::NotifyClientTerminationRequest end;
  end.mutable_group()->set_name("g");
  Call(&v2::MessagingService::Stub::NotifyClientTermination, end, "old");
  EXPECT_EQ(ReceiveWith("green", "new").status.code(), v2::MESSAGE_NOT_FOUND);
}

TEST_F(GroupsTest, AStreamHoldsItsFilterAsLongAsItIsOpen) {
  CreateTopic("t", 1);
  {
    Subscriber subscriber(*streams_, "g", Context("stream"));
    EXPECT_EQ(subscriber.AttachGroup("t").status().code(), v2::OK);
    clock_.Advance(std::chrono::hours(1));
    EXPECT_EQ(ReceiveWith("red", "new").status.code(), v2::PRECONDITION_FAILED);
  }
  while (ReceiveWith("red", "new").status.code() == v2::PRECONDITION_FAILED) {
  }
}

TEST_F(GroupsTest, AClientMayChangeItsFilter) {
  CreateTopic("t", 1);
  EXPECT_EQ(ReceiveWith("red", "one").status.code(), v2::MESSAGE_NOT_FOUND);
  EXPECT_EQ(ReceiveWith("green", "one").status.code(), v2::MESSAGE_NOT_FOUND);
}

TEST_F(GroupsTest, APollWithTheFormerFilterPassesNothingOver) {
  CreateTopic("t", 1);
  Create(Named("g"));
  auto former = std::async(std::launch::async, [this] {
    v2::ReceiveMessageRequest request = ReceiveRequest("t", "g");
    request.mutable_filter_expression()->set_expression("red");
    request.mutable_long_polling_timeout()->set_seconds(5);
    return Receive(request, "one").status.code();
  });
  AwaitWaiting(1);
  EXPECT_EQ(ReceiveWith("green", "one").status.code(), v2::MESSAGE_NOT_FOUND);
  Send("t", "body", "green");
  EXPECT_EQ(former.get(), v2::MESSAGE_NOT_FOUND);
  EXPECT_EQ(ReceiveWith("green", "one").messages.size(), 1u);
}

TEST_F(GroupsTest, ATopicTakesNoMoreThanItsRate) {
  CreateTopic("t", 1, /*rate=*/2);
  EXPECT_EQ(Send("t", "a").status().code(), v2::OK);
  EXPECT_EQ(Send("t", "b").status().code(), v2::OK);
  v2::SendMessageRequest request;
  AddMessage(request, "t", "c");
  v2::SendMessageResponse response;
  const auto context = Context();
  ASSERT_TRUE(stub_->SendMessage(context.get(), request, &response).ok());
  EXPECT_EQ(response.status().code(), v2::TOO_MANY_REQUESTS);
  EXPECT_THAT(response.status().message(), HasSubstr("takes 2 messages a second"));
  const auto hint = context->GetServerTrailingMetadata().find("grpc-retry-pushback-ms");
  ASSERT_NE(hint, context->GetServerTrailingMetadata().end());
  EXPECT_EQ(std::string(hint->second.data(), hint->second.size()), "500");
  clock_.Advance(milliseconds(500));
  EXPECT_EQ(Send("t", "c").status().code(), v2::OK);
  EXPECT_EQ(Send("t", "d").status().code(), v2::TOO_MANY_REQUESTS);
}

TEST_F(GroupsTest, AStreamIsToldWhenToSendAgain) {
  CreateTopic("t", 1, /*rate=*/1);
  Publisher publisher(*streams_, 7, Context());
  publisher.Bind(1, "t", 0);
  publisher.Send(1, 1, {"a", "b"});
  EXPECT_EQ(publisher.Ack().count(), 2u);
  publisher.Send(1, 3, {"c"});
  const v1::PublishError error = publisher.Error();
  EXPECT_EQ(error.status().code(), v2::TOO_MANY_REQUESTS);
  // Two were taken of one that was left.
  EXPECT_EQ(error.retry_after_ms(), 2000u);
  clock_.Advance(seconds(2));
  publisher.Send(1, 3, {"c"});
  EXPECT_EQ(publisher.Ack().count(), 1u);
}

TEST_F(GroupsTest, AFrameOutOfTurnTakesNothingFromTheRate) {
  CreateTopic("t", 1, /*rate=*/1);
  Publisher publisher(*streams_, 7, Context());
  publisher.Bind(1, "t", 0);
  publisher.Send(1, 5, {"e"});
  EXPECT_EQ(publisher.Error().status().code(), v2::PRECONDITION_FAILED);
  publisher.Send(1, 1, {"a"});
  EXPECT_EQ(publisher.Ack().count(), 1u);
}

TEST_F(GroupsTest, ALimitMayBeLiftedAndIsRemembered) {
  CreateTopic("t", 1, /*rate=*/1);
  Restart();
  EXPECT_EQ(Send("t", "a").status().code(), v2::OK);
  EXPECT_EQ(Send("t", "b").status().code(), v2::TOO_MANY_REQUESTS);
  admin::v1::UpdateTopicRequest update;
  update.mutable_topic()->set_name("t");
  EXPECT_EQ(Do(&Admin::UpdateTopic, update).send_rate().messages_per_second(), 1u);
  EXPECT_EQ(Send("t", "b").status().code(), v2::TOO_MANY_REQUESTS);
  update.mutable_topic()->mutable_send_rate()->set_messages_per_second(0);
  Do(&Admin::UpdateTopic, update);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Send("t", "b").status().code(), v2::OK);
}

TEST_F(GroupsTest, AGroupGetsNoMoreThanItsRate) {
  CreateTopic("t", 1);
  admin::v1::Group group = Named("g");
  group.mutable_rate()->set_messages_per_second(3);
  Create(group);
  for (int i = 0; i < 10; ++i) Send("t", std::to_string(i));
  AwaitIndexed("t", 10);
  EXPECT_THAT(BodiesOf("t", "g"), ElementsAre("0", "1", "2"));
  EXPECT_THAT(BodiesOf("t", "g"), IsEmpty());
  auto waiting = Wait("t", "g");
  AwaitWaiting(1);
  clock_.Advance(seconds(1));
  EXPECT_EQ(waiting.get().size(), 3u);
  // Bytes count as well.
  group.mutable_rate()->set_bytes_per_second(1);
  Update(group);
  EXPECT_THAT(BodiesOf("t", "g"), ElementsAre("6"));
  clock_.Advance(seconds(1));
  EXPECT_THAT(BodiesOf("t", "g"), IsEmpty());
}

TEST_F(GroupsTest, APullGetsNoMoreThanTheRateOfItsGroup) {
  CreateTopic("t", 1);
  admin::v1::Group group = Named("g");
  group.mutable_rate()->set_messages_per_second(3);
  Create(group);
  for (int i = 0; i < 10; ++i) Send("t", std::to_string(i));
  AwaitIndexed("t", 10);
  EXPECT_THAT(Pull("g", 0), ElementsAre("0", "1", "2"));
  EXPECT_THAT(Pull("g", 3), IsEmpty());
  // However they are read: what one way takes is not there for the others.
  EXPECT_THAT(BodiesOf("t", "g"), IsEmpty());
  EXPECT_EQ(Pull("other", 0).size(), 10u);
  auto waiting = std::async(std::launch::async, [this] { return Pull("g", 3, seconds(5)); });
  AwaitWaiting(1);
  clock_.Advance(seconds(1));
  EXPECT_THAT(waiting.get(), ElementsAre("3", "4", "5"));
  group.mutable_rate()->set_bytes_per_second(1);
  Update(group);
  EXPECT_THAT(Pull("g", 6), ElementsAre("6"));
  clock_.Advance(seconds(1));
  EXPECT_THAT(Pull("g", 7), IsEmpty());
}

TEST_F(GroupsTest, AStreamByOffsetGetsNoMoreThanTheRateOfItsGroup) {
  CreateTopic("t", 1);
  admin::v1::Group group = Named("g");
  group.mutable_rate()->set_messages_per_second(3);
  Create(group);
  for (int i = 0; i < 10; ++i) Send("t", std::to_string(i));
  AwaitIndexed("t", 10);
  Subscriber subscriber(*streams_, "g", Context());
  EXPECT_EQ(subscriber.AttachAt("t", 0, 0).status().code(), v2::OK);
  EXPECT_THAT(subscriber.Bodies(1), ElementsAre("0", "1", "2"));
  AwaitWaiting(1);
  EXPECT_THAT(Pull("g", 3), IsEmpty());
  clock_.Advance(seconds(1));
  EXPECT_THAT(subscriber.Bodies(1), ElementsAre("3", "4", "5"));
  // A limit that is lifted is one for those who wait, too.
  AwaitWaiting(1);
  group.mutable_rate()->set_messages_per_second(0);
  Update(group);
  EXPECT_THAT(subscriber.Bodies(1), ElementsAre("6", "7", "8", "9"));
  // Who names no group has no limit.
  Subscriber anybody(*streams_, "", Context());
  EXPECT_EQ(anybody.AttachAt("t", 0, 0).status().code(), v2::OK);
  EXPECT_EQ(anybody.Bodies(10).size(), 10u);
}

TEST_F(GroupsTest, AStreamThatIsHeldBackHearsHowFarItIs) {
  CreateTopic("t", 1);
  Create(Named("g"));
  Send("t", "a", "red");
  AwaitIndexed("t", 1);
  Subscriber subscriber(*streams_, "g", Context());
  v1::SubscribeRequest request;
  request.mutable_attach()->set_binding(1);
  request.mutable_attach()->mutable_offset()->set_start(v1::OffsetMode::FIRST);
  request.mutable_attach()->mutable_filter()->set_type(v2::TAG);
  request.mutable_attach()->mutable_filter()->set_expression("green");
  EXPECT_EQ(subscriber.Attach(request, "t").status().code(), v2::OK);
  AwaitWaiting(1);
  Pause("g", true);
  clock_.Advance(seconds(2));
  EXPECT_EQ(subscriber.Read().frame().next_offset(), 1u);
}

TEST_F(GroupsTest, AGroupHasNoMoreInFlightThanItMay) {
  CreateTopic("t", 4);
  admin::v1::Group group = Named("g");
  group.set_max_in_flight(3);
  Create(group);
  for (int i = 0; i < 10; ++i) Send("t", std::to_string(i));
  AwaitIndexed("t", 10);
  const Received received = Receive("t", "g");
  EXPECT_EQ(received.messages.size(), 3u);
  EXPECT_THAT(BodiesOf("t", "g"), IsEmpty());
  auto waiting = Wait("t", "g");
  AwaitWaiting(1);
  Ack("t", "g", {Handle(received.messages[0]), Handle(received.messages[1])});
  clock_.Advance(milliseconds(50));
  EXPECT_EQ(waiting.get().size(), 2u);
  // A stream is held back by the same.
  Subscriber subscriber(*streams_, "g", Context());
  EXPECT_EQ(subscriber.AttachGroup("t").status().code(), v2::OK);
  AwaitWaiting(1);
  Ack("t", "g", {Handle(received.messages[2])});
  clock_.Advance(milliseconds(50));
  EXPECT_EQ(subscriber.Bodies(1).size(), 1u);
}

TEST_F(GroupsTest, AMessageThatAStreamGivesBackWaitsAsItsGroupSays) {
  CreateTopic("t", 1);
  admin::v1::Group group = Named("g");
  for (int64_t delay : {2000, 60'000}) group.add_retry_delays_ms(delay);
  Create(group);
  Send("t", "a");
  Subscriber subscriber(*streams_, "g", Context());
  EXPECT_EQ(subscriber.AttachGroup("t").status().code(), v2::OK);
  EXPECT_THAT(subscriber.Bodies(1), ElementsAre("a"));
  const auto fail = [&] {
    const uint64_t lease = subscriber.Last().frame().leases(0);
    subscriber.Settle(0, 0, lease, v1::Verdict::BACKOFF);
    // Is answered, so that it is known that the other one was obeyed.
    subscriber.Settle(0, 0, lease, v1::Verdict::ACK);
    EXPECT_EQ(subscriber.Read().settled_size(), 1);
  };
  fail();
  clock_.Advance(milliseconds(2000));
  EXPECT_THAT(subscriber.Bodies(1), ElementsAre("a"));
  EXPECT_THAT(subscriber.Last().frame().attempts(), ElementsAre(2));
  fail();
  clock_.Advance(milliseconds(60'000));
  EXPECT_THAT(subscriber.Bodies(1), ElementsAre("a"));
}

TEST_F(GroupsTest, ARetryPolicyThatNobodyCouldFollowIsRefused) {
  admin::v1::CreateGroupRequest request;
  *request.mutable_group() = Named("g");
  for (int i = 0; i < 65; ++i) request.mutable_group()->add_retry_delays_ms(1);
  EXPECT_THAT(Refusal(&Admin::CreateGroup, request), HasSubstr("at most 64"));
  *request.mutable_group() = Named("g");
  request.mutable_group()->add_retry_delays_ms(12 * 3'600'000 + 1);
  EXPECT_THAT(Refusal(&Admin::CreateGroup, request), HasSubstr("max_invisible_duration_ms"));
  *request.mutable_group() = Named("g");
  request.mutable_group()->set_max_attempts(UINT32_MAX);
  EXPECT_THAT(Refusal(&Admin::CreateGroup, request), HasSubstr("attempts"));
  *request.mutable_group() = Named("g");
  request.mutable_group()->mutable_start();
  EXPECT_THAT(Refusal(&Admin::CreateGroup, request), HasSubstr("first, last, or a time"));
}

TEST_F(GroupsTest, MessagesAreSkipped) {
  CreateTopic("t", 2);
  Create(Named("g"));
  for (int i = 0; i < 6; ++i) Send("t", std::to_string(i));
  AwaitIndexed("t", 6);
  admin::v1::SkipMessagesRequest request;
  request.set_group("g");
  request.set_topic("t");
  request.set_queue(1);
  request.set_count(2);
  admin::v1::SkipMessagesResponse skipped = Do(&Admin::SkipMessages, request);
  EXPECT_EQ(skipped.skipped(), 2u);
  ASSERT_EQ(skipped.queues_size(), 1);
  EXPECT_EQ(skipped.queues(0).committed_offset(), 2);
  EXPECT_EQ(Receive("t", "g").messages.size(), 4u);
  request.clear_queue();
  request.set_count(0);
  EXPECT_EQ(Do(&Admin::SkipMessages, request).skipped(), 4u);
  clock_.Advance(seconds(31));
  EXPECT_THAT(BodiesOf("t", "g"), IsEmpty());
  request.set_queue(2);
  EXPECT_THAT(Refusal(&Admin::SkipMessages, request), HasSubstr("2 is not one"));
}

TEST_F(GroupsTest, AGroupIsMovedToWhereAnotherOneIs) {
  CreateTopic("t", 1);
  Create(Named("a"));
  Create(Named("b"));
  for (int i = 0; i < 4; ++i) Send("t", std::to_string(i));
  AwaitIndexed("t", 4);
  const Received received = Receive("t", "a");
  ASSERT_EQ(received.messages.size(), 4u);
  for (int i : {0, 1, 3}) Ack("t", "a", {Handle(received.messages[static_cast<size_t>(i)])});
  admin::v1::CloneOffsetsRequest request;
  request.set_from_group("a");
  request.set_to_group("b");
  request.set_topic("t");
  EXPECT_EQ(Do(&Admin::CloneOffsets, request).queues(0).committed_offset(), 2);
  EXPECT_THAT(BodiesOf("t", "b"), ElementsAre("2", "3"));
  request.set_to_group("a");
  EXPECT_THAT(Refusal(&Admin::CloneOffsets, request), HasSubstr("name another one"));
  request.set_to_group("c");
  EXPECT_THAT(Refusal(&Admin::CloneOffsets, request), HasSubstr("no consumer group c"));
}

}  // namespace
}  // namespace dunlin::broker
