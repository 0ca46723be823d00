// The public API against a real store: one test per promise and per row of the check tables.

#include "services/broker/rpc/messaging_service.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/temp_dir.h"
#include "services/broker/broker.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;
using std::chrono::milliseconds;
using std::chrono::seconds;

class MessagingServiceTest : public ::testing::Test {
 protected:
  MessagingServiceTest() {
    config_.set_data_dir(directory_.path());
    config_.mutable_store()->set_segment_size_bytes(8u << 20);
    config_.mutable_broker()->set_auto_create_topics(true);
    config_.mutable_broker()->set_default_topic_queues(2);
    for (uint32_t delay : {1, 5, 10}) config_.mutable_broker()->add_retry_backoff_seconds(delay);
    Start();
  }
  ~MessagingServiceTest() override { StopAll(); }

  void Start() {
    auto broker = Broker::Start(config_, RealFiles(), clock_);
    ASSERT_TRUE(broker.ok()) << broker.status();
    broker_ = *std::move(broker);
    grpc::ServerBuilder builder;
    for (grpc::Service* service : broker_->services()) builder.RegisterService(service);
    builder.SetMaxReceiveMessageSize(64 << 20);
    server_ = builder.BuildAndStart();
    stub_ = v2::MessagingService::NewStub(server_->InProcessChannel({}));
  }

  void StopAll() {
    broker_->Drain();
    server_->Shutdown(std::chrono::system_clock::now() + seconds(1));
    EXPECT_TRUE(broker_->Stop().ok());
    server_.reset();
    broker_.reset();
  }

  static std::unique_ptr<grpc::ClientContext> Context(const std::string& client = "client",
                                                      milliseconds deadline = seconds(10)) {
    auto context = std::make_unique<grpc::ClientContext>();
    if (!client.empty()) context->AddMetadata("x-mq-client-id", client);
    context->set_deadline(std::chrono::system_clock::now() + deadline);
    return context;
  }

