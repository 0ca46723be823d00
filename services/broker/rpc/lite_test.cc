// What RocketMQ's contract says about LITE messages, over the public API.

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "services/broker/rpc/testing/lite_fixture.h"

namespace dunlin::broker {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using Stub = v2::MessagingService::Stub;

TEST_F(LiteTest, AMessageGoesToThoseWhoSubscribedToItsLightweightTopic) {
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1", "s2"}).code(), v2::OK);
  const v2::SendMessageResponse sent = SendLite("s1", {"one"});
  ASSERT_EQ(sent.status().code(), v2::OK) << sent.status().message();
  EXPECT_EQ(sent.entries(0).offset(), 0);
  SendLite("s3", {"not wanted"});
  const std::vector<v2::Message> taken = Take();
  ASSERT_THAT(taken, SizeIs(1));
  const v2::SystemProperties& properties = taken[0].system_properties();
  EXPECT_EQ(taken[0].body(), "one");
  EXPECT_EQ(taken[0].topic().name(), "sessions");
  EXPECT_EQ(properties.lite_topic(), "s1");
  EXPECT_EQ(properties.message_type(), v2::LITE);
  EXPECT_EQ(properties.queue_offset(), 0);
  EXPECT_EQ(properties.delivery_attempt(), 1);
  AckAll(taken);
  EXPECT_THAT(TakeNothing(), IsEmpty());
  // What was sent before the subscription comes too.
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s3"}).code(), v2::OK);
  EXPECT_THAT(Bodies(Take()), ElementsAre("not wanted"));
}

TEST_F(LiteTest, AWaitingReceiveIsWokenByWhatItWants) {
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}, "a").code(), v2::OK);
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s2"}, "b").code(), v2::OK);
  std::vector<std::string> a;
  std::vector<std::string> b;
  std::thread first([&] { a = Bodies(Take("a", 32, 20)); });
  std::thread second([&] { b = Bodies(Take("b", 32, 20)); });
  SendLite("s2", {"for b"});
  second.join();
  SendLite("s1", {"for a"});
  first.join();
  EXPECT_THAT(a, ElementsAre("for a"));
  EXPECT_THAT(b, ElementsAre("for b"));
}

TEST_F(LiteTest, ASubscriptionWakesAReceiveThatWaits) {
  SendLite("s1", {"early"});
  std::vector<std::string> bodies;
  std::thread receive([&] { bodies = Bodies(Take("client", 32, 20)); });
  EXPECT_EQ(Sync(v2::COMPLETE_ADD, {"s1"}).code(), v2::OK);
  receive.join();
  EXPECT_THAT(bodies, ElementsAre("early"));
}

TEST_F(LiteTest, ABatchMixesLightweightTopicsAndKeepsTheOrderOfEach) {
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1", "s2", "s3"}).code(), v2::OK);
  for (const char* name : {"s1", "s2", "s3"}) {
    SendLite(name, {std::string(name) + "-1", std::string(name) + "-2"});
  }
  std::vector<std::string> bodies;
  ASSERT_TRUE(Eventually([&] {
    for (const std::string& body : Bodies(Take("client", 32, 1))) bodies.push_back(body);
    return bodies.size() == 6;
  }));
  for (const char* name : {"s1", "s2", "s3"}) {
    const auto at = [&](const std::string& body) {
      return std::find(bodies.begin(), bodies.end(), body) - bodies.begin();
    };
    EXPECT_LT(at(std::string(name) + "-1"), at(std::string(name) + "-2"));
  }
}

TEST_F(LiteTest, OneThatIsInFlightHoldsUpOnlyItsOwn) {
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1", "s2"}).code(), v2::OK);
  SendLite("s1", {"1"});
  const std::vector<v2::Message> first = Take("client", 1);
  ASSERT_THAT(Bodies(first), ElementsAre("1"));
  SendLite("s1", {"2"});
  SendLite("s2", {"a"});
  EXPECT_THAT(Bodies(Take()), ElementsAre("a"));
  EXPECT_THAT(TakeNothing(), IsEmpty());
  // A receive that waits gets the next one once the first is done.
  std::vector<std::string> bodies;
  std::thread receive([&] { bodies = Bodies(Take("client", 32, 20)); });
  AckAll(first);
  receive.join();
  EXPECT_THAT(bodies, ElementsAre("2"));
}

