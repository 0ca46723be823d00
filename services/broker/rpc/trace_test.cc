// What became of a message: TraceMessages of dunlin.admin.v1.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"
#include "services/broker/rpc/testing/stream_clients.h"

namespace dunlin::broker {
namespace {

using admin::v1::TraceEvent;
using admin::v1::TraceGroup;
using ::testing::ElementsAre;

class TraceTest : public MessagingServiceTest {
 protected:
  admin::v1::TraceMessagesResponse Trace(const admin::v1::GetMessagesRequest& request) {
    const auto stub = admin::v1::AdminService::NewStub(server_->InProcessChannel({}));
    grpc::ClientContext context;
    admin::v1::TraceMessagesResponse response;
    const grpc::Status status = stub->TraceMessages(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  admin::v1::MessageTrace TraceOf(const std::string& topic, const std::string& id) {
    admin::v1::GetMessagesRequest request;
    request.set_topic(topic);
    request.set_message_id(id);
    const admin::v1::TraceMessagesResponse response = Trace(request);
    EXPECT_EQ(response.traces_size(), 1);
    return response.traces_size() == 1 ? response.traces(0) : admin::v1::MessageTrace();
  }
  static std::vector<std::string> Steps(const admin::v1::MessageTrace& trace) {
    std::vector<std::string> steps;
    for (const TraceEvent& event : trace.events()) {
      steps.push_back(TraceEvent_Step_Name(event.step()) + " " + event.client_id() + " " +
                      event.group() + " " + std::to_string(event.attempt()));
    }
    return steps;
  }
  static std::vector<std::string> States(const admin::v1::MessageTrace& trace) {
    std::vector<std::string> states;
    for (const TraceGroup& group : trace.groups()) {
      states.push_back(group.group() + " " + TraceGroup_State_Name(group.state()) + " " +
                       std::to_string(group.attempts()));
    }
    return states;
  }
  // Until the broker has saved how far its groups are.
  void AwaitState(const std::string& topic, const std::string& id, const std::string& state) {
    for (int i = 0; i < 10'000 && States(TraceOf(topic, id)) != std::vector{state}; ++i) {
    }
    EXPECT_THAT(States(TraceOf(topic, id)), ElementsAre(state));
  }
};

TEST_F(TraceTest, TellsTheLifeOfAMessage) {
  ASSERT_EQ(Send("topic", "hello").status().code(), v2::OK);
  std::vector<v2::Message> messages = ReceiveSome("topic", "group");
  ASSERT_EQ(messages.size(), 1u);
  AwaitState("topic", "id-hello", "group PENDING 1");
  ASSERT_EQ(ChangeInvisible("topic", "group", Handle(messages[0]), 10).status().code(), v2::OK);
  clock_.Advance(std::chrono::seconds(11));
  messages = ReceiveSome("topic", "group");
  ASSERT_EQ(messages.size(), 1u);
  ASSERT_EQ(Ack("topic", "group", {Handle(messages[0])}).status().code(), v2::OK);

  const admin::v1::MessageTrace trace = TraceOf("topic", "id-hello");
  EXPECT_THAT(Steps(trace), ElementsAre("STORED client  0", "DELIVERED client group 1",
                                        "INVISIBLE_CHANGED client group 1",
                                        "DELIVERED client group 2", "ACKNOWLEDGED client group 2"));
  EXPECT_EQ(trace.message().queue_offset(), 0);
  EXPECT_EQ(trace.events(3).time().seconds() - trace.events(0).time().seconds(), 11);
  AwaitState("topic", "id-hello", "group DONE 0");
}

TEST_F(TraceTest, NamesWhatAStreamStoredAndGot) {
  const auto streams = v1::StreamService::NewStub(server_->InProcessChannel({}));
  ASSERT_EQ(Send("topic", "first").status().code(), v2::OK);  // makes the topic
  Publisher publisher(*streams, 0, Context("publisher"));
  ASSERT_EQ(publisher.Bind(1, "topic", 1).status().code(), v2::OK);
  publisher.Write(Publisher::Frame(1, 1, {"a", "b", "c"}));
  const v1::PublishAck ack = publisher.Ack();
  ASSERT_EQ(ack.count(), 3u);
  admin::v1::GetMessagesRequest request;
  request.set_topic("topic");
  request.mutable_position()->set_queue(1);
  request.mutable_position()->set_offset(ack.first_offset() + 2);
  AwaitIndexed("topic", 4);

  Subscriber subscriber(*streams, "group", Context("subscriber"));
  ASSERT_EQ(subscriber.AttachGroup("topic").status().code(), v2::OK);
  std::vector<std::string> steps;
  for (int i = 0; i < 10'000 && steps.size() < 3; ++i) {
    steps = Steps(Trace(request).traces(0));
  }
  EXPECT_THAT(steps, ElementsAre("STORED publisher  0", "DELIVERED client reader 1",
                                 "DELIVERED subscriber group 1"));
}

TEST_F(TraceTest, ARestartForgetsEventsButNotWhereGroupsAre) {
  ASSERT_EQ(Send("topic", "hello").status().code(), v2::OK);
  const std::vector<v2::Message> messages = ReceiveSome("topic", "group");
  ASSERT_EQ(messages.size(), 1u);
  ASSERT_EQ(Ack("topic", "group", {Handle(messages[0])}).status().code(), v2::OK);
  StopAll();
  Start();
  const admin::v1::MessageTrace trace = TraceOf("topic", "id-hello");
  EXPECT_THAT(Steps(trace), ElementsAre());
  EXPECT_THAT(States(trace), ElementsAre("group DONE 0"));
}

TEST_F(TraceTest, SaysWhenThereIsNoSuchMessage) {
  ASSERT_EQ(Send("topic", "hello").status().code(), v2::OK);
  const auto stub = admin::v1::AdminService::NewStub(server_->InProcessChannel({}));
  admin::v1::GetMessagesRequest request;
  request.set_topic("topic");
  request.set_message_id("none");
  grpc::ClientContext context;
  admin::v1::TraceMessagesResponse response;
  EXPECT_EQ(stub->TraceMessages(&context, request, &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace dunlin::broker
