// What those who wait for messages see of a topic that changes meanwhile.

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"
#include "services/broker/rpc/testing/stream_clients.h"
#include "services/broker/rpc/testing/topic_admin.h"

namespace dunlin::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

class TopicChangesTest : public MessagingServiceTest {
 protected:
  TopicChangesTest()
      : streams_(v1::StreamService::NewStub(server_->InProcessChannel({}))),
        admin_(server_->InProcessChannel({})) {
    admin_.Create(TopicAdmin::Topic("t", 2));
  }

  void AwaitWaiting(uint64_t waiting) {
    while (admin_.Waiting() != waiting) std::this_thread::yield();
  }
  // One message into the topic's newest queue.
  void PublishInto(uint32_t queue, const std::string& body) {
    Publisher publisher(*streams_, 0, Context());
    publisher.Bind(1, "t", queue);
    publisher.Send(1, 1, {body});
    EXPECT_EQ(publisher.Ack().count(), 1u);
  }

  std::unique_ptr<v1::StreamService::Stub> streams_;
  TopicAdmin admin_;
};

TEST_F(TopicChangesTest, AMemberThatWaitsHearsOfNewQueues) {
  Subscriber member(*streams_, "g", Context());
  EXPECT_EQ(member.AttachGroup("t").queues(), 2u);
  AwaitWaiting(1);
  admin_.Update(TopicAdmin::Topic("t", 3));
  PublishInto(2, "new");
  EXPECT_THAT(member.Bodies(1), ElementsAre("new"));
}

TEST_F(TopicChangesTest, ALongPollThatWaitsHearsOfNewQueues) {
  v2::ReceiveMessageRequest request = ReceiveRequest("t", "g");
  request.mutable_long_polling_timeout()->set_seconds(5);
  std::vector<v2::Message> received;
  std::thread poll([&] { received = Receive(request).messages; });
  AwaitWaiting(1);
  admin_.Update(TopicAdmin::Topic("t", 3));
  PublishInto(2, "new");
  poll.join();
  ASSERT_EQ(received.size(), 1u);
  EXPECT_EQ(received[0].body(), "new");
}

TEST_F(TopicChangesTest, FewerQueuesTakeMessagesAndAllAreRead) {
  PublishInto(0, "first");
  PublishInto(1, "second");
  {
    Publisher bound(*streams_, 0, Context());
    bound.Bind(1, "t", 1);
    admin_.Update(TopicAdmin::Topic("t", 1));

    for (int i = 0; i < 4; ++i) {
      const v2::SendMessageResponse sent = Send("t", "new" + std::to_string(i));
      ASSERT_EQ(sent.status().code(), v2::OK);
      EXPECT_EQ(sent.entries(0).offset(), i + 1);  // all in queue 0
    }
    Publisher late(*streams_, 0, Context());
    EXPECT_EQ(late.Bind(1, "t", 1).status().code(), v2::BAD_REQUEST);
    bound.Send(1, 1, {"on its way"});
    EXPECT_EQ(bound.Ack().count(), 1u);
  }
  v2::QueryRouteRequest query;
  query.mutable_topic()->set_name("t");
  const v2::QueryRouteResponse route = Call(&v2::MessagingService::Stub::QueryRoute, query);
  ASSERT_EQ(route.message_queues_size(), 2);
  EXPECT_EQ(route.message_queues(0).permission(), v2::READ_WRITE);
  EXPECT_EQ(route.message_queues(1).permission(), v2::READ);

  std::vector<std::string> bodies;
  while (bodies.size() < 7) {
    const std::vector<v2::Message> some = ReceiveSome("t", "g");
    ASSERT_FALSE(some.empty());
    for (const v2::Message& message : some) bodies.push_back(message.body());
  }
  EXPECT_THAT(bodies, UnorderedElementsAre("first", "second", "new0", "new1", "new2", "new3",
                                           "on its way"));
  // And back, across a restart: offsets go on where they were.
  StopAll();
  Start();
  streams_ = v1::StreamService::NewStub(server_->InProcessChannel({}));
  TopicAdmin(server_->InProcessChannel({})).Update(TopicAdmin::Topic("t", 2));
  Publisher again(*streams_, 0, Context());
  again.Bind(1, "t", 1);
  again.Send(1, 1, {"again"});
  EXPECT_EQ(again.Ack().first_offset(), 2);
}