TEST_F(LiteTest, EndedAndSuspendedLeasesComeAgainInOrder) {
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}).code(), v2::OK);
  SendLite("s1", {"1", "2"});
  std::vector<v2::Message> taken = Take();
  ASSERT_THAT(Bodies(taken), ElementsAre("1", "2"));
  for (const v2::Message& message : taken) {
    v2::ChangeInvisibleDurationRequest request;
    request.mutable_topic()->set_name("sessions");
    request.mutable_group()->set_name("agents");
    request.set_receipt_handle(Handle(message));
    request.mutable_invisible_duration()->set_seconds(5);
    request.set_lite_topic("s1");
    request.set_suspend(true);
    EXPECT_EQ(Call(&Stub::ChangeInvisibleDuration, request).status().code(), v2::OK);
  }
  EXPECT_THAT(TakeNothing(), IsEmpty());
  clock_.Advance(seconds(5));
  taken = Take();
  ASSERT_THAT(Bodies(taken), ElementsAre("1", "2"));
  EXPECT_EQ(taken[0].system_properties().delivery_attempt(), 1);
  clock_.Advance(seconds(30));
  taken = TakeNothing();  // without having waited
  ASSERT_THAT(Bodies(taken), ElementsAre("1", "2"));
  EXPECT_EQ(taken[0].system_properties().delivery_attempt(), 2);
  AckAll(taken);
}

TEST_F(LiteTest, SharedByTheClientsThatSubscribe) {
  for (const char* client : {"a", "b"}) {
    ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1", "s2"}, client).code(), v2::OK);
  }
  SendLite("s1", {"1"});
  SendLite("s2", {"2"});
  std::vector<std::string> bodies = Bodies(Take("a", 1));
  for (const std::string& body : Bodies(Take("b", 1))) bodies.push_back(body);
  EXPECT_THAT(bodies, UnorderedElementsAre("1", "2"));
  EXPECT_THAT(TakeNothing("a"), IsEmpty());
  EXPECT_THAT(TakeNothing("b"), IsEmpty());
}

// The Telemetry stream of a consumer.
class Commands {
 public:
  Commands(v2::MessagingService::Stub& stub, std::unique_ptr<grpc::ClientContext> context,
           const std::string& group)
      : context_(std::move(context)), stream_(stub.Telemetry(context_.get())) {
    v2::TelemetryCommand command;
    v2::Settings& settings = *command.mutable_settings();
    settings.set_client_type(v2::LITE_PUSH_CONSUMER);
    settings.mutable_subscription()->mutable_group()->set_name(group);
    settings.mutable_subscription()->add_subscriptions()->mutable_topic()->set_name("sessions");
    stream_->Write(command);
    settings_ = Next().settings();
  }
  ~Commands() {
    stream_->WritesDone();
    context_->TryCancel();
    stream_->Finish();
  }
  v2::TelemetryCommand Next() {
    v2::TelemetryCommand command;
    EXPECT_TRUE(stream_->Read(&command));
    return command;
  }
  const v2::Settings& Settings() const { return settings_; }

 private:
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReaderWriter<v2::TelemetryCommand, v2::TelemetryCommand>> stream_;
  v2::Settings settings_;
};

TEST_F(LiteTest, SettingsTellTheQuotas) {
  const Commands commands(*stub_, Context(), "agents");
  const v2::Subscription& subscription = commands.Settings().subscription();
  EXPECT_TRUE(subscription.fifo());
  EXPECT_EQ(subscription.lite_subscription_quota(), 2000);
  EXPECT_EQ(subscription.max_lite_topic_size(), 64);
}