  template <typename Request, typename Response>
  Response Call(grpc::Status (v2::MessagingService::Stub::*method)(grpc::ClientContext*,
                                                                   const Request&, Response*),
                const Request& request, const std::string& client = "client") {
    Response response;
    auto context = Context(client);
    const grpc::Status status = (stub_.get()->*method)(context.get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  static v2::Message* AddMessage(v2::SendMessageRequest& request, const std::string& topic,
                                 const std::string& body, const std::string& tag = "") {
    v2::Message* message = request.add_messages();
    message->mutable_topic()->set_name(topic);
    message->set_body(body);
    message->mutable_system_properties()->set_message_id("id-" + body.substr(0, 20));
    message->mutable_system_properties()->set_message_type(v2::NORMAL);
    if (!tag.empty()) message->mutable_system_properties()->set_tag(tag);
    return message;
  }

  v2::SendMessageResponse Send(const std::string& topic, const std::string& body,
                               const std::string& tag = "") {
    v2::SendMessageRequest request;
    AddMessage(request, topic, body, tag);
    return Call(&v2::MessagingService::Stub::SendMessage, request);
  }

  static v2::ReceiveMessageRequest ReceiveRequest(const std::string& topic,
                                                  const std::string& group) {
    v2::ReceiveMessageRequest request;
    request.mutable_group()->set_name(group);
    request.mutable_message_queue()->mutable_topic()->set_name(topic);
    request.mutable_message_queue()->set_id(-1);
    request.mutable_filter_expression()->set_type(v2::TAG);
    request.mutable_filter_expression()->set_expression("*");
    request.set_batch_size(32);
    request.mutable_invisible_duration()->set_seconds(30);
    request.mutable_long_polling_timeout()->set_seconds(0);
    return request;
  }

  struct Received {
    v2::Status status;
    std::vector<v2::Message> messages;
  };
  Received Receive(const v2::ReceiveMessageRequest& request, const std::string& client = "client",
                   milliseconds deadline = seconds(10)) {
    auto context = Context(client, deadline);
    auto stream = stub_->ReceiveMessage(context.get(), request);
    Received received;
    v2::ReceiveMessageResponse element;
    std::vector<int> order;
    while (stream->Read(&element)) {
      order.push_back(element.content_case());
      if (element.has_status()) received.status = element.status();
      if (element.has_message()) received.messages.push_back(element.message());
    }
    EXPECT_TRUE(stream->Finish().ok());
    // One status first, one delivery time last.
    EXPECT_FALSE(order.empty());
    if (!order.empty()) {
      EXPECT_EQ(order.front(), v2::ReceiveMessageResponse::kStatus);
      EXPECT_EQ(order.back(), v2::ReceiveMessageResponse::kDeliveryTimestamp);
    }
    return received;
  }
  Received Receive(const std::string& topic, const std::string& group) {
    return Receive(ReceiveRequest(topic, group));
  }

  v2::AckMessageResponse Ack(const std::string& topic, const std::string& group,
                             const std::vector<std::string>& handles) {
    v2::AckMessageRequest request;
    request.mutable_topic()->set_name(topic);
    request.mutable_group()->set_name(group);
    for (const std::string& handle : handles) {
      v2::AckMessageEntry* entry = request.add_entries();
      entry->set_message_id("some id");
      entry->set_receipt_handle(handle);
    }
    return Call(&v2::MessagingService::Stub::AckMessage, request);
  }

  v2::ChangeInvisibleDurationResponse ChangeInvisible(const std::string& topic,
                                                      const std::string& group,
                                                      const std::string& handle, int64_t seconds) {
    v2::ChangeInvisibleDurationRequest request;
    request.mutable_topic()->set_name(topic);
    request.mutable_group()->set_name(group);
    request.set_receipt_handle(handle);
    request.mutable_invisible_duration()->set_seconds(seconds);
    return Call(&v2::MessagingService::Stub::ChangeInvisibleDuration, request);
  }

  // Messages arrive a moment after their send was acknowledged.
  std::vector<v2::Message> ReceiveSome(const std::string& topic, const std::string& group) {
    v2::ReceiveMessageRequest request = ReceiveRequest(topic, group);
    request.mutable_long_polling_timeout()->set_seconds(5);
    return Receive(request).messages;
  }

  TempDir directory_;
  ManualClock clock_;
  config::v1::DunlinConfig config_;
  std::unique_ptr<Broker> broker_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v2::MessagingService::Stub> stub_;
};

const std::string& Handle(const v2::Message& message) {
  return message.system_properties().receipt_handle();
}

TEST_F(MessagingServiceTest, AMessageArrivesAsItWasSent) {
  v2::SendMessageRequest request;
  v2::Message* sent = AddMessage(request, "topic", "body", "tag");
  sent->set_body(std::string("\x00\xff body", 7));
  sent->mutable_system_properties()->add_keys("first key");
  sent->mutable_system_properties()->add_keys("second key");
  (*sent->mutable_user_properties())["größe"] = "日本語";
  const auto response = Call(&v2::MessagingService::Stub::SendMessage, request);
  ASSERT_EQ(response.status().code(), v2::OK) << response.status().message();
  ASSERT_EQ(response.entries_size(), 1);
  EXPECT_EQ(response.entries(0).message_id(), sent->system_properties().message_id());
  const auto messages = ReceiveSome("topic", "group");
  ASSERT_EQ(messages.size(), 1u);
  const v2::Message& message = messages[0];
  EXPECT_EQ(message.body(), sent->body());
  EXPECT_EQ(message.topic().name(), "topic");
  EXPECT_EQ(message.user_properties().at("größe"), "日本語");
  const v2::SystemProperties& properties = message.system_properties();
  EXPECT_EQ(properties.tag(), "tag");
  EXPECT_THAT(properties.keys(), ::testing::ElementsAre("first key", "second key"));
  EXPECT_EQ(properties.delivery_attempt(), 1);
  EXPECT_EQ(properties.body_encoding(), v2::IDENTITY);
  EXPECT_EQ(properties.message_type(), v2::NORMAL);
  EXPECT_EQ(properties.body_digest().type(), v2::MD5);
  EXPECT_TRUE(properties.has_store_timestamp());
  EXPECT_TRUE(properties.has_queue_offset());
}

TEST_F(MessagingServiceTest, ABatchIsStoredWholeWithOneEntryPerMessage) {
  v2::SendMessageRequest request;
  for (int i = 0; i < 10; ++i) AddMessage(request, "topic", std::to_string(i));
  const auto response = Call(&v2::MessagingService::Stub::SendMessage, request);
  EXPECT_EQ(response.status().code(), v2::OK);
  ASSERT_EQ(response.entries_size(), 10);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(response.entries(i).status().code(), v2::OK);
  std::vector<std::string> bodies;
  for (const auto& message : ReceiveSome("topic", "group")) bodies.push_back(message.body());
  for (const auto& message : Receive("topic", "group").messages) bodies.push_back(message.body());
  EXPECT_EQ(bodies.size(), 10u);
}

TEST_F(MessagingServiceTest, AcknowledgedMessagesDoNotComeAgain) {
  Send("topic", "body");
  const auto messages = ReceiveSome("topic", "group");
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(Ack("topic", "group", {Handle(messages[0])}).status().code(), v2::OK);
  // Again: the SDKs repeat acks they did not hear about.
  EXPECT_EQ(Ack("topic", "group", {Handle(messages[0])}).status().code(), v2::OK);
  clock_.Advance(seconds(60));
  EXPECT_EQ(Receive("topic", "group").status.code(), v2::MESSAGE_NOT_FOUND);
  // Another group gets its own copy.
  EXPECT_EQ(ReceiveSome("topic", "other").size(), 1u);
}

TEST_F(MessagingServiceTest, AMessageComesAgainWhenItsLeaseEnds) {
  Send("topic", "body");
  const auto first = ReceiveSome("topic", "group");
  ASSERT_EQ(first.size(), 1u);
  EXPECT_TRUE(Receive("topic", "group").messages.empty());
  clock_.Advance(seconds(31));
  EXPECT_EQ(Ack("topic", "group", {Handle(first[0])}).entries(0).status().code(),
            v2::INVALID_RECEIPT_HANDLE);
  const auto second = Receive("topic", "group").messages;
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].system_properties().delivery_attempt(), 2);
  EXPECT_EQ(Ack("topic", "group", {Handle(second[0])}).status().code(), v2::OK);
}

