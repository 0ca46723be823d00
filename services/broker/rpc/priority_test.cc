// Messages with a priority: docs/priority.md.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"
#include "services/broker/rpc/testing/stream_clients.h"
#include "services/broker/rpc/testing/topic_admin.h"

namespace dunlin::broker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr uint32_t kQueues = 4;

class PriorityTest : public MessagingServiceTest {
 protected:
  PriorityTest() {
    admin::v1::Topic topic = TopicAdmin::Topic("urgent", kQueues);
    topic.add_kinds(admin::v1::PRIORITY);
    TopicAdmin(server_->InProcessChannel({})).Create(topic);
  }

  v2::SendMessageResponse SendUrgent(int32_t priority, const std::string& body) {
    v2::SendMessageRequest request;
    AddMessage(request, "urgent", body)->mutable_system_properties()->set_priority(priority);
    return Call(&Stub::SendMessage, request);
  }
  // Sends, and waits until all are there: consumers get what is most urgent of what is there.
  void SendAll(const std::vector<int32_t>& priorities) {
    for (int32_t priority : priorities) {
      EXPECT_EQ(SendUrgent(priority, std::to_string(priority)).status().code(), v2::OK);
    }
    AwaitIndexed("urgent", priorities.size());
  }
  void CreateGroup(const std::string& name, uint32_t factor,
                   admin::v1::DeliveryOrder order = admin::v1::CONCURRENT) {
    const auto stub = admin::v1::AdminService::NewStub(server_->InProcessChannel({}));
    admin::v1::CreateGroupRequest request;
    request.mutable_group()->set_name(name);
    request.mutable_group()->set_priority_factor(factor);
    request.mutable_group()->set_delivery_order(order);
    grpc::ClientContext context;
    admin::v1::Group group;
    EXPECT_TRUE(stub->CreateGroup(&context, request, &group).ok());
    EXPECT_EQ(group.priority_factor(), factor);
  }
  std::vector<std::string> ReceiveBodies(const std::string& group, int batch) {
    v2::ReceiveMessageRequest request = ReceiveRequest("urgent", group);
    request.set_batch_size(batch);
    std::vector<std::string> bodies;
    for (const v2::Message& message : Receive(request).messages) bodies.push_back(message.body());
    return bodies;
  }

  using Stub = v2::MessagingService::Stub;
};

TEST_F(PriorityTest, TheMostUrgentComesFirst) {
  SendAll({0, 2, 1, 3, 2, 0});
  EXPECT_THAT(ReceiveBodies("group", 4), ElementsAre("3", "2", "2", "1"));
  // A message that comes in later is ahead of those that wait.
  ASSERT_EQ(SendUrgent(3, "late").status().code(), v2::OK);
  AwaitIndexed("urgent", 1);
  EXPECT_THAT(ReceiveBodies("group", 1), ElementsAre("late"));
  EXPECT_THAT(ReceiveBodies("group", 4), ElementsAre("0", "0"));
}

TEST_F(PriorityTest, IsSeenByTheConsumerAndKeptInARetry) {
  SendAll({1, 3});
  std::vector<v2::Message> messages = ReceiveSome("urgent", "group");
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0].system_properties().message_type(), v2::PRIORITY);
  EXPECT_EQ(messages[0].system_properties().priority(), 3);
  for (const v2::Message& message : messages) {
    ASSERT_EQ(ChangeInvisible("urgent", "group", Handle(message), 0).status().code(), v2::OK);
  }
  messages = ReceiveSome("urgent", "group");
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0].body(), "3");
  EXPECT_EQ(messages[0].system_properties().delivery_attempt(), 2);
}

TEST_F(PriorityTest, ThoseAboveTheLastQueueShareIt) {
  SendAll({0, 1'000'000, 3});
  EXPECT_THAT(ReceiveBodies("group", 3), ElementsAre("1000000", "3", "0"));
}