TEST_F(TopicChangesTest, WhatATopicDoesNotPermitIsForbiddenAndItsRouteSaysWhatItDoes) {
  using Stub = v2::MessagingService::Stub;
  struct Answers {
    v2::Code send;
    v2::Code receive;
    v2::Code assignment;
    v2::Permission route;
  };
  const auto answers = [this](admin::v1::Permission permission) {
    admin::v1::Topic topic = TopicAdmin::Topic("t", 2);
    topic.set_permission(permission);
    admin_.Update(topic);
    v2::QueryRouteRequest query;
    query.mutable_topic()->set_name("t");
    v2::QueryAssignmentRequest assignment;
    assignment.mutable_topic()->set_name("t");
    assignment.mutable_group()->set_name("g");
    const v2::QueryRouteResponse route = Call(&Stub::QueryRoute, query);
    EXPECT_EQ(route.message_queues_size(), 2);
    EXPECT_EQ(route.message_queues(0).permission(), route.message_queues(1).permission());
    return Answers{Send("t", "body").status().code(), Receive("t", "g").status.code(),
                   Call(&Stub::QueryAssignment, assignment).status().code(),
                   route.message_queues(0).permission()};
  };
  const Answers read = answers(admin::v1::READ);
  EXPECT_EQ(read.send, v2::FORBIDDEN);
  EXPECT_EQ(read.receive, v2::MESSAGE_NOT_FOUND);
  EXPECT_EQ(read.assignment, v2::OK);
  EXPECT_EQ(read.route, v2::READ);
  const Answers write = answers(admin::v1::WRITE);
  EXPECT_EQ(write.send, v2::OK);
  EXPECT_EQ(write.receive, v2::FORBIDDEN);
  EXPECT_EQ(write.assignment, v2::FORBIDDEN);
  EXPECT_EQ(write.route, v2::WRITE);
  const Answers none = answers(admin::v1::NONE);
  EXPECT_EQ(none.send, v2::FORBIDDEN);
  EXPECT_EQ(none.receive, v2::FORBIDDEN);
  EXPECT_EQ(none.assignment, v2::FORBIDDEN);
  EXPECT_EQ(none.route, v2::NONE);
}

TEST_F(TopicChangesTest, WhoWaitsForADeletedTopicIsToldAtOnce) {
  Subscriber reader(*streams_, "", Context());
  reader.AttachAt("t", 0, 0);
  Subscriber member(*streams_, "g", Context());
  member.AttachGroup("t");
  v2::ReceiveMessageRequest request = ReceiveRequest("t", "g");
  request.mutable_long_polling_timeout()->set_seconds(5);
  v2::Status answer;
  std::thread poll([&] { answer = Receive(request).status; });
  AwaitWaiting(3);
  admin_.Delete("t");
  const v1::SubscribeResponse read = reader.Read();
  ASSERT_EQ(read.detached_size(), 1);
  EXPECT_EQ(read.detached(0).status().code(), v2::TOPIC_NOT_FOUND);
  const v1::SubscribeResponse led = member.Read();
  ASSERT_EQ(led.detached_size(), 1);
  EXPECT_EQ(led.detached(0).status().code(), v2::TOPIC_NOT_FOUND);
  poll.join();
  EXPECT_EQ(answer.code(), v2::TOPIC_NOT_FOUND);
}

TEST_F(TopicChangesTest, AMemberThatWaitsHearsThatTheTopicMayNotBeReadAnyMore) {
  Subscriber member(*streams_, "g", Context());
  member.AttachGroup("t");
  AwaitWaiting(1);
  admin::v1::Topic closed = TopicAdmin::Topic("t", 2);
  closed.set_permission(admin::v1::WRITE);
  admin_.Update(closed);
  const v1::SubscribeResponse response = member.Read();
  ASSERT_EQ(response.detached_size(), 1);
  EXPECT_EQ(response.detached(0).status().code(), v2::FORBIDDEN);
}

TEST_F(TopicChangesTest, ALongPollThatWaitsHearsThatTheTopicMayNotBeReadAnyMore) {
  v2::ReceiveMessageRequest request = ReceiveRequest("t", "g");
  request.mutable_long_polling_timeout()->set_seconds(5);
  v2::Status answer;
  std::thread poll([&] { answer = Receive(request).status; });
  AwaitWaiting(1);
  admin::v1::Topic closed = TopicAdmin::Topic("t", 2);
  closed.set_permission(admin::v1::WRITE);
  admin_.Update(closed);
  poll.join();
  EXPECT_EQ(answer.code(), v2::FORBIDDEN);
}

}  // namespace
}  // namespace dunlin::broker
