// The admin API against a real store: every call, what it refuses, what survives a restart.

#include "services/broker/rpc/admin_service.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/temp_dir.h"
#include "services/broker/broker.h"

namespace dunlin::broker {
namespace {

namespace v1 = admin::v1;
namespace v2 = apache::rocketmq::v2;
using grpc::StatusCode;
using std::chrono::seconds;
using Stub = v1::AdminService::Stub;

class AdminServiceTest : public ::testing::Test {
 protected:
  AdminServiceTest() {
    config_.set_data_dir(directory_.path());
    config_.mutable_store()->set_segment_size_bytes(8u << 20);
    for (uint32_t delay : {1, 5, 10}) config_.mutable_broker()->add_retry_backoff_seconds(delay);
    Start();
  }
  ~AdminServiceTest() override { StopAll(); }

  void Start() {
    auto broker = Broker::Start(config_, RealFiles(), clock_);
    ASSERT_TRUE(broker.ok()) << broker.status();
    broker_ = *std::move(broker);
    grpc::ServerBuilder builder;
    for (grpc::Service* service : broker_->services()) builder.RegisterService(service);
    server_ = builder.BuildAndStart();
    stub_ = v1::AdminService::NewStub(server_->InProcessChannel({}));
    messaging_ = v2::MessagingService::NewStub(server_->InProcessChannel({}));
  }

  void StopAll() {
    broker_->Drain();
    server_->Shutdown(std::chrono::system_clock::now() + seconds(1));
    EXPECT_TRUE(broker_->Stop().ok());
    server_.reset();
    broker_.reset();
  }

  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    context->AddMetadata("x-mq-client-id", "client");
    context->set_deadline(std::chrono::system_clock::now() + seconds(20));
    return context;
  }