TEST_F(LiteTest, AnExclusiveLightweightTopicGoesToTheLastSubscriber) {
  ASSERT_TRUE(CreateGroup("one-each", "sessions", admin::v1::LITE_EXCLUSIVE).ok());
  Commands first(*stub_, Context("a"), "one-each");
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1", "s2"}, "a", "one-each").code(), v2::OK);
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}, "b", "one-each").code(), v2::OK);
  EXPECT_EQ(first.Next().notify_unsubscribe_lite_command().lite_topic(), "s1");
  SendLite("s1", {"1"});
  SendLite("s2", {"2"});
  EXPECT_THAT(Bodies(Take("b", 32, 5, "one-each")), ElementsAre("1"));
  EXPECT_THAT(Bodies(Take("a", 32, 5, "one-each")), ElementsAre("2"));
  // A client that did not take notice is told again.
  ASSERT_EQ(Sync(v2::COMPLETE_ADD, {"s1", "s2"}, "a", "one-each").code(), v2::OK);
  EXPECT_EQ(first.Next().notify_unsubscribe_lite_command().lite_topic(), "s1");
  EXPECT_THAT(Describe("s1").groups(0).clients(), ElementsAre("b"));
}

TEST_F(LiteTest, ClientsThatGoLeaveTheirSubscriptions) {
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}, "a").code(), v2::OK);
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}, "b").code(), v2::OK);
  SendLite("s1", {"1"});
  v2::NotifyClientTerminationRequest bye;
  bye.mutable_group()->set_name("agents");
  Call(&Stub::NotifyClientTermination, bye, "a");
  ASSERT_TRUE(Eventually([&] { return Describe("s1").groups_size() == 1; }));
  EXPECT_THAT(Describe("s1").groups(0).clients(), ElementsAre("b"));
  EXPECT_THAT(TakeNothing("a"), IsEmpty());
  clock_.Advance(seconds(200));  // nobody hears of the other
  EXPECT_TRUE(Eventually([&] { return Describe("s1").groups_size() == 0; }));
}

TEST_F(LiteTest, TheGroupBeginsWhereItIsToldTo) {
  SendLite("s1", {"1", "2", "3"});
  ASSERT_TRUE(Eventually([&] { return Describe("s1").max_offset() == 3; }));
  const auto begin = [&](const char* client, const std::function<void(v2::OffsetOption&)>& set) {
    return Sync(
        v2::PARTIAL_ADD, {"s1", "s-none"}, client, "agents",
        [&](v2::SyncLiteSubscriptionRequest& request) { set(*request.mutable_offset_option()); });
  };
  ASSERT_EQ(begin("a", [](v2::OffsetOption& o) { o.set_tail_n(2); }).code(), v2::OK);
  std::vector<v2::Message> taken = Take("a");
  EXPECT_THAT(Bodies(taken), ElementsAre("2", "3"));
  AckAll(taken);
  ASSERT_EQ(begin("b", [](v2::OffsetOption& o) { o.set_offset(1); }).code(), v2::OK);
  taken = Take("b", 1);
  EXPECT_THAT(Bodies(taken), ElementsAre("2"));
  AckAll(taken);
  ASSERT_EQ(begin("c", [](v2::OffsetOption& o) { o.set_policy(v2::OffsetOption::MIN); }).code(),
            v2::OK);
  taken = Take("c");
  EXPECT_THAT(Bodies(taken), ElementsAre("1", "2", "3"));
  AckAll(taken);
  ASSERT_EQ(begin("d", [](v2::OffsetOption& o) { o.set_timestamp(0); }).code(), v2::OK);
  taken = Take("d");
  EXPECT_THAT(Bodies(taken), ElementsAre("1", "2", "3"));
  AckAll(taken);
  ASSERT_EQ(begin("e", [](v2::OffsetOption& o) { o.set_policy(v2::OffsetOption::LAST); }).code(),
            v2::OK);
  EXPECT_THAT(TakeNothing("e"), IsEmpty());
  // Who subscribes already moves it, too.
  ASSERT_EQ(begin("d", [](v2::OffsetOption& o) { o.set_tail_n(1); }).code(), v2::OK);
  taken = Take("d");
  EXPECT_THAT(Bodies(taken), ElementsAre("3"));
  AckAll(taken);
  EXPECT_EQ(begin("f", [](v2::OffsetOption& o) { o.set_tail_n(-1); }).code(), v2::BAD_REQUEST);
}