TEST_F(MessagingServiceTest, ChangingTheInvisibleDurationReplacesTheHandle) {
  Send("topic", "body");
  const auto messages = ReceiveSome("topic", "group");
  ASSERT_EQ(messages.size(), 1u);
  const auto changed = ChangeInvisible("topic", "group", Handle(messages[0]), 100);
  ASSERT_EQ(changed.status().code(), v2::OK);
  EXPECT_FALSE(changed.receipt_handle().empty());
  EXPECT_EQ(ChangeInvisible("topic", "group", Handle(messages[0]), 100).status().code(),
            v2::INVALID_RECEIPT_HANDLE);
  clock_.Advance(seconds(60));
  EXPECT_TRUE(Receive("topic", "group").messages.empty());
  EXPECT_EQ(ChangeInvisible("topic", "group", changed.receipt_handle(), 0).status().code(), v2::OK);
  EXPECT_EQ(Receive("topic", "group").messages.size(), 1u);
}

TEST_F(MessagingServiceTest, TagsSelectExactlyAlsoWhenHashesCollide) {
  Send("topic", "1", "a");
  Send("topic", "2", "b");
  Send("topic", "3", "c");
  Send("topic", "4");
  v2::ReceiveMessageRequest request = ReceiveRequest("topic", "group");
  request.mutable_filter_expression()->set_expression("a || c");
  request.mutable_long_polling_timeout()->set_seconds(5);
  std::vector<std::string> tags;
  while (tags.size() < 2) {
    const auto messages = Receive(request).messages;
    ASSERT_FALSE(messages.empty());
    for (const auto& message : messages) tags.push_back(message.system_properties().tag());
  }
  EXPECT_THAT(tags, ::testing::UnorderedElementsAre("a", "c"));
}

TEST_F(MessagingServiceTest, DeadLettersKeepTheirOrigin) {
  config_.mutable_broker()->set_default_max_attempts(2);
  Send("topic", "poison");
  for (int attempt = 1; attempt <= 2; ++attempt) {
    const auto messages = ReceiveSome("topic", "group");
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0].system_properties().delivery_attempt(), attempt);
    clock_.Advance(seconds(31));
  }
  EXPECT_TRUE(Receive("topic", "group").messages.empty());
  std::vector<v2::Message> dead;
  for (int tries = 0; tries < 50 && dead.empty(); ++tries) {
    dead = Receive("%DLQ%group", "undertaker").messages;
    if (dead.empty()) std::this_thread::yield();
  }
  for (int tries = 0; tries < 3 && dead.empty(); ++tries)
    dead = ReceiveSome("%DLQ%group", "undertaker");
  ASSERT_EQ(dead.size(), 1u);
  EXPECT_EQ(dead[0].body(), "poison");
  EXPECT_EQ(dead[0].topic().name(), "%DLQ%group");
  EXPECT_EQ(dead[0].system_properties().dead_letter_queue().topic(), "topic");
  EXPECT_EQ(dead[0].system_properties().dead_letter_queue().message_id(), "id-poison");
}

