#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"
#include "services/broker/rpc/testing/stream_clients.h"

namespace dunlin::broker {
namespace {

using ::testing::ElementsAre;

class StreamServiceTest : public MessagingServiceTest {
 protected:
  StreamServiceTest() { Connect(); }
  void Connect() { streams_ = v1::StreamService::NewStub(server_->InProcessChannel({})); }
  void Restart() {
    StopAll();
    Start();
    Connect();
  }
  Publisher Publish(uint64_t producer_id = 0) { return {*streams_, producer_id, Context()}; }
  Subscriber Subscribe(const std::string& group = "", uint64_t credit = 1u << 20) {
    return {*streams_, group, Context(), credit};
  }

  std::unique_ptr<v1::StreamService::Stub> streams_;
};

TEST_F(StreamServiceTest, WhatIsPublishedIsReceivedByBothApis) {
  {
    Publisher publisher = Publish();
    const v1::Bound bound = publisher.Bind(7, "t", 1);
    EXPECT_EQ(bound.status().code(), v2::OK);
    EXPECT_EQ(bound.queues(), 2u);
    publisher.Send(7, 1, {"a", "b", "c"});
    const v1::PublishAck ack = publisher.Ack();
    EXPECT_EQ(ack.binding(), 7u);
    EXPECT_EQ(ack.first_sequence(), 1u);
    EXPECT_EQ(ack.count(), 3u);
    EXPECT_EQ(ack.first_offset(), 0);
  }
  const std::vector<v2::Message> received = ReceiveSome("t", "g");
  ASSERT_EQ(received.size(), 3u);
  EXPECT_EQ(received[2].body(), "c");
  EXPECT_EQ(received[2].system_properties().message_id(), "00000001000000010000000000000002");
  EXPECT_TRUE(received[2].system_properties().has_born_timestamp());
  Subscriber subscriber = Subscribe();
  EXPECT_EQ(subscriber.AttachAt("t", 1, 1).status().code(), v2::OK);
  EXPECT_THAT(subscriber.Bodies(2), ElementsAre("b", "c"));
  EXPECT_EQ(subscriber.Last().frame().next_offset(), 3u);
  // And what comes while it waits.
  Publisher publisher = Publish();
  publisher.Bind(1, "t", 1);
  publisher.Send(1, 1, {"d"});
  EXPECT_EQ(publisher.Ack().first_offset(), 3);
  EXPECT_THAT(subscriber.Bodies(1), ElementsAre("d"));
}

TEST_F(StreamServiceTest, FramesNeedNotWaitForTheirBinding) {
  Publisher publisher = Publish(5);
  constexpr uint32_t kRounds = 300;  // more than are bound at a time
  for (uint32_t i = 1; i <= kRounds; ++i) {
    v1::PublishRequest request;
    request.mutable_bind()->set_binding(i);
    request.mutable_bind()->mutable_topic()->set_name(i % 3 == 0 ? "bad topic!" : "t");
    request.mutable_bind()->set_queue(i % 2);
    publisher.Write(request);
    // The two queues are bound again and again: the sequence goes on.
    if (i <= 2) publisher.Send(i, 1, {"first of a queue"});
  }
  uint32_t bound = 0;
  uint32_t refused = 0;
  uint32_t acked = 0;
  while (bound + refused < kRounds || acked < 2) {
    const v1::PublishResponse response = publisher.Read();
    for (const v1::Bound& one : response.bound()) {
      ++(one.status().code() == v2::OK ? bound : refused);
      EXPECT_EQ(one.status().code() == v2::OK, one.binding() % 3 != 0);
    }
    for (const v1::PublishAck& ack : response.acks()) acked += ack.count();
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_EQ(bound, 200u);
  publisher.Send(kRounds - 1, 2, {"second"});
  EXPECT_EQ(publisher.Ack().first_offset(), 1);
}

TEST_F(StreamServiceTest, SentAgainIsStoredOnce) {
  Publisher publisher = Publish(99);
  publisher.Bind(1, "t", 0);
  publisher.Send(1, 1, {"1", "2", "3"});
  EXPECT_EQ(publisher.Ack().first_offset(), 0);
  publisher.Send(1, 2, {"2", "3", "4", "5"});
  const v1::PublishResponse response = publisher.Read();
  ASSERT_EQ(response.acks_size(), 1);  // repeated and new ones lie in a row
  EXPECT_EQ(response.acks(0).first_sequence(), 2u);
  EXPECT_EQ(response.acks(0).count(), 4u);
  EXPECT_EQ(response.acks(0).first_offset(), 1);
  publisher.Send(1, 7, {"7"});
  const v1::PublishError gap = publisher.Error();
  EXPECT_EQ(gap.status().code(), v2::PRECONDITION_FAILED);
  EXPECT_EQ(gap.first_sequence(), 7u);
  publisher.Send(1, 6, {"6"});
  EXPECT_EQ(publisher.Ack().first_offset(), 5);
  // Another stream of the same producer, and another queue.
  Publisher again = Publish(99);
  EXPECT_EQ(again.Bind(1, "t", 0).last_sequence(), 6u);
  EXPECT_EQ(again.Bind(2, "t", 1).last_sequence(), 0u);
  again.Send(1, 6, {"6"});
  EXPECT_EQ(again.Ack().first_offset(), 5);
  again.Send(1, 1, {"1"});
  EXPECT_EQ(again.Ack().first_offset(), -1);
}

TEST_F(StreamServiceTest, SentAgainAfterARestartIsStoredOnce) {
  {
    Publisher publisher = Publish(5);
    publisher.Bind(1, "t", 0);
    publisher.Send(1, 1, {"1", "2"});
    publisher.Ack();
    publisher.Send(1, 3, {"3"});
    publisher.Ack();
  }
  Restart();
  {
    Publisher publisher = Publish(5);
    EXPECT_EQ(publisher.Bind(1, "t", 0).last_sequence(), 3u);
    publisher.Send(1, 3, {"3", "4"});
    EXPECT_EQ(publisher.Read().acks(0).first_offset(), -1);
    // What was answered before need not be known.
    EXPECT_EQ(publisher.Bind(2, "t", 1, 10).last_sequence(), 9u);
    publisher.Send(2, 10, {"10"});
    EXPECT_EQ(publisher.Ack().first_offset(), 0);
  }
  Subscriber subscriber = Subscribe();
  subscriber.AttachAt("t", 0, 0);
  EXPECT_THAT(subscriber.Bodies(4), ElementsAre("1", "2", "3", "4"));
}

TEST_F(StreamServiceTest, AnUnknownOffsetIsNotTakenForTheOneBeforeTheFirst) {
  Publisher publisher = Publish(8);
  publisher.Bind(1, "t", 0, 5);
  publisher.Send(1, 4, {"answered before", "first"});
  const v1::PublishResponse response = publisher.Read();
  ASSERT_EQ(response.acks_size(), 2);
  EXPECT_EQ(response.acks(0).first_offset(), -1);
  EXPECT_EQ(response.acks(1).first_sequence(), 5u);
  EXPECT_EQ(response.acks(1).first_offset(), 0);
}

TEST_F(StreamServiceTest, ABadMessageIsRefusedAlone) {
  Publisher publisher = Publish(3);
  publisher.Bind(1, "t", 0);
  v1::PublishRequest request = Publisher::Frame(1, 1, {"a", "", "", "d"});
  v2::Message tagged;
  tagged.set_body("e");
  tagged.mutable_system_properties()->set_tag("x|y");
  request.mutable_frame()->add_messages(tagged.SerializeAsString());
  request.mutable_frame()->add_messages("\xff");
  v2::Message delayed;
  delayed.set_body("g");
  delayed.mutable_system_properties()->mutable_delivery_timestamp()->set_seconds(1);
  request.mutable_frame()->add_messages(delayed.SerializeAsString());
  publisher.Write(request);
  std::vector<v1::PublishError> errors;
  std::vector<v1::PublishAck> acks;
  while (errors.size() < 4 || acks.size() < 2) {
    const v1::PublishResponse response = publisher.Read();
    errors.insert(errors.end(), response.errors().begin(), response.errors().end());
    acks.insert(acks.end(), response.acks().begin(), response.acks().end());
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_EQ(errors[0].status().code(), v2::MESSAGE_BODY_EMPTY);
  EXPECT_EQ(errors[0].first_sequence(), 2u);
  EXPECT_EQ(errors[0].count(), 2u);
  EXPECT_EQ(errors[1].status().code(), v2::ILLEGAL_MESSAGE_TAG);
  EXPECT_EQ(errors[2].status().code(), v2::MESSAGE_CORRUPTED);
  EXPECT_EQ(errors[3].status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_EQ(acks[0].first_offset(), 0);
  EXPECT_EQ(acks[1].first_sequence(), 4u);
  EXPECT_EQ(acks[1].first_offset(), 1);
  publisher.Send(1, 8, {"h"});  // the refused ones are used up
  EXPECT_EQ(publisher.Ack().first_offset(), 2);
}

TEST_F(StreamServiceTest, EveryFieldOfAMessageArrives) {
  v2::Message message;
  message.mutable_topic()->set_name("ignored");
  message.set_body(std::string(100'000, 'x'));
  (*message.mutable_user_properties())["color"] = "blue";
  message.mutable_system_properties()->set_tag("tag");
  message.mutable_system_properties()->add_keys("key");
  message.mutable_system_properties()->set_message_id("an id");
  message.mutable_system_properties()->set_queue_id(77);  // the server's to say
  Publisher publisher = Publish();
  publisher.Bind(1, "t", 0);
  v1::PublishRequest request = Publisher::Frame(1, 1, {});
  request.mutable_frame()->add_messages(message.SerializeAsString());
  publisher.Write(request);
  publisher.Ack();
  const std::vector<v2::Message> received = ReceiveSome("t", "g");
  ASSERT_EQ(received.size(), 1u);
  EXPECT_EQ(received[0].topic().name(), "t");
  EXPECT_EQ(received[0].body(), message.body());
  EXPECT_EQ(received[0].user_properties().at("color"), "blue");
  EXPECT_EQ(received[0].system_properties().tag(), "tag");
  EXPECT_EQ(received[0].system_properties().keys(0), "key");
  EXPECT_EQ(received[0].system_properties().message_id(), "an id");
  EXPECT_EQ(received[0].system_properties().queue_id(), 0);
}

TEST_F(StreamServiceTest, RefusesToBindWhatIsNot) {
  config_.mutable_broker()->set_auto_create_topics(false);
  Publisher publisher = Publish();
  EXPECT_EQ(publisher.Bind(1, "unknown", 0).status().code(), v2::TOPIC_NOT_FOUND);
  EXPECT_EQ(publisher.Bind(1, "no name!", 0).status().code(), v2::ILLEGAL_TOPIC);
  config_.mutable_broker()->set_auto_create_topics(true);
  EXPECT_EQ(publisher.Bind(1, "t", 2).status().code(), v2::BAD_REQUEST);
  publisher.Send(9, 1, {"a"});
  const grpc::Status status = publisher.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "binding 9 was never bound");
}

TEST_F(StreamServiceTest, AConversationThatMakesNoSenseEnds) {
  for (const char* bytes : {"\x0a\x00\x12\x00", "\x1a\x02\xff\xff", "", "\x1a\x00"}) {
    Publisher publisher = Publish();
    v1::PublishRequest request;
    EXPECT_TRUE(request.ParseFromString("") || true);
    request.GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(9, bytes);
    publisher.Write(request);
    EXPECT_EQ(publisher.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
  auto context = Context("");
  auto stream = streams_->Publish(context.get());
  v1::PublishResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(StreamServiceTest, OffsetModeBeginsWhereItIsTold) {
  {
    Publisher publisher = Publish();
    publisher.Bind(1, "t", 0);
    publisher.Send(1, 1, {"0", "1", "2"});
    publisher.Ack();
  }
  AwaitIndexed("t", 3);
  Subscriber subscriber = Subscribe("g");
  v1::SubscribeRequest request;
  request.mutable_attach()->set_binding(1);
  request.mutable_attach()->mutable_offset()->set_start(v1::OffsetMode::COMMITTED);
  EXPECT_EQ(subscriber.Attach(request, "t").start_offset(), 0u);
  EXPECT_THAT(subscriber.Bodies(3), ElementsAre("0", "1", "2"));
  v1::SubscribeRequest commit;
  commit.mutable_commit()->set_binding(1);
  commit.mutable_commit()->set_queue_offset(2);
  subscriber.Write(commit);
  request.mutable_attach()->set_binding(2);
  EXPECT_EQ(subscriber.Attach(request, "t").start_offset(), 2u);
  EXPECT_THAT(subscriber.Bodies(1), ElementsAre("2"));
  request.mutable_attach()->set_binding(3);
  request.mutable_attach()->mutable_offset()->set_start(v1::OffsetMode::LAST);
  EXPECT_EQ(subscriber.Attach(request, "t").start_offset(), 3u);
  request.mutable_attach()->set_binding(4);
  request.mutable_attach()->mutable_offset()->set_queue_offset(4);
  const v1::Attached refused = subscriber.Attach(request, "t");
  EXPECT_EQ(refused.status().code(), v2::ILLEGAL_OFFSET);
  EXPECT_EQ(refused.max_offset(), 3u);
}

TEST_F(StreamServiceTest, CreditBoundsWhatIsSent) {
  Publisher publisher = Publish();
  publisher.Bind(1, "t", 0);
  for (uint64_t i = 0; i < 10; ++i) {
    publisher.Send(1, i + 1, {std::string(100'000, 'a' + static_cast<char>(i))});
    publisher.Ack();
  }
  AwaitIndexed("t", 10);
  Subscriber subscriber = Subscribe("", 64u << 10);
  subscriber.AttachAt("t", 0, 0);
  // One frame goes beyond the credit; nothing more comes, and an answer overtakes what waits.
  EXPECT_EQ(ReadRecords(subscriber.Read().frame().records()).size(), 2u);
  v1::SubscribeRequest detach;
  detach.mutable_detach()->set_binding(9);
  subscriber.Write(detach);
  EXPECT_EQ(subscriber.Read().detached(0).binding(), 9u);
  v1::SubscribeRequest credit;
  credit.set_credit_bytes(10u << 20);
  subscriber.Write(credit);
  EXPECT_EQ(subscriber.Bodies(8).size(), 8u);
}

TEST_F(StreamServiceTest, TagsFilter) {
  for (const char* tag : {"a", "b", "a", "c"}) Send("t", std::string("body ") + tag, tag);
  AwaitIndexed("t", 4);
  Subscriber subscriber = Subscribe("g");
  v1::SubscribeRequest request;
  request.mutable_attach()->set_binding(1);
  request.mutable_attach()->mutable_filter()->set_expression("b || c");
  request.mutable_attach()->mutable_group()->set_invisible_ms(30'000);
  request.mutable_attach()->mutable_group()->set_max_unsettled(10);
  subscriber.Attach(request, "t");
  std::vector<std::string> bodies = subscriber.Bodies(2);
  std::sort(bodies.begin(), bodies.end());
  EXPECT_THAT(bodies, ElementsAre("body b", "body c"));
}

TEST_F(StreamServiceTest, LeasedMessagesAreSettled) {
  Publisher publisher = Publish();
  publisher.Bind(1, "t", 0);
  publisher.Send(1, 1, {"0", "1", "2", "3"});
  publisher.Ack();
  Subscriber subscriber = Subscribe("g");
  subscriber.AttachGroup("t");
  ASSERT_EQ(subscriber.Bodies(4).size(), 4u);
  const v1::MessageFrame frame = subscriber.Last().frame();
  ASSERT_EQ(frame.leases_size(), 4);
  EXPECT_EQ(frame.attempts_size(), 0);
  subscriber.Settle(0, 0, frame.leases(0), v1::Verdict::ACK);
  subscriber.Settle(0, 1, frame.leases(1), v1::Verdict::RELEASE);
  EXPECT_THAT(subscriber.Bodies(1), ElementsAre("1"));
  EXPECT_EQ(subscriber.Last().frame().attempts_size(), 0);  // not counted
  subscriber.Settle(0, 2, frame.leases(2), v1::Verdict::RETRY);
  EXPECT_THAT(subscriber.Bodies(1), ElementsAre("2"));
  EXPECT_THAT(subscriber.Last().frame().attempts(), ElementsAre(2u));
  subscriber.Settle(0, 3, frame.leases(3), v1::Verdict::EXTEND, 60'000);
  const v1::SubscribeResponse extended = subscriber.Read();
  ASSERT_EQ(extended.settled_size(), 1);
  EXPECT_EQ(extended.settled(0).status().code(), v2::OK);
  EXPECT_NE(extended.settled(0).lease(), frame.leases(3));
  subscriber.Settle(0, 3, frame.leases(3), v1::Verdict::ACK);  // the lease before
  EXPECT_EQ(subscriber.Read().settled(0).status().code(), v2::INVALID_RECEIPT_HANDLE);
  subscriber.Settle(0, 3, extended.settled(0).lease(), v1::Verdict::ACK);
  subscriber.Settle(0, 0, frame.leases(0), v1::Verdict::ACK);  // twice
  EXPECT_EQ(subscriber.Read().settled(0).status().code(), v2::INVALID_RECEIPT_HANDLE);
}

TEST_F(StreamServiceTest, VerdictsThatMakeNoSenseAreRefused) {
  Publisher publisher = Publish();
  publisher.Bind(1, "t", 0);
  publisher.Send(1, 1, {"a"});
  publisher.Ack();
  Subscriber subscriber = Subscribe("g");
  subscriber.AttachGroup("t");
  ASSERT_EQ(subscriber.Bodies(1).size(), 1u);
  const uint64_t lease = subscriber.Last().frame().leases(0);
  subscriber.Settle(0, 0, lease, v1::Verdict::RETRY, UINT32_MAX);
  EXPECT_EQ(subscriber.Read().settled(0).status().code(), v2::ILLEGAL_INVISIBLE_TIME);
  subscriber.Settle(0, 0, lease, v1::Verdict::EXTEND, 60'000);  // it goes on
  EXPECT_EQ(subscriber.Read().settled(0).status().code(), v2::OK);
  subscriber.Settle(0, 0, lease, static_cast<v1::Verdict::Outcome>(9));
  EXPECT_EQ(subscriber.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(StreamServiceTest, LeasesEndWithTheStream) {
  Publisher publisher = Publish();
  publisher.Bind(1, "t", 0);
  publisher.Send(1, 1, {"a"});
  publisher.Ack();
  {
    Subscriber subscriber = Subscribe("g");
    subscriber.AttachGroup("t", 1, 12 * 3600 * 1000);
    EXPECT_EQ(subscriber.Bodies(1).size(), 1u);
  }
  // The server hears of the end a moment later than the client: time goes on until it has.
  std::vector<v2::Message> received;
  for (int i = 0; i < 10'000 && received.empty(); ++i) {
    clock_.Advance(std::chrono::milliseconds(1001));
    received = Receive("t", "g").messages;
  }
  ASSERT_EQ(received.size(), 1u);
  EXPECT_EQ(received[0].body(), "a");
  EXPECT_EQ(received[0].system_properties().delivery_attempt(), 2);
}

TEST_F(StreamServiceTest, AFullMemberDoesNotHoldUpTheOthers) {
  Publisher publisher = Publish();
  publisher.Bind(1, "t", 0);
  publisher.Send(1, 1, {"0"});
  publisher.Ack();
  Subscriber full = Subscribe("g");
  full.AttachGroup("t", 1);
  EXPECT_THAT(full.Bodies(1), ElementsAre("0"));
  Subscriber other = Subscribe("g");
  other.AttachGroup("t", 10);
  for (uint64_t i = 1; i < 4; ++i) {
    publisher.Send(1, i + 1, {std::to_string(i)});
    publisher.Ack();
    EXPECT_THAT(other.Bodies(1), ElementsAre(std::to_string(i)));
  }
}

TEST_F(StreamServiceTest, AFilterThatMatchesLittleFindsWhatItSeeks) {
  Publisher publisher = Publish();
  publisher.Bind(1, "t", 0);
  v2::Message other;
  other.set_body("other");
  other.mutable_system_properties()->set_tag("b");
  const std::string bytes = other.SerializeAsString();
  v1::PublishRequest request = Publisher::Frame(1, 1, {});
  for (int i = 0; i < 20'000; ++i) request.mutable_frame()->add_messages(bytes);
  other.mutable_system_properties()->set_tag("a");
  other.set_body("sought");
  request.mutable_frame()->add_messages(other.SerializeAsString());
  publisher.Write(request);
  publisher.Ack();
  Subscriber subscriber = Subscribe("g");
  v1::SubscribeRequest attach;
  attach.mutable_attach()->set_binding(1);
  attach.mutable_attach()->mutable_filter()->set_expression("a");
  attach.mutable_attach()->mutable_group()->set_invisible_ms(30'000);
  attach.mutable_attach()->mutable_group()->set_max_unsettled(10);
  subscriber.Attach(attach, "t");
  EXPECT_THAT(subscriber.Bodies(1), ElementsAre("sought"));
}

TEST_F(StreamServiceTest, RequestsThatAreTooLargeEndTheStream) {
  Publisher publisher = Publish();
  publisher.Bind(1, "t", 0);
  publisher.Send(1, 1, {std::string(6u << 20, 'x')});
  EXPECT_EQ(publisher.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  Subscriber subscriber = Subscribe("g");
  v1::SubscribeRequest request;
  for (int i = 0; i < 600'000; ++i) request.mutable_settle()->add_verdicts();
  subscriber.Write(request);
  EXPECT_EQ(subscriber.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(StreamServiceTest, AServerThatStopsEndsItsStreams) {
  Publisher publisher = Publish();
  publisher.Bind(1, "t", 0);
  publisher.Send(1, 1, {"a"});
  publisher.Ack();
  Subscriber subscriber = Subscribe("g");
  subscriber.AttachAt("t", 0, 0);
  EXPECT_EQ(subscriber.Bodies(1).size(), 1u);
  broker_->Drain();
  EXPECT_EQ(publisher.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(subscriber.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(StreamServiceTest, NoMoreThanMaxUnsettledIsLeased) {
  Publisher publisher = Publish();
  publisher.Bind(1, "t", 0);
  publisher.Send(1, 1, {"0", "1", "2"});
  publisher.Ack();
  AwaitIndexed("t", 3);
  Subscriber subscriber = Subscribe("g");
  subscriber.AttachGroup("t", 2);
  EXPECT_THAT(subscriber.Bodies(2), ElementsAre("0", "1"));
  subscriber.Settle(0, 1, subscriber.Last().frame().leases(1), v1::Verdict::ACK);
  EXPECT_THAT(subscriber.Bodies(1), ElementsAre("2"));
}

}  // namespace
}  // namespace dunlin::broker