TEST_F(LiteTest, ExpiresWhenIdleAndConsumed) {
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"lags", "done"}).code(), v2::OK);
  SendLite("done", {"x"});
  SendLite("unread", {"x"});
  AckAll(Take());
  SendLite("lags", {"x"});
  const std::vector<v2::Message> in_flight = Take();
  ASSERT_THAT(in_flight, SizeIs(1));
  clock_.Advance(minutes(5));
  EXPECT_EQ(Sync(v2::COMPLETE_ADD, {"lags", "done"}).code(), v2::OK);
  SendLite("used", {"x"});
  clock_.Advance(minutes(6));
  ASSERT_TRUE(Eventually([&] { return !Exists("done") && !Exists("unread"); }));
  EXPECT_TRUE(Exists("lags"));
  EXPECT_TRUE(Exists("used"));
  EXPECT_EQ(Ack("sessions", "agents", {Handle(in_flight[0])}).entries(0).status().code(),
            v2::INVALID_RECEIPT_HANDLE);  // the lease has ended
  // It goes on, and goes once it is consumed.
  EXPECT_EQ(Sync(v2::COMPLETE_ADD, {"lags", "done"}).code(), v2::OK);
  AckAll(Take());
  clock_.Advance(minutes(20));
  EXPECT_TRUE(Eventually([&] { return !Exists("lags") && !Exists("used"); }));
  // The name may come again, as a new one.
  EXPECT_EQ(Sync(v2::COMPLETE_ADD, {"done"}).code(), v2::OK);
  EXPECT_EQ(SendLite("done", {"new"}).entries(0).offset(), 0);
  EXPECT_THAT(Bodies(Take()), ElementsAre("new"));
}

TEST_F(LiteTest, SurvivesARestart) {
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1", "s2"}).code(), v2::OK);
  SendLite("s1", {"1", "2"});
  SendLite("s2", {"a"});
  std::vector<v2::Message> taken = Take("client", 1);
  ASSERT_THAT(taken, SizeIs(1));
  AckAll(taken);
  StopAll();
  Start();
  EXPECT_THAT(TakeNothing(), IsEmpty());  // nobody has subscribed yet
  ASSERT_EQ(Sync(v2::COMPLETE_ADD, {"s1", "s2"}).code(), v2::OK);
  EXPECT_EQ(SendLite("s1", {"3"}).entries(0).offset(), 2);
  EXPECT_EQ(Drain(3).size(), 3u);
  // Idle for so long before the restart counts.
  clock_.Advance(minutes(9));
  StopAll();
  Start();
  EXPECT_TRUE(Exists("s1"));
  clock_.Advance(minutes(3));
  EXPECT_TRUE(Eventually([&] { return !Exists("s1") && !Exists("s2"); }));
}

TEST_F(LiteTest, WhatIsUnreadOutlivesALongStop) {
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}).code(), v2::OK);
  SendLite("s1", {"unread"});
  StopAll();
  clock_.Advance(minutes(60));
  Start();
  clock_.Advance(seconds(61));
  // The client tells its set again; so long nothing may happen.
  ASSERT_EQ(Sync(v2::COMPLETE_ADD, {"s1"}).code(), v2::OK);
  clock_.Advance(seconds(60));
  EXPECT_EQ(Sync(v2::COMPLETE_ADD, {"s1"}).code(), v2::OK);
  EXPECT_THAT(Bodies(Take()), ElementsAre("unread"));
  EXPECT_TRUE(Exists("s1"));
}

TEST_F(LiteTest, DeadLettersComeFromLightweightTopics) {
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}).code(), v2::OK);
  SendLite("s1", {"bad", "good"});
  const std::vector<v2::Message> taken = Take("client", 1);
  ASSERT_THAT(Bodies(taken), ElementsAre("bad"));
  v2::ForwardMessageToDeadLetterQueueRequest request;
  request.mutable_topic()->set_name("sessions");
  request.mutable_group()->set_name("agents");
  request.set_receipt_handle(Handle(taken[0]));
  request.set_lite_topic("another");
  EXPECT_EQ(Call(&Stub::ForwardMessageToDeadLetterQueue, request).status().code(),
            v2::INVALID_RECEIPT_HANDLE);
  request.set_lite_topic("s1");
  EXPECT_EQ(Call(&Stub::ForwardMessageToDeadLetterQueue, request).status().code(), v2::OK);
  EXPECT_THAT(Bodies(Take()), ElementsAre("good"));
  const std::vector<v2::Message> letters = ReceiveSome("%DLQ%agents", "reader");
  ASSERT_THAT(Bodies(letters), ElementsAre("bad"));
  EXPECT_EQ(letters[0].system_properties().dead_letter_queue().topic(), "sessions");
}