TEST_F(MessagingServiceTest, ForwardedMessagesAreDeadLettersAtOnce) {
  Send("topic", "poison");
  const auto messages = ReceiveSome("topic", "group");
  ASSERT_EQ(messages.size(), 1u);
  v2::ForwardMessageToDeadLetterQueueRequest request;
  request.mutable_topic()->set_name("topic");
  request.mutable_group()->set_name("group");
  request.set_receipt_handle(Handle(messages[0]));
  request.set_message_id("id-poison");
  EXPECT_EQ(
      Call(&v2::MessagingService::Stub::ForwardMessageToDeadLetterQueue, request).status().code(),
      v2::OK);
  EXPECT_EQ(ReceiveSome("%DLQ%group", "undertaker").size(), 1u);
  clock_.Advance(seconds(60));
  EXPECT_TRUE(Receive("topic", "group").messages.empty());
  EXPECT_EQ(
      Call(&v2::MessagingService::Stub::ForwardMessageToDeadLetterQueue, request).status().code(),
      v2::INVALID_RECEIPT_HANDLE);
}

TEST_F(MessagingServiceTest, EverythingIsThereAfterARestart) {
  Send("topic", "acked");
  const auto acked = ReceiveSome("topic", "group");
  ASSERT_EQ(acked.size(), 1u);
  EXPECT_EQ(Ack("topic", "group", {Handle(acked[0])}).status().code(), v2::OK);
  Send("topic", "leased");
  const auto leased = ReceiveSome("topic", "group");
  ASSERT_EQ(leased.size(), 1u);
  Send("topic", "new");
  StopAll();
  Start();
  const auto messages = ReceiveSome("topic", "group");
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].body(), "new");
  // The lease outlived the restart.
  EXPECT_EQ(Ack("topic", "group", {Handle(leased[0])}).status().code(), v2::OK);
}

TEST_F(MessagingServiceTest, ALongPollIsServedWhenAMessageComes) {
  Send("topic", "makes the topic");
  ASSERT_EQ(ReceiveSome("topic", "group").size(), 1u);
  v2::ReceiveMessageRequest request = ReceiveRequest("topic", "group");
  request.mutable_long_polling_timeout()->set_seconds(20);
  std::thread sender([this] { Send("topic", "late"); });
  const auto messages = Receive(request, "client", seconds(30)).messages;
  sender.join();
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].body(), "late");
}

TEST_F(MessagingServiceTest, PullReadsAQueueFromAnOffsetOn) {
  config_.mutable_broker()->set_default_topic_queues(1);
  for (int i = 0; i < 5; ++i) Send("topic1", std::to_string(i));
  v2::PullMessageRequest request;
  request.mutable_group()->set_name("group");
  request.mutable_message_queue()->mutable_topic()->set_name("topic1");
  request.set_offset(3);
  request.set_batch_size(10);
  request.mutable_long_polling_timeout()->set_seconds(5);
  auto pull = [&](std::vector<std::string>& bodies, int64_t& next) {
    auto context = Context();
    auto stream = stub_->PullMessage(context.get(), request);
    v2::PullMessageResponse element;
    v2::Status status;
    while (stream->Read(&element)) {
      if (element.has_status()) status = element.status();
      if (element.has_message()) bodies.push_back(element.message().body());
      if (element.content_case() == v2::PullMessageResponse::kNextOffset) {
        next = element.next_offset();
      }
    }
    EXPECT_TRUE(stream->Finish().ok());
    return status.code();
  };
  std::vector<std::string> bodies;
  int64_t next = 3;
  while (bodies.size() < 2) {
    request.set_offset(next);
    ASSERT_EQ(pull(bodies, next), v2::OK);
  }
  EXPECT_EQ(bodies, (std::vector<std::string>{"3", "4"}));
  EXPECT_EQ(next, 5);
  request.set_offset(5);
  request.mutable_long_polling_timeout()->set_seconds(0);
  EXPECT_EQ(pull(bodies, next), v2::MESSAGE_NOT_FOUND);
  request.set_offset(6);
  EXPECT_EQ(pull(bodies, next), v2::ILLEGAL_OFFSET);
  request.set_offset(-1);
  EXPECT_EQ(pull(bodies, next), v2::ILLEGAL_OFFSET);
}

