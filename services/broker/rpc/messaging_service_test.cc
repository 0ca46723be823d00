// The public API against a real store: what clients are promised.

#include <set>
#include <thread>

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

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
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(response.entries(i).status().code(), v2::OK);
    EXPECT_EQ(response.entries(i).status().message(), "OK");
    EXPECT_EQ(response.entries(i).message_id(), "id-" + std::to_string(i));
  }
  std::vector<std::string> bodies;
  for (const auto& message : ReceiveSome("topic", "group")) bodies.push_back(message.body());
  for (const auto& message : Receive("topic", "group").messages) bodies.push_back(message.body());
  EXPECT_EQ(bodies.size(), 10u);
}

TEST_F(MessagingServiceTest, TheDigestIsOfWhatIsStoredWhateverTheProducerSays) {
  v2::SendMessageRequest request;
  v2::SystemProperties* sent = AddMessage(request, "topic", "wrong")->mutable_system_properties();
  sent->mutable_body_digest()->set_type(v2::MD5);
  sent->mutable_body_digest()->set_checksum("00000000000000000000000000000000");
  sent = AddMessage(request, "topic", "crc")->mutable_system_properties();
  sent->mutable_body_digest()->set_type(v2::CRC32);
  sent->mutable_body_digest()->set_checksum("1");
  sent = AddMessage(request, "topic", "no gzip")->mutable_system_properties();
  sent->set_body_encoding(v2::GZIP);
  ASSERT_EQ(Call(&v2::MessagingService::Stub::SendMessage, request).status().code(), v2::OK);
  std::set<std::string> seen;
  while (seen.size() < 3) {
    const auto messages = ReceiveSome("topic", "group");
    ASSERT_FALSE(messages.empty());
    for (const v2::Message& message : messages) {
      const v2::SystemProperties& properties = message.system_properties();
      EXPECT_EQ(properties.body_digest().type(), v2::MD5);
      EXPECT_EQ(properties.body_encoding(), message.body() == "no gzip" ? v2::GZIP : v2::IDENTITY);
      seen.insert(message.body() + " " + properties.body_digest().checksum());
    }
  }
  EXPECT_THAT(seen, ::testing::ElementsAre("crc F5AD59C5401FEA3F2DF0703D958FDC97",
                                           "no gzip 9F7431C08FA4EA9D47BDC2632DC86A2D",
                                           "wrong 2BDA2998D9B0EE197DA142A0447F6725"));
}

TEST_F(MessagingServiceTest, TheNamespaceIsTheResourcesElseTheHeaders) {
  v2::SendMessageRequest send;
  AddMessage(send, "topic", "body")->mutable_topic()->set_resource_namespace("tenant");
  ASSERT_EQ(Call(&v2::MessagingService::Stub::SendMessage, send).status().code(), v2::OK);
  EXPECT_EQ(Receive("topic", "group").status.code(), v2::TOPIC_NOT_FOUND);
  const auto receive = [&](const std::string& header, const std::string& name_space) {
    v2::ReceiveMessageRequest request = ReceiveRequest("topic", "of-" + header);
    request.mutable_message_queue()->mutable_topic()->set_resource_namespace(name_space);
    request.mutable_long_polling_timeout()->set_seconds(5);
    const auto context = Context();
    context->AddMetadata("x-mq-namespace", header);
    const auto stream = stub_->ReceiveMessage(context.get(), request);
    std::vector<v2::Message> messages;
    v2::ReceiveMessageResponse element;
    while (stream->Read(&element)) {
      if (element.has_message()) messages.push_back(element.message());
    }
    EXPECT_TRUE(stream->Finish().ok());
    return messages;
  };
  std::vector<v2::Message> messages = receive("tenant", "");
  ASSERT_EQ(messages.size(), 1u);
  // As it was asked for.
  EXPECT_EQ(messages[0].topic().resource_namespace(), "");
  EXPECT_EQ(messages[0].topic().name(), "topic");
  messages = receive("other", "tenant");
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].topic().resource_namespace(), "tenant");
}