TEST_F(LiteTest, ALetterSentAgainGoesToItsGroupAloneInItsLightweightTopic) {
  ASSERT_TRUE(CreateGroup("others", "sessions", admin::v1::LITE_SHARED).ok());
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}).code(), v2::OK);
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}, "other", "others").code(), v2::OK);
  SendLite("s1", {"bad", "good"});
  Bury("s1", Take("client", 1).at(0));
  AckAll(Take());
  const std::vector<v2::Message> others = Take("other", 32, 5, "others");
  EXPECT_THAT(Bodies(others), ElementsAre("bad", "good"));
  std::vector<std::string> handles;
  for (const v2::Message& message : others) handles.push_back(Handle(message));
  EXPECT_EQ(Ack("sessions", "others", handles).status().code(), v2::OK);

  EXPECT_THAT(TakeNothing(), IsEmpty());  // nothing but the letter wakes it
  ASSERT_TRUE(Eventually([&] { return ResendFirstLetter(); }));
  const std::vector<v2::Message> again = Take();
  ASSERT_THAT(Bodies(again), ElementsAre("bad"));
  EXPECT_EQ(again[0].system_properties().lite_topic(), "s1");
  EXPECT_EQ(again[0].system_properties().queue_offset(), 2);
  AckAll(again);
  EXPECT_THAT(TakeNothing("other", "others"), IsEmpty());
}

TEST_F(LiteTest, WhereALetterWasSentAgainIsNotIdle) {
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}).code(), v2::OK);
  SendLite("idle", {"x"});
  SendLite("s1", {"bad"});
  Bury("s1", Take().at(0));
  clock_.Advance(minutes(9));
  ASSERT_TRUE(Eventually([&] { return ResendFirstLetter(); }));
  std::vector<v2::Message> again;
  ASSERT_TRUE(Eventually([&] {
    Sync(v2::COMPLETE_ADD, {"s1"});  // nobody has heard of the client for a while
    again = TakeNothing();
    return !again.empty();
  }));
  AckAll(again);
  clock_.Advance(minutes(2));
  ASSERT_TRUE(Eventually([&] { return !Exists("idle"); }));
  EXPECT_TRUE(Exists("s1"));
}

TEST_F(LiteTest, APausedGroupGetsNothingUntilItGoesOn) {
  const auto pause = [&](bool paused) {
    admin::v1::UpdateGroupRequest request;
    request.mutable_group()->set_name("agents");
    request.mutable_group()->set_paused(paused);
    admin::v1::Group group;
    EXPECT_TRUE(AskAdmin(&admin::v1::AdminService::Stub::UpdateGroup, request, group).ok());
  };
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}).code(), v2::OK);
  pause(true);
  SendLite("s1", {"1"});
  ASSERT_TRUE(Eventually([&] { return Describe("s1").max_offset() == 1; }));
  EXPECT_THAT(TakeNothing(), IsEmpty());
  std::vector<std::string> bodies;
  std::thread receive([&] { bodies = Bodies(Take("client", 32, 20)); });
  pause(false);
  receive.join();
  EXPECT_THAT(bodies, ElementsAre("1"));
}

TEST_F(LiteTest, AGroupGetsNoMoreThanItsRate) {
  admin::v1::UpdateGroupRequest request;
  request.mutable_group()->set_name("agents");
  request.mutable_group()->mutable_rate()->set_messages_per_second(2);
  admin::v1::Group group;
  ASSERT_TRUE(AskAdmin(&admin::v1::AdminService::Stub::UpdateGroup, request, group).ok());
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1", "s2", "s3"}).code(), v2::OK);
  for (const char* name : {"s1", "s2", "s3"}) SendLite(name, {name});
  ASSERT_TRUE(Eventually([&] { return Describe("s3").max_offset() == 1; }));
  EXPECT_THAT(Take(), SizeIs(2));
  EXPECT_THAT(TakeNothing(), IsEmpty());
  clock_.Advance(seconds(1));
  EXPECT_THAT(Take(), SizeIs(1));
}