TEST_F(PriorityTest, AFactorLetsTheOthersBeginToo) {
  CreateGroup("strict", 100);
  CreateGroup("fair", 0);
  const std::vector<int32_t> all(32, 3);
  SendAll(all);
  SendAll({0});
  EXPECT_THAT(ReceiveBodies("strict", 1), ElementsAre("3"));
  // Each fourth receive begins with the lowest priority.
  std::vector<std::string> bodies;
  for (uint32_t i = 0; i < kQueues; ++i) {
    for (const std::string& body : ReceiveBodies("fair", 1)) bodies.push_back(body);
  }
  EXPECT_THAT(bodies, UnorderedElementsAre("3", "3", "3", "0"));
}

TEST_F(PriorityTest, DoesNotLeadOrderedGroups) {
  SendAll({0, 3});
  // They begin with each queue in turn.
  std::vector<std::string> firsts;
  for (uint32_t i = 0; i < kQueues; ++i) {
    const std::string group = "ordered" + std::to_string(i);
    CreateGroup(group, 100, admin::v1::IN_ORDER);
    for (const std::string& body : ReceiveBodies(group, 1)) firsts.push_back(body);
  }
  EXPECT_EQ(firsts.size(), kQueues);
  EXPECT_THAT(firsts, Contains("0"));
}

TEST_F(PriorityTest, RefusesWhatIsNone) {
  const v2::SendMessageResponse below = SendUrgent(-1, "below");
  EXPECT_EQ(below.status().code(), v2::BAD_REQUEST);
  EXPECT_THAT(below.status().message(), HasSubstr("use 0 or more"));
  EXPECT_EQ(Send("urgent", "without").status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  v2::SendMessageRequest elsewhere;
  AddMessage(elsewhere, "normal", "x")->mutable_system_properties()->set_priority(1);
  EXPECT_EQ(Call(&Stub::SendMessage, elsewhere).status().code(),
            v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);

  const auto stub = admin::v1::AdminService::NewStub(server_->InProcessChannel({}));
  admin::v1::CreateGroupRequest request;
  request.mutable_group()->set_name("group");
  request.mutable_group()->set_priority_factor(101);
  grpc::ClientContext context;
  admin::v1::Group group;
  const grpc::Status status = stub->CreateGroup(&context, request, &group);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("choose 0 to 100"));
}

TEST_F(PriorityTest, StreamsTakeAPriorityInItsQueueOnly) {
  const auto streams = v1::StreamService::NewStub(server_->InProcessChannel({}));
  v2::Message message;
  message.set_body("urgent");
  message.mutable_system_properties()->set_priority(7);
  v1::PublishRequest frame = Publisher::Frame(1, 1, {});
  frame.mutable_frame()->add_messages(message.SerializeAsString());

  Publisher publisher(*streams, 0, Context());
  EXPECT_EQ(publisher.Bind(1, "urgent", kQueues - 1).status().code(), v2::OK);
  publisher.Write(frame);
  EXPECT_EQ(publisher.Ack().count(), 1u);

  Publisher other(*streams, 0, Context());
  EXPECT_EQ(other.Bind(1, "urgent", 0).status().code(), v2::OK);
  other.Write(frame);
  const v1::PublishError error = other.Error();
  EXPECT_EQ(error.status().code(), v2::BAD_REQUEST);
  EXPECT_THAT(error.status().message(), HasSubstr("does not belong into queue 0"));
}

TEST_F(PriorityTest, SurvivesARestart) {
  CreateGroup("fair", 10);
  SendAll({0, 3});
  StopAll();
  Start();
  EXPECT_THAT(ReceiveBodies("group", 2), ElementsAre("3", "0"));
  const auto stub = admin::v1::AdminService::NewStub(server_->InProcessChannel({}));
  admin::v1::GetGroupRequest request;
  request.set_name("fair");
  grpc::ClientContext context;
  admin::v1::GetGroupResponse response;
  ASSERT_TRUE(stub->GetGroup(&context, request, &response).ok());
  EXPECT_EQ(response.group().priority_factor(), 10u);
}

}  // namespace
}  // namespace dunlin::broker
