// The public API against a real store: one test per row of the check tables of each call.

#include <chrono>
#include <string>
#include <vector>

#include "services/broker/rpc/testing/messaging_service_fixture.h"

namespace dunlin::broker {
namespace {

TEST_F(MessagingServiceTest, CallsWithoutAClientIdAreRefused) {
  v2::SendMessageRequest send;
  AddMessage(send, "topic", "body");
  using Stub = v2::MessagingService::Stub;
  const auto required = v2::CLIENT_ID_REQUIRED;
  EXPECT_EQ(Call(&Stub::SendMessage, send, "").status().code(), required);
  EXPECT_EQ(Call(&Stub::QueryRoute, v2::QueryRouteRequest(), "").status().code(), required);
  EXPECT_EQ(Call(&Stub::Heartbeat, v2::HeartbeatRequest(), "").status().code(), required);
  EXPECT_EQ(Call(&Stub::QueryAssignment, v2::QueryAssignmentRequest(), "").status().code(),
            required);
  EXPECT_EQ(Call(&Stub::AckMessage, v2::AckMessageRequest(), "").status().code(), required);
  EXPECT_EQ(Call(&Stub::ChangeInvisibleDuration, v2::ChangeInvisibleDurationRequest(), "")
                .status()
                .code(),
            required);
  EXPECT_EQ(Call(&Stub::NotifyClientTermination, v2::NotifyClientTerminationRequest(), "")
                .status()
                .code(),
            required);
  EXPECT_EQ(Call(&Stub::UpdateOffset, v2::UpdateOffsetRequest(), "").status().code(), required);
  EXPECT_EQ(Call(&Stub::GetOffset, v2::GetOffsetRequest(), "").status().code(), required);
  EXPECT_EQ(Call(&Stub::QueryOffset, v2::QueryOffsetRequest(), "").status().code(), required);
  EXPECT_EQ(Receive(ReceiveRequest("topic", "group"), "").status.code(), required);
}

TEST_F(MessagingServiceTest, SendRefusals) {
  EXPECT_EQ(
      Call(&v2::MessagingService::Stub::SendMessage, v2::SendMessageRequest()).status().code(),
      v2::MESSAGE_CORRUPTED);
  EXPECT_EQ(Send("topic", "").status().code(), v2::MESSAGE_BODY_EMPTY);
  EXPECT_EQ(Send("bad topic!", "body").status().code(), v2::ILLEGAL_TOPIC);
  EXPECT_EQ(Send("topic", std::string((4u << 20) + 1, 'x')).status().code(),
            v2::MESSAGE_BODY_TOO_LARGE);
  EXPECT_EQ(Send("topic", std::string(4u << 20, 'x')).status().code(), v2::OK);
  EXPECT_EQ(Send("topic", "body", "a|b").status().code(), v2::ILLEGAL_MESSAGE_TAG);
  v2::SendMessageRequest mixed;
  AddMessage(mixed, "topic", "body");
  AddMessage(mixed, "other", "body");
  EXPECT_EQ(Call(&v2::MessagingService::Stub::SendMessage, mixed).status().code(),
            v2::MESSAGE_CORRUPTED);
}

TEST_F(MessagingServiceTest, KindsThatAreNotServedAreRefusedAndNotStored) {
  Send("topic", "makes the topic");
  v2::SendMessageRequest fifo;
  AddMessage(fifo, "topic", "fifo")->mutable_system_properties()->set_message_group("group");
  EXPECT_EQ(Call(&v2::MessagingService::Stub::SendMessage, fifo).status().code(),
            v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  v2::SendMessageRequest half;
  AddMessage(half, "topic", "half")->mutable_system_properties()->set_message_type(v2::TRANSACTION);
  EXPECT_EQ(Call(&v2::MessagingService::Stub::SendMessage, half).status().code(),
            v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_EQ(ReceiveSome("topic", "group").size(), 1u);
  EXPECT_TRUE(Receive("topic", "group").messages.empty());
}

TEST_F(MessagingServiceTest, ABatchWithAMessageOfAnotherKindIsRefusedWhole) {
  Send("topic", "makes the topic");
  v2::SendMessageRequest batch;
  AddMessage(batch, "topic", "fine");
  AddMessage(batch, "topic", "fifo")->mutable_system_properties()->set_message_group("group");
  const auto refused = Call(&v2::MessagingService::Stub::SendMessage, batch);
  EXPECT_EQ(refused.status().code(), v2::MESSAGE_PROPERTY_CONFLICT_WITH_TYPE);
  EXPECT_EQ(refused.entries_size(), 0);
  Send("topic", "behind it");
  std::vector<std::string> bodies;
  while (bodies.size() < 2) {
    const auto messages = ReceiveSome("topic", "group");
    ASSERT_FALSE(messages.empty());
    for (const auto& message : messages) bodies.push_back(message.body());
  }
  EXPECT_THAT(bodies, ::testing::UnorderedElementsAre("makes the topic", "behind it"));
}

TEST_F(MessagingServiceTest, UnknownTopicsAreNotFoundUnlessTheyMayBeMade) {
  config_.mutable_broker()->set_auto_create_topics(false);
  using Stub = v2::MessagingService::Stub;
  EXPECT_EQ(Send("nowhere", "body").status().code(), v2::TOPIC_NOT_FOUND);
  v2::QueryRouteRequest route;
  route.mutable_topic()->set_name("nowhere");
  EXPECT_EQ(Call(&Stub::QueryRoute, route).status().code(), v2::TOPIC_NOT_FOUND);
  route.mutable_topic()->set_name("TBW102");
  EXPECT_EQ(Call(&Stub::QueryRoute, route).status().code(), v2::ILLEGAL_TOPIC);
  route.mutable_topic()->set_name("topic");
  route.mutable_endpoints()->add_addresses()->set_host("");
  EXPECT_EQ(Call(&Stub::QueryRoute, route).status().code(), v2::ILLEGAL_ACCESS_POINT);
  v2::QueryAssignmentRequest assignment;
  assignment.mutable_topic()->set_name("nowhere");
  assignment.mutable_group()->set_name("group");
  EXPECT_EQ(Call(&Stub::QueryAssignment, assignment).status().code(), v2::TOPIC_NOT_FOUND);
  EXPECT_EQ(Receive("nowhere", "group").status.code(), v2::TOPIC_NOT_FOUND);
}

TEST_F(MessagingServiceTest, ReceiveRefusals) {
  Send("topic", "body");
  EXPECT_EQ(Receive("topic", "bad group!").status.code(), v2::ILLEGAL_CONSUMER_GROUP);
  EXPECT_EQ(Receive("bad topic!", "group").status.code(), v2::ILLEGAL_TOPIC);
  v2::ReceiveMessageRequest request = ReceiveRequest("topic", "group");
  request.mutable_invisible_duration()->set_seconds(9);
  Received refused = Receive(request);
  EXPECT_EQ(refused.status.code(), v2::ILLEGAL_INVISIBLE_TIME);
  EXPECT_THAT(refused.status.message(), ::testing::HasSubstr("the invisibleTime is too small"));
  request.mutable_invisible_duration()->set_seconds(12 * 3600 + 1);
  refused = Receive(request);
  EXPECT_EQ(refused.status.code(), v2::ILLEGAL_INVISIBLE_TIME);
  EXPECT_THAT(refused.status.message(), ::testing::HasSubstr("the invisibleTime is too large"));
  request = ReceiveRequest("topic", "group");
  request.mutable_filter_expression()->set_expression("||");
  EXPECT_EQ(Receive(request).status.code(), v2::ILLEGAL_FILTER_EXPRESSION);
  request = ReceiveRequest("topic", "group");
  request.mutable_long_polling_timeout()->set_seconds(-1);
  EXPECT_EQ(Receive(request).status.code(), v2::ILLEGAL_POLLING_TIME);
  request = ReceiveRequest("topic", "group");
  request.set_batch_size(0);
  EXPECT_EQ(Receive(request).status.code(), v2::BAD_REQUEST);
  request.set_batch_size(100'000);
  request.mutable_long_polling_timeout()->set_seconds(5);
  EXPECT_EQ(Receive(request).status.code(), v2::OK);
  config_.mutable_broker()->set_auto_create_groups(false);
  EXPECT_EQ(Receive("topic", "unknown").status.code(), v2::CONSUMER_GROUP_NOT_FOUND);
}

TEST_F(MessagingServiceTest, HandlesThatAreNoneEndRetryLoops) {
  Send("topic", "body");
  const auto messages = ReceiveSome("topic", "group");
  ASSERT_EQ(messages.size(), 1u);
  const auto invalid = v2::INVALID_RECEIPT_HANDLE;
  const auto mixed = Ack("topic", "group", {"rubbish", Handle(messages[0])});
  EXPECT_EQ(mixed.status().code(), v2::MULTIPLE_RESULTS);
  ASSERT_EQ(mixed.entries_size(), 2);
  EXPECT_EQ(mixed.entries(0).status().code(), invalid);
  EXPECT_EQ(mixed.entries(0).receipt_handle(), "rubbish");
  EXPECT_EQ(mixed.entries(0).message_id(), "some id");
  EXPECT_EQ(mixed.entries(1).status().code(), v2::OK);
  EXPECT_EQ(Ack("other", "group", {Handle(messages[0])}).status().code(), invalid);
  EXPECT_EQ(Ack("topic", "other", {Handle(messages[0])}).status().code(), invalid);
  EXPECT_EQ(Ack("topic", "group", {}).status().code(), v2::BAD_REQUEST);
  EXPECT_EQ(Ack("bad topic!", "group", {"x"}).entries(0).status().code(), v2::ILLEGAL_TOPIC);
  EXPECT_EQ(Ack("topic", "bad group!", {"x"}).entries(0).status().code(),
            v2::ILLEGAL_CONSUMER_GROUP);
  v2::ForwardMessageToDeadLetterQueueRequest forward;
  forward.mutable_topic()->set_name("topic");
  forward.mutable_group()->set_name("group");
  forward.set_message_id("id-body");
  EXPECT_EQ(
      Call(&v2::MessagingService::Stub::ForwardMessageToDeadLetterQueue, forward).status().code(),
      invalid);
  EXPECT_EQ(ChangeInvisible("topic", "group", "rubbish", 10).status().code(), invalid);
  EXPECT_EQ(ChangeInvisible("topic", "group", "rubbish", -1).status().code(),
            v2::ILLEGAL_INVISIBLE_TIME);
  EXPECT_EQ(ChangeInvisible("topic", "group", "rubbish", 12 * 3600 + 1).status().code(),
            v2::ILLEGAL_INVISIBLE_TIME);
}

TEST_F(MessagingServiceTest, NamespacesThatAreNoneAreRefusedWhereverTheyEnter) {
  Send("topic", "body");
  for (const std::string& name_space :
       {std::string("a/b"), std::string("a b"), std::string(128, 'n')}) {
    v2::Resource topic;
    topic.set_resource_namespace(name_space);
    topic.set_name("topic");
    v2::Resource group = topic;
    group.set_name("group");
    using Stub = v2::MessagingService::Stub;
    v2::SendMessageRequest send;
    *AddMessage(send, "topic", "body")->mutable_topic() = topic;
    EXPECT_EQ(Call(&Stub::SendMessage, send).status().code(), v2::ILLEGAL_TOPIC);
    v2::QueryRouteRequest route;
    *route.mutable_topic() = topic;
    EXPECT_EQ(Call(&Stub::QueryRoute, route).status().code(), v2::ILLEGAL_TOPIC);
    v2::ReceiveMessageRequest receive = ReceiveRequest("topic", "group");
    *receive.mutable_group() = group;
    EXPECT_EQ(Receive(receive).status.code(), v2::ILLEGAL_CONSUMER_GROUP);
    v2::HeartbeatRequest heartbeat;
    heartbeat.set_client_type(v2::SIMPLE_CONSUMER);
    *heartbeat.mutable_group() = group;
    EXPECT_EQ(Call(&Stub::Heartbeat, heartbeat).status().code(), v2::ILLEGAL_CONSUMER_GROUP);
    v2::AckMessageRequest ack;
    *ack.mutable_topic() = topic;
    *ack.mutable_group() = group;
    ack.add_entries();
    EXPECT_EQ(Call(&Stub::AckMessage, ack).status().code(), v2::ILLEGAL_TOPIC);
    v2::TelemetryCommand command;
    *command.mutable_settings()->mutable_publishing()->add_topics() = topic;
    auto context = Context();
    auto stream = stub_->Telemetry(context.get());
    stream->Write(command);
    EXPECT_FALSE(stream->Read(&command));
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
  // The header's counts where the resource names none.
  auto context = Context();
  context->AddMetadata("x-mq-namespace", "a/b");
  v2::QueryRouteRequest route;
  route.mutable_topic()->set_name("topic");
  v2::QueryRouteResponse response;
  EXPECT_TRUE(stub_->QueryRoute(context.get(), route, &response).ok());
  EXPECT_EQ(response.status().code(), v2::ILLEGAL_TOPIC);
}

TEST_F(MessagingServiceTest, OnlySendsMayBeLarge) {
  using Stub = v2::MessagingService::Stub;
  const std::string large(1u << 20, 'x');
  const auto refused = v2::PAYLOAD_TOO_LARGE;
  v2::QueryRouteRequest route;
  route.mutable_topic()->set_name(large);
  EXPECT_EQ(Call(&Stub::QueryRoute, route).status().code(), refused);
  v2::HeartbeatRequest heartbeat;
  heartbeat.mutable_group()->set_name(large);
  const v2::Status status = Call(&Stub::Heartbeat, heartbeat).status();
  EXPECT_EQ(status.code(), refused);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("at most 1048576"));
  v2::QueryAssignmentRequest assignment;
  assignment.mutable_topic()->set_name(large);
  EXPECT_EQ(Call(&Stub::QueryAssignment, assignment).status().code(), refused);
  EXPECT_EQ(Ack("topic", "group", {large}).status().code(), refused);
  EXPECT_EQ(ChangeInvisible("topic", "group", large, 10).status().code(), refused);
  v2::ForwardMessageToDeadLetterQueueRequest forward;
  forward.set_receipt_handle(large);
  EXPECT_EQ(Call(&Stub::ForwardMessageToDeadLetterQueue, forward).status().code(), refused);
  v2::UpdateOffsetRequest update;
  update.mutable_group()->set_name(large);
  EXPECT_EQ(Call(&Stub::UpdateOffset, update).status().code(), refused);
  v2::EndTransactionRequest transaction;
  transaction.set_message_id(large);
  EXPECT_EQ(Call(&Stub::EndTransaction, transaction).status().code(), refused);
  EXPECT_EQ(Receive(ReceiveRequest("topic", large)).status.code(), refused);
  v2::PullMessageRequest pull;
  pull.mutable_group()->set_name(large);
  auto context = Context();
  auto stream = stub_->PullMessage(context.get(), pull);
  v2::PullMessageResponse element;
  ASSERT_TRUE(stream->Read(&element));
  EXPECT_EQ(element.status().code(), refused);
}

TEST_F(MessagingServiceTest, WhatARequestListsIsBounded) {
  Send("topic", "body");
  const auto some = Ack("topic", "group", std::vector<std::string>(1024, "x"));
  EXPECT_EQ(some.status().code(), v2::INVALID_RECEIPT_HANDLE);
  EXPECT_EQ(some.entries_size(), 1024);
  const auto many = Ack("topic", "group", std::vector<std::string>(1025, "x"));
  EXPECT_EQ(many.status().code(), v2::BAD_REQUEST);
  EXPECT_EQ(many.entries_size(), 0);
  v2::QueryRouteRequest route;
  route.mutable_topic()->set_name("topic");
  route.mutable_endpoints()->set_scheme(v2::DOMAIN_NAME);
  auto add = [&](const std::string& host) {
    route.mutable_endpoints()->add_addresses()->set_host(host);
    route.mutable_endpoints()->mutable_addresses()->rbegin()->set_port(8081);
  };
  for (int i = 0; i < 64; ++i) add(std::string(255, 'h'));
  using Stub = v2::MessagingService::Stub;
  EXPECT_EQ(Call(&Stub::QueryRoute, route).status().code(), v2::OK);
  add("h");
  EXPECT_EQ(Call(&Stub::QueryRoute, route).status().code(), v2::ILLEGAL_ACCESS_POINT);
  route.mutable_endpoints()->clear_addresses();
  add(std::string(256, 'h'));
  EXPECT_EQ(Call(&Stub::QueryRoute, route).status().code(), v2::ILLEGAL_ACCESS_POINT);
}

TEST_F(MessagingServiceTest, SettingsAreBounded) {
  auto exchange = [&](const v2::TelemetryCommand& command, v2::TelemetryCommand& answer) {
    auto context = Context();
    auto stream = stub_->Telemetry(context.get());
    stream->Write(command);
    stream->WritesDone();
    while (stream->Read(&answer)) {
    }
    return stream->Finish();
  };
  v2::TelemetryCommand command;
  v2::TelemetryCommand answer;
  v2::Subscription* subscription = command.mutable_settings()->mutable_subscription();
  subscription->mutable_group()->set_name("group");
  for (int i = 0; i < 1024; ++i) {
    subscription->add_subscriptions()->mutable_topic()->set_name("topic");
  }
  EXPECT_TRUE(exchange(command, answer).ok());
  EXPECT_EQ(answer.status().code(), v2::OK);
  subscription->add_subscriptions()->mutable_topic()->set_name("topic");
  grpc::Status status = exchange(command, answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), ::testing::HasSubstr("at most 1024"));
  command.Clear();
  command.mutable_settings()->mutable_user_agent()->set_hostname(std::string(1u << 20, 'x'));
  status = exchange(command, answer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), ::testing::HasSubstr("at most 1048576"));
}

TEST_F(MessagingServiceTest, SettingsThatNobodyReadsDoNotPileUp) {
  v2::TelemetryCommand command;
  command.mutable_settings()->mutable_publishing();
  command.mutable_settings()->mutable_user_agent()->set_hostname(std::string(1'000'000, 'x'));
  auto context = Context("client", std::chrono::seconds(60));
  auto stream = stub_->Telemetry(context.get());
  // Far more than the transport holds.
  int written = 0;
  while (written < 100 && stream->Write(command)) ++written;
  v2::TelemetryCommand answer;
  int read = 0;
  while (stream->Read(&answer)) ++read;
  EXPECT_LT(read, 15);
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(MessagingServiceTest, HeartbeatsRegisterAndRefuse) {
  using Stub = v2::MessagingService::Stub;
  v2::HeartbeatRequest request;
  EXPECT_EQ(Call(&Stub::Heartbeat, request).status().code(), v2::UNRECOGNIZED_CLIENT_TYPE);
  request.set_client_type(v2::PRODUCER);
  EXPECT_EQ(Call(&Stub::Heartbeat, request).status().code(), v2::OK);
  request.set_client_type(v2::SIMPLE_CONSUMER);
  EXPECT_EQ(Call(&Stub::Heartbeat, request).status().code(), v2::ILLEGAL_CONSUMER_GROUP);
  request.mutable_group()->set_name("group");
  EXPECT_EQ(Call(&Stub::Heartbeat, request).status().code(), v2::OK);
  for (v2::ClientType type : {v2::LITE_PUSH_CONSUMER, v2::LITE_SIMPLE_CONSUMER}) {
    request.set_client_type(type);
    EXPECT_EQ(Call(&Stub::Heartbeat, request).status().code(), v2::OK);
  }
  v2::NotifyClientTerminationRequest goodbye;
  EXPECT_EQ(Call(&Stub::NotifyClientTermination, goodbye).status().code(), v2::OK);
  EXPECT_EQ(Call(&Stub::NotifyClientTermination, goodbye, "stranger").status().code(), v2::OK);
  goodbye.mutable_group()->set_name("");
  EXPECT_EQ(Call(&Stub::NotifyClientTermination, goodbye).status().code(), v2::OK);
  goodbye.mutable_group()->set_name("bad group!");
  EXPECT_EQ(Call(&Stub::NotifyClientTermination, goodbye).status().code(),
            v2::ILLEGAL_CONSUMER_GROUP);
}

}  // namespace
}  // namespace dunlin::broker