TEST_F(MessagingServiceTest, OffsetsCanBeAskedForAndSet) {
  config_.mutable_broker()->set_default_topic_queues(1);
  for (int i = 0; i < 3; ++i) Send("topic1", std::to_string(i));
  ASSERT_FALSE(ReceiveSome("topic1", "reader").empty());
  v2::QueryOffsetRequest query;
  query.mutable_message_queue()->mutable_topic()->set_name("topic1");
  query.set_query_offset_policy(v2::END);
  EXPECT_EQ(Call(&v2::MessagingService::Stub::QueryOffset, query).offset(), 3);
  query.set_query_offset_policy(v2::BEGINNING);
  EXPECT_EQ(Call(&v2::MessagingService::Stub::QueryOffset, query).offset(), 0);
  query.set_query_offset_policy(v2::TIMESTAMP);
  EXPECT_EQ(Call(&v2::MessagingService::Stub::QueryOffset, query).status().code(), v2::BAD_REQUEST);
  query.mutable_timestamp()->set_seconds(ToUnixMillis(clock_.Now()) / 1000 + 10);
  EXPECT_EQ(Call(&v2::MessagingService::Stub::QueryOffset, query).offset(), 3);

  v2::GetOffsetRequest get;
  get.mutable_group()->set_name("group");
  get.mutable_message_queue()->mutable_topic()->set_name("topic1");
  EXPECT_EQ(Call(&v2::MessagingService::Stub::GetOffset, get).status().code(),
            v2::CONSUMER_GROUP_NOT_FOUND);
  v2::UpdateOffsetRequest update;
  update.mutable_group()->set_name("group");
  update.mutable_message_queue()->mutable_topic()->set_name("topic1");
  update.set_offset(4);
  EXPECT_EQ(Call(&v2::MessagingService::Stub::UpdateOffset, update).status().code(),
            v2::ILLEGAL_OFFSET);
  update.set_offset(2);
  EXPECT_EQ(Call(&v2::MessagingService::Stub::UpdateOffset, update).status().code(), v2::OK);
  EXPECT_EQ(Call(&v2::MessagingService::Stub::GetOffset, get).offset(), 2);
  const auto messages = ReceiveSome("topic1", "group");
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].body(), "2");
  get.mutable_group()->set_name("reader");
  get.mutable_message_queue()->set_id(7);
  EXPECT_EQ(Call(&v2::MessagingService::Stub::GetOffset, get).status().code(), v2::BAD_REQUEST);
}