TEST_F(MessagingServiceTest, ABatchSizeBeyondTheMostIsCut) {
  v2::SendMessageRequest send;
  for (int i = 0; i < 40; ++i) AddMessage(send, "topic", std::to_string(i));
  ASSERT_EQ(Call(&v2::MessagingService::Stub::SendMessage, send).status().code(), v2::OK);
  AwaitIndexed("topic", 40);
  v2::ReceiveMessageRequest request = ReceiveRequest("topic", "group");
  request.set_batch_size(100'000);
  EXPECT_EQ(Receive(request).messages.size(), 32u);
}

TEST_F(MessagingServiceTest, WhateverQueueIsAskedForMessagesOfAllCome) {
  v2::SendMessageRequest send;
  for (int i = 0; i < 4; ++i) AddMessage(send, "topic", std::to_string(i));
  ASSERT_EQ(Call(&v2::MessagingService::Stub::SendMessage, send).status().code(), v2::OK);
  AwaitIndexed("topic", 4);
  v2::ReceiveMessageRequest request = ReceiveRequest("topic", "group");
  request.mutable_message_queue()->set_id(0);
  request.mutable_message_queue()->mutable_broker()->set_name("another one");
  std::multiset<int> queues;
  for (const v2::Message& message : Receive(request).messages) {
    queues.insert(message.system_properties().queue_id());
  }
  EXPECT_THAT(queues, ::testing::ElementsAre(0, 0, 1, 1));
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
  EXPECT_EQ(second[0].topic().name(), "topic");
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

TEST_F(MessagingServiceTest, TagsSelectExactly) {
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
  AwaitIndexed("topic1", 5);
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
  AwaitIndexed("topic1", 3);
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

TEST_F(MessagingServiceTest, AnOffsetSetBackServesThePollThatWaits) {
  config_.mutable_broker()->set_default_topic_queues(1);
  Send("topic1", "body");
  const auto messages = ReceiveSome("topic1", "group");
  ASSERT_EQ(messages.size(), 1u);
  Ack("topic1", "group", {Handle(messages[0])});
  v2::ReceiveMessageRequest request = ReceiveRequest("topic1", "group");
  request.mutable_long_polling_timeout()->set_seconds(20);
  size_t received = 0;
  std::thread poll([&] { received = Receive(request, "client", seconds(10)).messages.size(); });
  const auto admin = admin::v1::AdminService::NewStub(server_->InProcessChannel({}));
  for (admin::v1::Broker broker; broker.waiting_polls() == 0;) {
    grpc::ClientContext context;
    ASSERT_TRUE(admin->GetBroker(&context, {}, &broker).ok());
  }
  v2::UpdateOffsetRequest update;
  update.mutable_group()->set_name("group");
  update.mutable_message_queue()->mutable_topic()->set_name("topic1");
  update.set_offset(0);
  EXPECT_EQ(Call(&v2::MessagingService::Stub::UpdateOffset, update).status().code(), v2::OK);
  poll.join();
  EXPECT_EQ(received, 1u);
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

TEST_F(MessagingServiceTest, RoutesRepeatTheAccessPointWithAllItsAddresses) {
  v2::QueryRouteRequest request;
  request.mutable_topic()->set_name("topic");
  request.mutable_endpoints()->set_scheme(v2::IPv6);
  for (int port : {8081, 30'081}) {
    v2::Address& address = *request.mutable_endpoints()->add_addresses();
    address.set_host("2001:db8::" + std::to_string(port));
    address.set_port(port);
  }
  const std::string asked = request.endpoints().ShortDebugString();
  const auto response = Call(&v2::MessagingService::Stub::QueryRoute, request);
  ASSERT_EQ(response.message_queues_size(), 2);
  for (const v2::MessageQueue& queue : response.message_queues()) {
    EXPECT_EQ(queue.broker().endpoints().ShortDebugString(), asked);
  }
  v2::QueryAssignmentRequest assignment;
  *assignment.mutable_topic() = request.topic();
  *assignment.mutable_endpoints() = request.endpoints();
  assignment.mutable_group()->set_name("group");
  const auto assigned = Call(&v2::MessagingService::Stub::QueryAssignment, assignment);
  ASSERT_EQ(assigned.assignments_size(), 1);
  const v2::Broker& broker = assigned.assignments(0).message_queue().broker();
  EXPECT_EQ(broker.endpoints().ShortDebugString(), asked);
}

// A client names its access point to every broker that it asks, also when that is a name service.
TEST_F(MessagingServiceTest, NobodyIsSentToANameServiceForMessages) {
  StopAll();
  config_.mutable_name_service()->set_enabled(true);
  config_.mutable_name_service()->mutable_server()->set_listen_address("0.0.0.0:9876");
  Start();
  broker_->SetAdvertisedAddress("broker.local", 8081);
  v2::QueryAssignmentRequest request;
  request.mutable_topic()->set_name("topic");
  request.mutable_group()->set_name("group");
  request.mutable_endpoints()->set_scheme(v2::DOMAIN_NAME);
  v2::Address& asked = *request.mutable_endpoints()->add_addresses();
  const auto assigned_at = [&](const std::string& host, int port) {
    asked.set_host(host);
    asked.set_port(port);
    const auto response = Call(&v2::MessagingService::Stub::QueryAssignment, request);
    EXPECT_EQ(response.assignments_size(), 1);
    const v2::Broker& broker = response.assignments(0).message_queue().broker();
    return broker.endpoints().addresses(0).host() + ":" +
           std::to_string(broker.endpoints().addresses(0).port());
  };
  Send("topic", "body");
  // Where `dunlin` has its own name service, under whatever name its host is reached.
  EXPECT_EQ(assigned_at("names.example", 9876), "broker.local:8081");
  // A port that was mapped.
  EXPECT_EQ(assigned_at("broker.example", 30'081), "broker.example:30081");
  EXPECT_EQ(assigned_at("broker.example", 8081), "broker.example:8081");
}

// Clients outside name a name service's mapped port to every broker that they ask.
TEST_F(MessagingServiceTest, WhoIsOutsideIsToldTheExternalAddress) {
  StopAll();
  config_.mutable_broker()->set_external_address("mq.example.com:8181");
  Start();
  broker_->SetAdvertisedAddress("broker.local", 8081);
  Send("topic", "body");
  v2::QueryRouteRequest request;
  request.mutable_topic()->set_name("topic");
  request.mutable_endpoints()->set_scheme(v2::DOMAIN_NAME);
  request.mutable_endpoints()->add_addresses()->set_host("names.example.com");
  request.mutable_endpoints()->mutable_addresses(0)->set_port(30'876);
  const auto host = [&] {
    const auto response = Call(&v2::MessagingService::Stub::QueryRoute, request);
    return response.message_queues(0).broker().endpoints().addresses(0).host();
  };
  EXPECT_EQ(host(), "mq.example.com");
  request.mutable_endpoints()->mutable_addresses(0)->set_port(8081);
  EXPECT_EQ(host(), "names.example.com");
  request.clear_endpoints();
  EXPECT_EQ(host(), "broker.local");
}

TEST_F(MessagingServiceTest, RoutesNameAllKindsThatATopicTakes) {
  admin::v1::CreateTopicRequest create;
  create.mutable_topic()->set_name("several");
  for (auto kind : {admin::v1::PRIORITY, admin::v1::TRANSACTION, admin::v1::NORMAL, admin::v1::FIFO,
                    admin::v1::DELAY}) {
    create.mutable_topic()->add_kinds(kind);
  }
  grpc::ClientContext context;
  admin::v1::Topic topic;
  ASSERT_TRUE(admin::v1::AdminService::NewStub(server_->InProcessChannel({}))
                  ->CreateTopic(&context, create, &topic)
                  .ok());
  v2::QueryRouteRequest request;
  request.mutable_topic()->set_name("several");
  const auto response = Call(&v2::MessagingService::Stub::QueryRoute, request);
  ASSERT_GT(response.message_queues_size(), 0);
  EXPECT_THAT(
      response.message_queues(0).accept_message_types(),
      ::testing::ElementsAre(v2::NORMAL, v2::FIFO, v2::DELAY, v2::TRANSACTION, v2::PRIORITY));
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

TEST_F(MessagingServiceTest, WhatACallerThatHungUpWasNotSentComesBackSoon) {
  for (char c = 'a'; c < 'i'; ++c) Send("topic", std::string(1u << 20, c));
  AwaitIndexed("topic", 8);
  v2::ReceiveMessageRequest request = ReceiveRequest("topic", "group");
  request.mutable_invisible_duration()->set_seconds(3600);
  const auto context = Context();
  const auto stream = stub_->ReceiveMessage(context.get(), request);
  v2::ReceiveMessageResponse element;
  // The status: all of them are leased, and the rest is not read.
  ASSERT_TRUE(stream->Read(&element));
  EXPECT_TRUE(Receive("topic", "group").messages.empty());
  context->TryCancel();
  stream->Finish();
  std::set<std::string> seen;
  for (int i = 0; i < 3000 && seen.size() < 8; ++i) {
    clock_.Advance(seconds(1));
    for (const v2::Message& message : Receive("topic", "group").messages) {
      seen.insert(message.body().substr(0, 1));
    }
  }
  EXPECT_EQ(seen.size(), 8u);
}

}  // namespace
}  // namespace dunlin::broker