TEST_F(LiteTest, AdminSeesThem) {
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}).code(), v2::OK);
  for (int i = 0; i < 5; ++i) SendLite("s" + std::to_string(i), {"x", "y"});
  AckAll(Take("client", 1));
  const auto list = [&](uint32_t page_size, const std::string& token) {
    admin::v1::ListLiteTopicsRequest request;
    request.set_topic("sessions");
    request.set_page_size(page_size);
    request.set_page_token(token);
    admin::v1::ListLiteTopicsResponse response;
    EXPECT_TRUE(AskAdmin(&admin::v1::AdminService::Stub::ListLiteTopics, request, response).ok());
    return response;
  };
  ASSERT_TRUE(Eventually([&] { return list(100, "").lite_topics_size() == 5; }));
  std::vector<std::string> names;
  std::string token;
  do {
    const admin::v1::ListLiteTopicsResponse page = list(2, token);
    for (const admin::v1::LiteTopic& topic : page.lite_topics()) names.push_back(topic.name());
    EXPECT_EQ(page.total(), 5u);
    token = page.next_page_token();
  } while (!token.empty());
  EXPECT_THAT(names, ElementsAre("s0", "s1", "s2", "s3", "s4"));
  const admin::v1::LiteTopic topic = Describe("s1");
  EXPECT_EQ(topic.max_offset(), 2);
  ASSERT_EQ(topic.groups_size(), 1);
  EXPECT_EQ(topic.groups(0).group(), "agents");
  EXPECT_EQ(topic.groups(0).lag(), 1);
  EXPECT_THAT(topic.groups(0).clients(), ElementsAre("client"));
  grpc::Status status;
  Describe("none", &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);

  admin::v1::ResetOffsetRequest reset;
  reset.set_group("agents");
  reset.set_topic("sessions");
  reset.set_lite_topic("s1");
  reset.set_first(true);
  admin::v1::ResetOffsetResponse moved;
  EXPECT_TRUE(AskAdmin(&admin::v1::AdminService::Stub::ResetOffset, reset, moved).ok());
  EXPECT_EQ(moved.queues(0).lag(), 2);
  EXPECT_THAT(Bodies(Take()), ElementsAre("x", "y"));
}

TEST_F(LiteTest, AGroupOutlivesItsTopicAndCanBePaused) {
  ASSERT_TRUE(CreateGroup("one-each", "sessions", admin::v1::LITE_EXCLUSIVE).ok());
  admin::v1::DeleteTopicRequest remove;
  remove.set_name("sessions");
  admin::v1::DeleteTopicResponse removed;
  EXPECT_TRUE(AskAdmin(&admin::v1::AdminService::Stub::DeleteTopic, remove, removed).ok());
  admin::v1::UpdateGroupRequest pause;
  pause.mutable_group()->set_name("one-each");
  pause.mutable_group()->set_paused(true);
  admin::v1::Group group;
  const grpc::Status status = AskAdmin(&admin::v1::AdminService::Stub::UpdateGroup, pause, group);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(group.paused());
}

TEST_F(LiteTest, DeletingTheParentTakesThemAlong) {
  ASSERT_EQ(Sync(v2::PARTIAL_ADD, {"s1"}).code(), v2::OK);
  SendLite("s1", {"x"});
  const std::vector<v2::Message> taken = Take();
  admin::v1::DeleteTopicRequest request;
  request.set_name("sessions");
  admin::v1::DeleteTopicResponse response;
  EXPECT_TRUE(AskAdmin(&admin::v1::AdminService::Stub::DeleteTopic, request, response).ok());
  EXPECT_EQ(SendLite("s1", {"x"}).status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  CreateTopic("again", 0);
  StopAll();
  Start();
  EXPECT_FALSE(Exists("s1"));
}

}  // namespace
}  // namespace dunlin::broker