  // The answer to a call that must succeed.
  template <typename Request, typename Response>
  Response Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                const Request& request) {
    Response response;
    const auto context = Context();
    const grpc::Status status = (stub_.get()->*method)(context.get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  // The status of a call that must fail; `part` stands in its message.
  template <typename Request, typename Response>
  StatusCode Refusal(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                     const Request& request, const std::string& part) {
    Response response;
    const auto context = Context();
    const grpc::Status status = (stub_.get()->*method)(context.get(), request, &response);
    EXPECT_THAT(status.error_message(), ::testing::HasSubstr(part));
    return status.error_code();
  }

  static v1::CreateTopicRequest NewTopic(const std::string& name, uint32_t queues = 2) {
    v1::CreateTopicRequest request;
    request.mutable_topic()->set_name(name);
    request.mutable_topic()->set_queues(queues);
    return request;
  }
  static v1::GetTopicRequest TopicNamed(const std::string& name) {
    v1::GetTopicRequest request;
    request.set_name(name);
    return request;
  }
  static v1::GetGroupRequest GroupNamed(const std::string& name) {
    v1::GetGroupRequest request;
    request.set_name(name);
    return request;
  }
  void DeleteTopic(const std::string& name) {
    v1::DeleteTopicRequest request;
    request.set_name(name);
    Call(&Stub::DeleteTopic, request);
  }
  void DeleteGroup(const std::string& name) {
    v1::DeleteGroupRequest request;
    request.set_name(name);
    Call(&Stub::DeleteGroup, request);
  }

  // Asks until `holds`: what a client did shows a moment later.
  static void Eventually(const std::function<bool()>& holds) {
    const auto deadline = std::chrono::steady_clock::now() + seconds(20);
    while (!holds()) ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "it never came true";
  }
  void AwaitIndex() {
    Eventually([this] {
      const v1::Broker broker = Call(&Stub::GetBroker, v1::GetBrokerRequest());
      return broker.dispatched() == broker.appended();
    });
  }

  void Send(const std::string& topic, const std::string& body, const std::string& key = "") {
    v2::SendMessageRequest request;
    v2::Message& message = *request.add_messages();
    message.mutable_topic()->set_name(topic);
    message.set_body(body);
    message.mutable_system_properties()->set_message_id("id-" + body);
    message.mutable_system_properties()->set_message_type(v2::NORMAL);
    if (!key.empty()) message.mutable_system_properties()->add_keys(key);
    v2::SendMessageResponse response;
    const auto context = Context();
    ASSERT_TRUE(messaging_->SendMessage(context.get(), request, &response).ok());
    ASSERT_EQ(response.status().code(), v2::OK) << response.status().message();
  }

  std::vector<v2::Message> Receive(const std::string& topic, const std::string& group) {
    v2::ReceiveMessageRequest request;
    request.mutable_group()->set_name(group);
    request.mutable_message_queue()->mutable_topic()->set_name(topic);
    request.mutable_message_queue()->set_id(-1);
    request.mutable_filter_expression()->set_type(v2::TAG);
    request.mutable_filter_expression()->set_expression("*");
    request.set_batch_size(32);
    request.mutable_invisible_duration()->set_seconds(30);
    request.mutable_long_polling_timeout()->set_seconds(0);
    const auto context = Context();
    const auto stream = messaging_->ReceiveMessage(context.get(), request);
    std::vector<v2::Message> messages;
    v2::ReceiveMessageResponse element;
    while (stream->Read(&element)) {
      if (element.has_message()) messages.push_back(element.message());
    }
    EXPECT_TRUE(stream->Finish().ok());
    return messages;
  }

  void Ack(const v2::Message& message, const std::string& group) {
    v2::AckMessageRequest request;
    *request.mutable_topic() = message.topic();
    request.mutable_group()->set_name(group);
    v2::AckMessageEntry& entry = *request.add_entries();
    entry.set_message_id(message.system_properties().message_id());
    entry.set_receipt_handle(message.system_properties().receipt_handle());
    v2::AckMessageResponse response;
    const auto context = Context();
    ASSERT_TRUE(messaging_->AckMessage(context.get(), request, &response).ok());
    ASSERT_EQ(response.status().code(), v2::OK) << response.status().message();
  }

  TempDir directory_;
  ManualClock clock_;
  config::v1::DunlinConfig config_;
  std::unique_ptr<Broker> broker_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Stub> stub_;
  std::unique_ptr<v2::MessagingService::Stub> messaging_;
};

TEST_F(AdminServiceTest, ATopicIsMadeWithDefaults) {
  v1::CreateTopicRequest request;
  request.mutable_topic()->set_name("topic");
  const v1::Topic topic = Call(&Stub::CreateTopic, request);
  EXPECT_EQ(topic.name(), "topic");
  EXPECT_EQ(topic.queues(), config_.broker().default_topic_queues());
  EXPECT_THAT(topic.kinds(), ::testing::ElementsAre(v1::NORMAL));
  EXPECT_EQ(topic.permission(), v1::READ_WRITE);
  EXPECT_EQ(topic.create_time().seconds(), ToUnixMillis(clock_.Now()) / 1000);
  EXPECT_EQ(Refusal(&Stub::CreateTopic, request, "exists already"), StatusCode::ALREADY_EXISTS);
}

TEST_F(AdminServiceTest, AWrongTopicIsRefusedWithTheReason) {
  EXPECT_EQ(Refusal(&Stub::CreateTopic, NewTopic("a b"), "not allowed"),
            StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Refusal(&Stub::CreateTopic, NewTopic(std::string(128, 'a')), "at most 127"),
            StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Refusal(&Stub::CreateTopic, NewTopic("many", 65'536), "65535"),
            StatusCode::INVALID_ARGUMENT);
  v1::CreateTopicRequest request = NewTopic("topic");
  request.mutable_topic()->add_kinds(static_cast<v1::MessageKind>(99));
  EXPECT_EQ(Refusal(&Stub::CreateTopic, request, "99"), StatusCode::INVALID_ARGUMENT);
  request = NewTopic("topic");
  request.mutable_topic()->set_permission(static_cast<v1::Permission>(7));
  EXPECT_EQ(Refusal(&Stub::CreateTopic, request, "7"), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Refusal(&Stub::GetTopic, TopicNamed("topic"), "no topic topic"), StatusCode::NOT_FOUND);
}

TEST_F(AdminServiceTest, AWrongNamespaceIsRefused) {
  v1::CreateTopicRequest topic = NewTopic("topic");
  topic.mutable_topic()->set_namespace_("a/b");
  EXPECT_EQ(Refusal(&Stub::CreateTopic, topic, "namespace"), StatusCode::INVALID_ARGUMENT);
  v1::CreateGroupRequest group;
  group.mutable_group()->set_name("group");
  group.mutable_group()->set_namespace_(std::string(128, 'n'));
  EXPECT_EQ(Refusal(&Stub::CreateGroup, group, "128 bytes"), StatusCode::INVALID_ARGUMENT);
  topic.mutable_topic()->set_namespace_("tenant-1");
  EXPECT_EQ(Call(&Stub::CreateTopic, topic).namespace_(), "tenant-1");
}

TEST_F(AdminServiceTest, ALargeRequestIsRefused) {
  v1::CreateTopicRequest topic = NewTopic("topic");
  topic.mutable_topic()->set_description(std::string(1u << 20, 'x'));
  EXPECT_EQ(Refusal(&Stub::CreateTopic, topic, "at most 1048576"), StatusCode::INVALID_ARGUMENT);
}

TEST_F(AdminServiceTest, AnUpdateKeepsWhatItDoesNotName) {
  v1::CreateTopicRequest create = NewTopic("topic", 4);
  create.mutable_topic()->set_description("what it is for");
  Call(&Stub::CreateTopic, create);
  v1::UpdateTopicRequest update;
  update.mutable_topic()->set_name("topic");
  update.mutable_topic()->set_permission(v1::READ);
  v1::Topic updated = Call(&Stub::UpdateTopic, update);
  EXPECT_EQ(updated.queues(), 4u);
  EXPECT_EQ(updated.description(), "what it is for");
  EXPECT_EQ(updated.permission(), v1::READ);
  update.mutable_topic()->set_queues(6);
  EXPECT_EQ(Call(&Stub::UpdateTopic, update).queues(), 6u);
  update.mutable_topic()->set_queues(5);
  updated = Call(&Stub::UpdateTopic, update);
  EXPECT_EQ(updated.queues(), 5u);
  EXPECT_EQ(updated.read_queues(), 6u);
  update.mutable_topic()->set_description("");
  EXPECT_EQ(Call(&Stub::UpdateTopic, update).description(), "");
  update.mutable_topic()->set_name("other");
  EXPECT_EQ(Refusal(&Stub::UpdateTopic, update, "no topic other"), StatusCode::NOT_FOUND);
}

TEST_F(AdminServiceTest, TopicsAreListedInPages) {
  for (const char* name : {"c", "a", "e", "b", "d"}) Call(&Stub::CreateTopic, NewTopic(name));
  v1::ListTopicsRequest request;
  request.set_page_size(2);
  std::string names;
  int pages = 0;
  do {
    const v1::ListTopicsResponse page = Call(&Stub::ListTopics, request);
    EXPECT_LE(page.topics_size(), 2);
    for (const v1::Topic& topic : page.topics()) names += topic.name();
    request.set_page_token(page.next_page_token());
    ASSERT_LE(++pages, 3);
  } while (!request.page_token().empty());
  EXPECT_EQ(names, "abcde");
  EXPECT_EQ(pages, 3);
  request.set_page_size(1001);
  EXPECT_EQ(Refusal(&Stub::ListTopics, request, "1001"), StatusCode::INVALID_ARGUMENT);
}

TEST_F(AdminServiceTest, ATopicShowsTheOffsetsOfItsQueues) {
  Call(&Stub::CreateTopic, NewTopic("topic", 2));
  for (int i = 0; i < 4; ++i) Send("topic", std::to_string(i));
  AwaitIndex();
  const v1::GetTopicResponse response = Call(&Stub::GetTopic, TopicNamed("topic"));
  ASSERT_EQ(response.queues_size(), 2);
  int64_t messages = 0;
  for (const v1::QueueStatus& queue : response.queues()) {
    EXPECT_EQ(queue.min_offset(), 0);
    EXPECT_EQ(queue.has_last_store_time(), queue.max_offset() > 0);
    messages += queue.max_offset();
  }
  EXPECT_EQ(messages, 4);
}

TEST_F(AdminServiceTest, ADeletedTopicStartsAnew) {
  Call(&Stub::CreateTopic, NewTopic("topic", 1));
  v1::CreateGroupRequest group;
  group.mutable_group()->set_name("group");
  Call(&Stub::CreateGroup, group);
  Send("topic", "old");
  AwaitIndex();
  ASSERT_EQ(Receive("topic", "group").size(), 1u);
  DeleteTopic("topic");
  EXPECT_EQ(Refusal(&Stub::GetTopic, TopicNamed("topic"), "no topic"), StatusCode::NOT_FOUND);
  Call(&Stub::CreateTopic, NewTopic("topic", 1));
  EXPECT_EQ(Call(&Stub::GetTopic, TopicNamed("topic")).queues(0).max_offset(), 0);
  Send("topic", "new");
  AwaitIndex();
  const std::vector<v2::Message> messages = Receive("topic", "group");
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].body(), "new");
}

TEST_F(AdminServiceTest, AGroupIsMadeChangedAndListed) {
  v1::CreateGroupRequest create;
  create.mutable_group()->set_name("group");
  const v1::Group group = Call(&Stub::CreateGroup, create);
  EXPECT_EQ(group.max_attempts(), config_.broker().default_max_attempts());
  EXPECT_THAT(group.retry_delays_ms(), ::testing::ElementsAre(1000, 5000, 10'000));
  EXPECT_EQ(Refusal(&Stub::CreateGroup, create, "exists already"), StatusCode::ALREADY_EXISTS);

  v1::UpdateGroupRequest update;
  update.mutable_group()->set_name("group");
  update.mutable_group()->set_max_attempts(3);
  update.mutable_group()->set_description("what it is for");
  v1::Group updated = Call(&Stub::UpdateGroup, update);
  EXPECT_EQ(updated.max_attempts(), 3u);
  update.mutable_group()->clear_description();
  EXPECT_EQ(Call(&Stub::UpdateGroup, update).description(), "what it is for");
  update.mutable_group()->set_description("");
  EXPECT_EQ(Call(&Stub::UpdateGroup, update).description(), "");
  EXPECT_EQ(updated.retry_delays_ms_size(), 3);
  v1::ExponentialBackoff& backoff = *update.mutable_group()->mutable_exponential();
  backoff.set_initial_ms(100);
  backoff.set_max_ms(60'000);
  backoff.set_multiplier(2);
  updated = Call(&Stub::UpdateGroup, update);
  EXPECT_EQ(updated.retry_delays_ms_size(), 0);
  EXPECT_EQ(updated.exponential().max_ms(), 60'000);
  backoff.set_max_ms(99);
  EXPECT_EQ(Refusal(&Stub::UpdateGroup, update, "99"), StatusCode::INVALID_ARGUMENT);

  const v1::ListGroupsResponse list = Call(&Stub::ListGroups, v1::ListGroupsRequest());
  ASSERT_EQ(list.groups_size(), 1);
  EXPECT_EQ(list.groups(0).name(), "group");
  create.mutable_group()->set_name(std::string(121, 'g'));
  EXPECT_EQ(Refusal(&Stub::CreateGroup, create, "at most 120"), StatusCode::INVALID_ARGUMENT);
  DeleteGroup("group");
  EXPECT_EQ(Refusal(&Stub::GetGroup, GroupNamed("group"), "no consumer group group"),
            StatusCode::NOT_FOUND);
}

TEST_F(AdminServiceTest, AGroupShowsHowFarItIs) {
  Call(&Stub::CreateTopic, NewTopic("topic", 1));
  v1::CreateGroupRequest create;
  create.mutable_group()->set_name("group");
  Call(&Stub::CreateGroup, create);
  for (int i = 0; i < 3; ++i) Send("topic", std::to_string(i));
  AwaitIndex();
  const std::vector<v2::Message> messages = Receive("topic", "group");
  ASSERT_EQ(messages.size(), 3u);
  Ack(messages[0], "group");
  Send("topic", "3");
  AwaitIndex();
  v1::GetGroupResponse response;
  Eventually([&] {
    response = Call(&Stub::GetGroup, GroupNamed("group"));
    return response.queues_size() == 1 && response.queues(0).max_offset() == 4;
  });
  v1::GroupQueueStatus queue = response.queues(0);
  EXPECT_EQ(queue.topic(), "topic");
  EXPECT_EQ(queue.committed_offset(), 1);
  EXPECT_EQ(queue.next_offset(), 3);
  EXPECT_EQ(queue.in_flight(), 2);
  EXPECT_EQ(queue.retrying(), 0);
  EXPECT_EQ(queue.lag(), 3);
  clock_.Advance(seconds(31));
  queue = Call(&Stub::GetGroup, GroupNamed("group")).queues(0);
  EXPECT_EQ(queue.in_flight(), 0);
  EXPECT_EQ(queue.retrying(), 2);
  EXPECT_EQ(queue.lag(), 3);
}

TEST_F(AdminServiceTest, AGroupIsMoved) {
  Call(&Stub::CreateTopic, NewTopic("topic", 1));
  v1::CreateGroupRequest create;
  create.mutable_group()->set_name("group");
  Call(&Stub::CreateGroup, create);
  Send("topic", "0");
  clock_.Advance(seconds(10));
  const Timestamp between = clock_.Now();
  Send("topic", "1");
  Send("topic", "2");
  AwaitIndex();

  v1::ResetOffsetRequest request;
  request.set_group("group");
  request.set_topic("topic");
  EXPECT_EQ(Refusal(&Stub::ResetOffset, request, "say where"), StatusCode::INVALID_ARGUMENT);
  request.set_last(true);
  EXPECT_EQ(Call(&Stub::ResetOffset, request).queues(0).lag(), 0);
  EXPECT_TRUE(Receive("topic", "group").empty());
  request.set_first(true);
  EXPECT_EQ(Call(&Stub::ResetOffset, request).queues(0).lag(), 3);
  EXPECT_EQ(Receive("topic", "group").size(), 3u);
  request.mutable_time()->set_seconds(ToUnixMillis(between) / 1000);
  EXPECT_EQ(Call(&Stub::ResetOffset, request).queues(0).committed_offset(), 1);
  EXPECT_EQ(Receive("topic", "group").size(), 2u);
  request.mutable_position()->set_offset(2);
  EXPECT_EQ(Call(&Stub::ResetOffset, request).queues(0).committed_offset(), 2);
  EXPECT_EQ(Receive("topic", "group").size(), 1u);

  request.mutable_position()->set_offset(4);
  EXPECT_EQ(Refusal(&Stub::ResetOffset, request, "4 is outside"), StatusCode::INVALID_ARGUMENT);
  request.mutable_position()->set_offset(-1);
  EXPECT_EQ(Refusal(&Stub::ResetOffset, request, "-1 is outside"), StatusCode::INVALID_ARGUMENT);
  request.mutable_position()->set_queue(1);
  EXPECT_EQ(Refusal(&Stub::ResetOffset, request, "1 is not one"), StatusCode::INVALID_ARGUMENT);
  request.mutable_time()->set_seconds(INT64_MAX);
  EXPECT_EQ(Refusal(&Stub::ResetOffset, request, "years"), StatusCode::INVALID_ARGUMENT);
  request.set_topic("other");
  EXPECT_EQ(Refusal(&Stub::ResetOffset, request, "no topic other"), StatusCode::NOT_FOUND);
}

TEST_F(AdminServiceTest, MessagesAreFoundByIdKeyAndPlace) {
  Call(&Stub::CreateTopic, NewTopic("topic", 1));
  Send("topic", "first", "key");
  Send("topic", "second", "key");
  AwaitIndex();

  v1::GetMessagesRequest request;
  request.set_topic("topic");
  EXPECT_EQ(Refusal(&Stub::GetMessages, request, "say which"), StatusCode::INVALID_ARGUMENT);
  request.set_message_id("id-second");
  v1::GetMessagesResponse response = Call(&Stub::GetMessages, request);
  ASSERT_EQ(response.messages_size(), 1);
  EXPECT_EQ(response.messages(0).queue_offset(), 1);
  v2::Message message;
  ASSERT_TRUE(message.ParseFromString(response.messages(0).message()));
  EXPECT_EQ(message.body(), "second");

  request.set_key("key");
  response = Call(&Stub::GetMessages, request);
  ASSERT_EQ(response.messages_size(), 2);
  EXPECT_EQ(response.messages(0).queue_offset(), 1) << "newest first";
  request.set_limit(1);
  EXPECT_EQ(Call(&Stub::GetMessages, request).messages_size(), 1);
  request.set_limit(65);
  EXPECT_EQ(Refusal(&Stub::GetMessages, request, "65"), StatusCode::INVALID_ARGUMENT);
  request.set_limit(0);
  request.set_key("no such");
  EXPECT_EQ(Refusal(&Stub::GetMessages, request, "no message"), StatusCode::NOT_FOUND);

  request.mutable_position()->set_offset(0);
  response = Call(&Stub::GetMessages, request);
  ASSERT_TRUE(message.ParseFromString(response.messages(0).message()));
  EXPECT_EQ(message.body(), "first");
  for (int64_t offset : {int64_t{2}, int64_t{1} << 40, int64_t{-1}}) {
    request.mutable_position()->set_offset(offset);
    EXPECT_EQ(Refusal(&Stub::GetMessages, request, ""), StatusCode::NOT_FOUND) << offset;
  }
  request.mutable_position()->set_queue(1);
  EXPECT_EQ(Refusal(&Stub::GetMessages, request, "queues 0 to 0"), StatusCode::INVALID_ARGUMENT);
}

TEST_F(AdminServiceTest, TheBrokerTellsOfItselfAndItsClients) {
  Call(&Stub::CreateTopic, NewTopic("topic"));
  Send("topic", "body");
  v2::HeartbeatRequest heartbeat;
  heartbeat.set_client_type(v2::PRODUCER);
  v2::HeartbeatResponse beaten;
  const auto context = Context();
  ASSERT_TRUE(messaging_->Heartbeat(context.get(), heartbeat, &beaten).ok());
  const v1::Broker broker = Call(&Stub::GetBroker, v1::GetBrokerRequest());
  EXPECT_EQ(broker.name(), config_.broker().broker_name());
  EXPECT_FALSE(broker.version().empty());
  EXPECT_EQ(broker.start_time().seconds(), ToUnixMillis(clock_.Now()) / 1000);
  EXPECT_EQ(broker.topics(), 1u);
  EXPECT_EQ(broker.clients(), 1u);
  EXPECT_GT(broker.appended(), 0);
  EXPECT_GE(broker.appended(), broker.written());
  EXPECT_GE(broker.written(), broker.flushed());
  EXPECT_FALSE(broker.disk_full());
  EXPECT_EQ(broker.damage_size(), 0);
  const v1::ListClientsResponse clients = Call(&Stub::ListClients, v1::ListClientsRequest());
  ASSERT_EQ(clients.clients_size(), 1);
  EXPECT_EQ(clients.clients(0).client_id(), "client");
  EXPECT_EQ(clients.clients(0).client_type(), v2::PRODUCER);
}

TEST_F(AdminServiceTest, ACheckpointHoldsEverythingThatWasIndexed) {
  Call(&Stub::CreateTopic, NewTopic("topic"));
  Send("topic", "body");
  AwaitIndex();
  const v1::Broker broker = Call(&Stub::GetBroker, v1::GetBrokerRequest());
  EXPECT_GE(Call(&Stub::Checkpoint, v1::CheckpointRequest()).dispatched(), broker.dispatched());
  EXPECT_GE(Call(&Stub::GetBroker, v1::GetBrokerRequest()).flushed(), broker.dispatched());
}

TEST_F(AdminServiceTest, ChangesSurviveARestart) {
  Call(&Stub::CreateTopic, NewTopic("stays", 3));
  Call(&Stub::CreateTopic, NewTopic("goes"));
  v1::CreateGroupRequest group;
  group.mutable_group()->set_name("group");
  group.mutable_group()->set_max_attempts(2);
  Call(&Stub::CreateGroup, group);
  DeleteTopic("goes");
  StopAll();
  Start();
  const v1::ListTopicsResponse topics = Call(&Stub::ListTopics, v1::ListTopicsRequest());
  ASSERT_EQ(topics.topics_size(), 1);
  EXPECT_EQ(topics.topics(0).name(), "stays");
  EXPECT_EQ(topics.topics(0).queues(), 3u);
  EXPECT_EQ(Call(&Stub::GetGroup, GroupNamed("group")).group().max_attempts(), 2u);
}

}  // namespace
}  // namespace dunlin::broker
