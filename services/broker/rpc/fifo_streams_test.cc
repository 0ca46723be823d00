// Message groups over Dunlin's streams: docs/fifo.md, docs/streams.md.

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"
#include "services/broker/rpc/testing/stream_clients.h"
#include "services/broker/wire/message_group.h"

namespace dunlin::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Of two queues: CRC-32C says so.
constexpr char kOfQueue1[] = "123456789";

class FifoStreamsTest : public MessagingServiceTest {
 protected:
  FifoStreamsTest() {
    streams_ = v1::StreamService::NewStub(server_->InProcessChannel({}));
    const auto admin = admin::v1::AdminService::NewStub(server_->InProcessChannel({}));
    admin::v1::CreateTopicRequest create;
    create.mutable_topic()->set_name("fifo");
    create.mutable_topic()->add_kinds(admin::v1::FIFO);
    admin::v1::Topic topic;
    grpc::ClientContext topic_context;
    EXPECT_TRUE(admin->CreateTopic(&topic_context, create, &topic).ok());
    admin::v1::CreateGroupRequest request;
    request.mutable_group()->set_name("ordered");
    request.mutable_group()->set_delivery_order(admin::v1::IN_ORDER);
    admin::v1::Group group;
    grpc::ClientContext group_context;
    EXPECT_TRUE(admin->CreateGroup(&group_context, request, &group).ok());
  }

  static v1::PublishRequest Frame(uint64_t first_sequence, const std::string& message_group,
                                  const std::vector<std::string>& bodies) {
    v1::PublishRequest request;
    request.mutable_frame()->set_binding(1);
    request.mutable_frame()->set_first_sequence(first_sequence);
    for (const std::string& body : bodies) {
      v2::Message message;
      message.set_body(body);
      if (!message_group.empty()) {
        message.mutable_system_properties()->set_message_group(message_group);
      }
      request.mutable_frame()->add_messages(message.SerializeAsString());
    }
    return request;
  }

  std::unique_ptr<v1::StreamService::Stub> streams_;
};

TEST_F(FifoStreamsTest, AMessageGroupIsTakenInItsQueueOnly) {
  Publisher publisher(*streams_, 0, Context());
  EXPECT_EQ(publisher.Bind(1, "fifo", 1).status().code(), v2::OK);
  publisher.Write(Frame(1, kOfQueue1, {"a", "b"}));
  EXPECT_EQ(publisher.Ack().count(), 2u);
  publisher.Write(Frame(3, "", {"no group"}));
  EXPECT_EQ(publisher.Error().status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);

  Publisher other(*streams_, 0, Context());
  EXPECT_EQ(other.Bind(1, "fifo", 0).status().code(), v2::OK);
  other.Write(Frame(1, kOfQueue1, {"c"}));
  const v1::PublishError error = other.Error();
  EXPECT_EQ(error.status().code(), v2::BAD_REQUEST);
  EXPECT_THAT(error.status().message(), HasSubstr("does not belong into queue 0"));
}

TEST_F(FifoStreamsTest, ManyGroupsInTheWrongQueueAreToldOfOnce) {
  Publisher publisher(*streams_, 0, Context());
  EXPECT_EQ(publisher.Bind(1, "fifo", 0).status().code(), v2::OK);
  v1::PublishRequest request = Publisher::Frame(1, 1, {});
  constexpr int kMany = 20'000;
  for (int i = 0; request.frame().messages_size() < kMany; ++i) {
    const std::string group = std::to_string(i);
    if (QueueOfMessageGroup(group, 2) == 0) continue;
    v2::Message message;
    message.set_body("x");
    message.mutable_system_properties()->set_message_group(group);
    request.mutable_frame()->add_messages(message.SerializeAsString());
  }
  publisher.Write(request);
  const v1::PublishError error = publisher.Error();
  EXPECT_EQ(error.status().code(), v2::BAD_REQUEST);
  EXPECT_EQ(error.first_sequence(), 1u);
  EXPECT_EQ(error.count(), uint32_t{kMany});
}

TEST_F(FifoStreamsTest, GroupModeKeepsTheOrderOfAMessageGroup) {
  Publisher publisher(*streams_, 0, Context());
  publisher.Bind(1, "fifo", 1);
  publisher.Write(Frame(1, kOfQueue1, {"0", "1", "2", "3"}));
  EXPECT_EQ(publisher.Ack().count(), 4u);

  {
    Subscriber first(*streams_, "ordered", Context());
    EXPECT_EQ(first.AttachGroup("fifo").status().code(), v2::OK);
    EXPECT_THAT(first.Bodies(1), ElementsAre("0"));
    ASSERT_EQ(first.Last().frame().leases_size(), 1);  // one at a time
  }
  // The server hears of the end a moment later than the client: time goes on until it has.
  std::vector<v2::Message> again;
  for (int i = 0; i < 10'000 && again.empty(); ++i) {
    clock_.Advance(std::chrono::milliseconds(1001));
    again = Receive("fifo", "ordered").messages;
  }
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].body(), "0");
  EXPECT_EQ(again[0].system_properties().delivery_attempt(), 2);
  ASSERT_EQ(ChangeInvisible("fifo", "ordered", Handle(again[0]), 0).status().code(), v2::OK);

  Subscriber second(*streams_, "ordered", Context("other"));
  second.AttachGroup("fifo");
  EXPECT_THAT(second.Bodies(1), ElementsAre("0"));
  EXPECT_THAT(second.Last().frame().attempts(), ElementsAre(3));
  for (uint64_t i = 0; i < 3; ++i) {
    second.Settle(1, i, second.Last().frame().leases(0), v1::Verdict::ACK);
    EXPECT_THAT(second.Bodies(1), ElementsAre(std::to_string(i + 1)));
  }
}

}  // namespace
}  // namespace dunlin::broker
