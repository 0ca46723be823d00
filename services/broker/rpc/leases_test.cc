// How long what was received stays with its consumer, and what becomes of its handle.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "services/broker/rpc/testing/groups_fixture.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LeasesTest : public GroupsTest {
 protected:
  using Stub = v2::MessagingService::Stub;

  LeasesTest() { CreateTopic("t", 1); }

  // As a push consumer: what it gets is renewed.
  std::vector<v2::Message> Push(const std::string& client) {
    v2::ReceiveMessageRequest request = ReceiveRequest("t", "g");
    request.clear_invisible_duration();
    request.set_auto_renew(true);
    request.mutable_long_polling_timeout()->set_seconds(5);
    return Receive(request, client).messages;
  }
  int64_t Appended() { return Do(&Admin::GetBroker, admin::v1::GetBrokerRequest()).appended(); }
  bool IsListed(const std::string& client) {
    const auto clients = Do(&Admin::ListClients, admin::v1::ListClientsRequest()).clients();
    return std::any_of(clients.begin(), clients.end(), [&](const admin::v1::Client& listed) {
      return listed.client_id() == client;
    });
  }
  v2::Code ChangeAs(const std::string& language, const v2::Message& message, milliseconds delay) {
    v2::ChangeInvisibleDurationRequest request;
    request.mutable_topic()->set_name("t");
    request.mutable_group()->set_name("g");
    request.set_receipt_handle(Handle(message));
    request.mutable_invisible_duration()->set_nanos(static_cast<int32_t>(delay.count()) *
                                                    1'000'000);
    const auto context = Context();
    context->AddMetadata("x-mq-language", language);
    v2::ChangeInvisibleDurationResponse response;
    EXPECT_TRUE(stub_->ChangeInvisibleDuration(context.get(), request, &response).ok());
    return response.status().code();
  }
};

TEST_F(LeasesTest, AreRenewedWhileHeartbeatsComeAndKeepTheirHandle) {
  Create(Named("g"));
  Send("t", "a");
  v2::HeartbeatRequest heartbeat;
  heartbeat.set_client_type(v2::PUSH_CONSUMER);
  heartbeat.mutable_group()->set_name("g");
  int64_t appended = Appended();
  const std::vector<v2::Message> held = Push("worker");
  ASSERT_EQ(held.size(), 1u);
  for (int i = 0; i < 6; ++i) {
    // A lease, and each renewal of it, is in the log a moment later; nothing else is.
    const int64_t before = appended;
    while (appended == before) appended = Appended();
    EXPECT_EQ(Call(&Stub::Heartbeat, heartbeat, "worker").status().code(), v2::OK);
    clock_.Advance(seconds(50));
    EXPECT_THAT(BodiesOf("t", "g"), IsEmpty());
  }
  EXPECT_EQ(Ack("t", "g", {Handle(held[0])}).status().code(), v2::OK);
}

TEST_F(LeasesTest, OfAConsumerThatVanishesEndSoonAfterItsStreamBroke) {
  Send("t", "a");
  const auto context = Context("vanishes", seconds(60));
  const auto stream = stub_->Telemetry(context.get());
  v2::TelemetryCommand command;
  command.mutable_settings()->set_client_type(v2::PUSH_CONSUMER);
  command.mutable_settings()->mutable_subscription()->mutable_group()->set_name("g");
  ASSERT_TRUE(stream->Write(command));
  ASSERT_TRUE(stream->Read(&command));
  ASSERT_EQ(Push("vanishes").size(), 1u);
  context->TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  clock_.Advance(seconds(36));
  EXPECT_THAT(BodiesOf("t", "g"), IsEmpty());
  // Clients are looked after every 5 s; the lease itself would run for 60.
  while (IsListed("vanishes")) clock_.Advance(milliseconds(1));
  std::vector<std::string> bodies;
  for (int i = 0; i < 100 && bodies.empty(); ++i) {
    clock_.Advance(milliseconds(100));
    bodies = BodiesOf("t", "g");
  }
  EXPECT_THAT(bodies, ElementsAre("a"));
}

TEST_F(LeasesTest, GivenBackByNodeJsWaitAsTheirGroupSays) {
  admin::v1::Group group = Named("g");
  for (int64_t delay : {2000, 60'000}) group.add_retry_delays_ms(delay);
  Create(group);
  Send("t", "a");
  std::vector<v2::Message> held = Push("client");
  ASSERT_EQ(held.size(), 1u);
  EXPECT_EQ(ChangeAs("HTTP", held[0], milliseconds(5)), v2::OK);
  clock_.Advance(milliseconds(1999));
  EXPECT_THAT(BodiesOf("t", "g"), IsEmpty());
  clock_.Advance(milliseconds(1));
  held = Push("client");
  ASSERT_EQ(held.size(), 1u);
  // Others mean what they say.
  EXPECT_EQ(ChangeAs("JAVA", held[0], milliseconds(5)), v2::OK);
  clock_.Advance(milliseconds(5));
  EXPECT_THAT(BodiesOf("t", "g"), ElementsAre("a"));
}

TEST_F(LeasesTest, EndWithTheirGroup) {
  Create(Named("g"));
  Send("t", "a");
  const std::vector<v2::Message> held = ReceiveSome("t", "g");
  ASSERT_EQ(held.size(), 1u);
  admin::v1::DeleteGroupRequest request;
  request.set_name("g");
  Do(&Admin::DeleteGroup, request);
  v2::ForwardMessageToDeadLetterQueueRequest forward;
  forward.mutable_topic()->set_name("t");
  forward.mutable_group()->set_name("g");
  forward.set_receipt_handle(Handle(held[0]));
  const auto invalid = v2::INVALID_RECEIPT_HANDLE;
  // The second time a group of that name is there again.
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(ChangeInvisible("t", "g", Handle(held[0]), 10).status().code(), invalid);
    EXPECT_EQ(Call(&Stub::ForwardMessageToDeadLetterQueue, forward).status().code(), invalid);
    EXPECT_EQ(Ack("t", "g", {Handle(held[0])}).status().code(), invalid);
    if (i == 0) Create(Named("g"));
  }
}

}  // namespace
}  // namespace dunlin::broker
