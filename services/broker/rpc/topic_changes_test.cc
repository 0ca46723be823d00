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

}  // namespace
}  // namespace dunlin::broker