TEST_F(MessagingServiceTest, RoutesNameWhatTheClientUsed) {
  v2::QueryRouteRequest request;
  request.mutable_topic()->set_name("topic");
  request.mutable_topic()->set_resource_namespace("tenant");
  request.mutable_endpoints()->set_scheme(v2::DOMAIN_NAME);
  request.mutable_endpoints()->add_addresses()->set_host("behind.nat");
  request.mutable_endpoints()->mutable_addresses(0)->set_port(30'081);
  const auto response = Call(&v2::MessagingService::Stub::QueryRoute, request);
  ASSERT_EQ(response.status().code(), v2::OK);
  ASSERT_EQ(response.message_queues_size(), 2);
  for (int i = 0; i < 2; ++i) {
    const v2::MessageQueue& queue = response.message_queues(i);
    EXPECT_EQ(queue.id(), i);
    EXPECT_EQ(queue.permission(), v2::READ_WRITE);
    EXPECT_EQ(queue.topic().resource_namespace(), "tenant");
    EXPECT_EQ(queue.broker().id(), 0);
    EXPECT_EQ(queue.broker().endpoints().addresses(0).port(), 30'081);
    EXPECT_THAT(queue.accept_message_types(), ::testing::ElementsAre(v2::NORMAL));
  }
  v2::QueryAssignmentRequest assignment;
  *assignment.mutable_topic() = request.topic();
  assignment.mutable_group()->set_name("group");
  const auto assigned = Call(&v2::MessagingService::Stub::QueryAssignment, assignment);
  ASSERT_EQ(assigned.assignments_size(), 1);
  EXPECT_EQ(assigned.assignments(0).message_queue().id(), -1);
  EXPECT_GT(assigned.assignments(0).message_queue().broker().endpoints().addresses_size(), 0);
}

TEST_F(MessagingServiceTest, SettingsComeBackMergedAndWithAnOk) {
  auto context = Context();
  auto stream = stub_->Telemetry(context.get());
  v2::TelemetryCommand command;
  v2::Settings* settings = command.mutable_settings();
  settings->set_client_type(v2::PUSH_CONSUMER);
  settings->mutable_subscription()->mutable_group()->set_name("group");
  ASSERT_TRUE(stream->Write(command));
  v2::TelemetryCommand answer;
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_EQ(answer.status().code(), v2::OK);
  EXPECT_EQ(answer.settings().client_type(), v2::PUSH_CONSUMER);
  EXPECT_EQ(answer.settings().backoff_policy().max_attempts(), 17);
  EXPECT_EQ(answer.settings().backoff_policy().customized_backoff().next_size(), 3);
  EXPECT_EQ(answer.settings().subscription().receive_batch_size(), 32);
  settings->mutable_publishing()->add_topics()->set_name("topic");
  settings->set_client_type(v2::PRODUCER);
  ASSERT_TRUE(stream->Write(command));
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_GT(answer.settings().publishing().max_body_size(), 0);
  EXPECT_TRUE(answer.settings().backoff_policy().has_exponential_backoff());
  settings->clear_publishing();
  ASSERT_TRUE(stream->Write(command));
  EXPECT_FALSE(stream->Read(&answer));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(MessagingServiceTest, TelemetryWithoutAClientIdSaysSo) {
  auto context = Context("");
  auto stream = stub_->Telemetry(context.get());
  v2::TelemetryCommand answer;
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_EQ(answer.status().code(), v2::CLIENT_ID_REQUIRED);
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(MessagingServiceTest, TelemetryRefusesClientPropertiesBeyondTheLimits) {
  auto context = Context();
  auto stream = stub_->Telemetry(context.get());
  v2::TelemetryCommand command;
  command.mutable_settings()->mutable_publishing();
  (*command.mutable_settings()->mutable_client_properties())["rocketmq.reserved"] = "x";
  ASSERT_TRUE(stream->Write(command));
  v2::TelemetryCommand answer;
  ASSERT_TRUE(stream->Read(&answer));
  EXPECT_EQ(answer.status().code(), v2::INVALID_CLIENT_PROPERTIES);
  context->TryCancel();
}

TEST_F(MessagingServiceTest, AutoRenewedLeasesEndSoonAfterTheClientSaysGoodbye) {
  Send("topic", "body");
  v2::ReceiveMessageRequest request = ReceiveRequest("topic", "group");
  request.clear_invisible_duration();
  request.set_auto_renew(true);
  request.mutable_long_polling_timeout()->set_seconds(5);
  ASSERT_EQ(Receive(request, "leaver").messages.size(), 1u);
  clock_.Advance(seconds(2));
  EXPECT_TRUE(Receive("topic", "group").messages.empty());
  v2::NotifyClientTerminationRequest goodbye;
  goodbye.mutable_group()->set_name("group");
  EXPECT_EQ(
      Call(&v2::MessagingService::Stub::NotifyClientTermination, goodbye, "leaver").status().code(),
      v2::OK);
  clock_.Advance(seconds(2));
  EXPECT_EQ(Receive("topic", "group").messages.size(), 1u);
}

// --- The check tables -----------------------------------------------------------------------

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
  using Stub = v2::MessagingService::Stub;
  EXPECT_EQ(Call(&Stub::EndTransaction, v2::EndTransactionRequest()).status().code(),
            v2::NOT_IMPLEMENTED);
  EXPECT_EQ(Call(&Stub::RecallMessage, v2::RecallMessageRequest()).status().code(),
            v2::NOT_IMPLEMENTED);
  EXPECT_EQ(Call(&Stub::SyncLiteSubscription, v2::SyncLiteSubscriptionRequest()).status().code(),
            v2::NOT_IMPLEMENTED);
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
  request.mutable_filter_expression()->set_type(v2::SQL);
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
  EXPECT_EQ(ChangeInvisible("topic", "group", "rubbish", 10).status().code(), invalid);
  EXPECT_EQ(ChangeInvisible("topic", "group", "rubbish", -1).status().code(),
            v2::ILLEGAL_INVISIBLE_TIME);
  EXPECT_EQ(ChangeInvisible("topic", "group", "rubbish", 12 * 3600 + 1).status().code(),
            v2::ILLEGAL_INVISIBLE_TIME);
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
  v2::NotifyClientTerminationRequest goodbye;
  goodbye.mutable_group()->set_name("");
  EXPECT_EQ(Call(&Stub::NotifyClientTermination, goodbye).status().code(), v2::OK);
  goodbye.mutable_group()->set_name("bad group!");
  EXPECT_EQ(Call(&Stub::NotifyClientTermination, goodbye).status().code(),
            v2::ILLEGAL_CONSUMER_GROUP);
}

}  // namespace
}  // namespace dunlin::broker
