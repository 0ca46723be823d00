// Two brokers of a cluster and a name service in one process: requests that land at the one,
// and are for the other.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/testing/temp_dir.h"
#include "services/broker/broker.h"
#include "services/broker/registration/testing/names.h"
#include "services/broker/rpc/testing/topic_admin.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

using Stub = v2::MessagingService::Stub;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kHops[] = "x-dunlin-hops";

// One broker, registered with the name service.
class Member {
 public:
  Member(const std::string& name, const std::string& name_service) {
    config_.set_data_dir(directory_.path());
    config_.mutable_store()->set_segment_size_bytes(8u << 20);
    config_.mutable_broker()->set_broker_name(name);
    config_.mutable_broker()->add_name_services(name_service);
    config_.mutable_broker()->set_auto_create_groups(true);
    config_.mutable_broker()->add_retry_backoff_seconds(1);
    broker_ = *Broker::Start(config_, RealFiles(), clock_);
    int port = 0;
    grpc::ServerBuilder builder;
    for (grpc::Service* service : broker_->services()) builder.RegisterService(service);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    server_ = builder.BuildAndStart();
    broker_->SetAdvertisedAddress("127.0.0.1", port);
    EXPECT_TRUE(broker_->Register({name_service}).ok());
    stub_ = v2::MessagingService::NewStub(server_->InProcessChannel({}));
  }
  ~Member() {
    broker_->Drain();
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    EXPECT_TRUE(broker_->Stop().ok());
  }

  void MakeTopic(const std::string& name) {
    admin::v1::Topic topic = TopicAdmin::Topic(name, 1);
    for (const auto kind : {admin::v1::NORMAL, admin::v1::DELAY, admin::v1::TRANSACTION}) {
      topic.add_kinds(kind);
    }
    TopicAdmin(server_->InProcessChannel({})).Create(topic);
  }
  Stub& Api() const { return *stub_; }

 private:
  const TempDir directory_;
  const SystemClock clock_;
  config::v1::DunlinConfig config_;
  std::unique_ptr<Broker> broker_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Stub> stub_;
};

std::unique_ptr<grpc::ClientContext> Context() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->AddMetadata("x-mq-client-id", "client");
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  return context;
}

template <typename Request, typename Response>
Response Call(Member& at,
              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
              const Request& request, std::unique_ptr<grpc::ClientContext> context = Context()) {
  Response response;
  const grpc::Status status = (at.Api().*method)(context.get(), request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

v2::SendMessageRequest Normal(const std::string& topic, const std::string& body) {
  v2::SendMessageRequest request;
  v2::Message& message = *request.add_messages();
  message.mutable_topic()->set_name(topic);
  message.set_body(body);
  message.mutable_system_properties()->set_message_id("id-" + body);
  message.mutable_system_properties()->set_message_type(v2::NORMAL);
  return request;
}
v2::SendMessageRequest Half(const std::string& topic, const std::string& body) {
  v2::SendMessageRequest request = Normal(topic, body);
  request.mutable_messages(0)->mutable_system_properties()->set_message_type(v2::TRANSACTION);
  return request;
}

v2::SendResultEntry Send(Member& at, const v2::SendMessageRequest& request) {
  const v2::SendMessageResponse response = Call(at, &Stub::SendMessage, request);
  EXPECT_EQ(response.status().code(), v2::OK) << response.status().message();
  return response.entries_size() == 1 ? response.entries(0) : v2::SendResultEntry();
}

v2::ReceiveMessageRequest ReceiveOf(const std::string& topic, const std::string& broker) {
  v2::ReceiveMessageRequest request;
  request.mutable_group()->set_name("g");
  request.mutable_message_queue()->mutable_topic()->set_name(topic);
  request.mutable_message_queue()->mutable_broker()->set_name(broker);
  request.mutable_message_queue()->set_id(-1);
  request.mutable_filter_expression()->set_expression("*");
  request.set_batch_size(1);
  request.mutable_invisible_duration()->set_seconds(30);
  request.mutable_long_polling_timeout()->set_seconds(10);
  return request;
}
v2::Message Receive(Member& at, const std::string& topic, const std::string& broker = "") {
  const v2::ReceiveMessageRequest request = ReceiveOf(topic, broker);
  const auto context = Context();
  const auto stream = at.Api().ReceiveMessage(context.get(), request);
  v2::Message message;
  v2::ReceiveMessageResponse element;
  while (stream->Read(&element)) {
    if (element.has_message()) message = element.message();
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_TRUE(message.has_system_properties()) << "nothing came";
  return message;
}

v2::AckMessageRequest AckOf(const std::string& topic, const std::vector<v2::Message>& messages) {
  v2::AckMessageRequest request;
  request.mutable_topic()->set_name(topic);
  request.mutable_group()->set_name("g");
  for (const v2::Message& message : messages) {
    request.add_entries()->set_receipt_handle(message.system_properties().receipt_handle());
  }
  return request;
}
v2::Code Ack(Member& at, const std::string& topic, const v2::Message& message) {
  const v2::AckMessageResponse response = Call(at, &Stub::AckMessage, AckOf(topic, {message}));
  EXPECT_EQ(response.entries_size(), 1);
  return response.status().code();
}

v2::Code EndTransaction(Member& at, const std::string& topic, const std::string& id) {
  v2::EndTransactionRequest request;
  request.mutable_topic()->set_name(topic);
  request.set_transaction_id(id);
  request.set_resolution(v2::COMMIT);
  return Call(at, &Stub::EndTransaction, request).status().code();
}

// Of queue 0, at the broker of that name.
v2::MessageQueue QueueAt(const std::string& broker, const std::string& topic) {
  v2::MessageQueue queue;
  queue.mutable_topic()->set_name(topic);
  queue.mutable_broker()->set_name(broker);
  return queue;
}
v2::GetOffsetResponse GetOffset(Member& at, const v2::MessageQueue& queue) {
  v2::GetOffsetRequest request;
  request.mutable_group()->set_name("g");
  *request.mutable_message_queue() = queue;
  return Call(at, &Stub::GetOffset, request);
}

class PassedOnTest : public ::testing::Test {
 protected:
  void MakeTopic(Member& at, const std::string& name, int brokers) {
    at.MakeTopic(name);
    EXPECT_TRUE(
        names_->Await(name, [&](const auto& route) { return route.queues_size() == brokers; }));
  }

  std::unique_ptr<Names> names_ = std::make_unique<Names>();
  Member a_{"a", names_->Address()};
  Member b_{"b", names_->Address()};
};

TEST_F(PassedOnTest, WhatIsOfATopicThatIsNotHereGoesToItsBroker) {
  MakeTopic(a_, "t", 1);
  EXPECT_EQ(Send(b_, Normal("t", "one")).offset(), 0);
  const v2::Message message = Receive(a_, "t");
  EXPECT_EQ(message.body(), "one");
  EXPECT_EQ(Ack(b_, "t", message), v2::OK);
  EXPECT_EQ(GetOffset(a_, QueueAt("", "t")).offset(), 1);

  const std::string id = Send(b_, Half("t", "two")).transaction_id();
  EXPECT_EQ(EndTransaction(b_, "t", id), v2::OK);
  EXPECT_EQ(Receive(a_, "t").body(), "two");

  v2::QueryRouteRequest route;
  route.mutable_topic()->set_name("t");
  const v2::QueryRouteResponse told = Call(b_, &Stub::QueryRoute, route);
  ASSERT_EQ(told.message_queues_size(), 1) << told.ShortDebugString();
  EXPECT_EQ(told.message_queues(0).broker().name(), "a");
}

TEST_F(PassedOnTest, ReadsGoToTheBrokerThatHasTheTopicOrIsNamed) {
  MakeTopic(a_, "t", 1);
  Send(a_, Normal("t", "one"));
  const v2::Message one = Receive(b_, "t");
  EXPECT_EQ(one.body(), "one");
  EXPECT_EQ(Ack(b_, "t", one), v2::OK);

  MakeTopic(b_, "t", 2);
  Send(a_, Normal("t", "two"));
  EXPECT_EQ(Receive(b_, "t", "a").body(), "two");
  v2::PullMessageRequest pull;
  pull.mutable_group()->set_name("g");
  *pull.mutable_message_queue() = QueueAt("a", "t");
  pull.mutable_filter_expression()->set_expression("*");
  pull.set_batch_size(10);
  const auto context = Context();
  const auto stream = b_.Api().PullMessage(context.get(), pull);
  std::vector<std::string> bodies;
  int64_t next = 0;
  v2::PullMessageResponse element;
  while (stream->Read(&element)) {
    if (element.has_message()) bodies.push_back(element.message().body());
    if (element.has_next_offset()) next = element.next_offset();
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_THAT(bodies, ElementsAre("one", "two"));
  EXPECT_EQ(next, 2);
}

TEST_F(PassedOnTest, ReadsThatCannotBePassedOnAreRefused) {
  MakeTopic(a_, "t", 1);
  const auto refusal = [&](const v2::ReceiveMessageRequest& request, bool was_passed_on) {
    const auto context = Context();
    if (was_passed_on) context->AddMetadata(kHops, "1");
    const auto stream = b_.Api().ReceiveMessage(context.get(), request);
    v2::ReceiveMessageResponse element;
    EXPECT_TRUE(stream->Read(&element));
    const v2::Status status = element.status();
    EXPECT_FALSE(stream->Read(&element));
    EXPECT_TRUE(stream->Finish().ok());
    return status;
  };
  EXPECT_EQ(refusal(ReceiveOf("t", ""), true).code(), v2::TOPIC_NOT_FOUND);
  const v2::Status nowhere = refusal(ReceiveOf("t", "c"), false);
  EXPECT_EQ(nowhere.code(), v2::HA_NOT_AVAILABLE);
  EXPECT_THAT(nowhere.message(), AllOf(HasSubstr("one of broker c, and this is b"),
                                       HasSubstr("it was not passed on")));
}

TEST_F(PassedOnTest, ADelayedMessageIsRecalledWhereItIs) {
  MakeTopic(a_, "t", 1);
  v2::SendMessageRequest request = Normal("t", "late");
  v2::SystemProperties& properties = *request.mutable_messages(0)->mutable_system_properties();
  properties.set_message_type(v2::DELAY);
  properties.mutable_delivery_timestamp()->set_seconds(ToUnixMillis(SystemClock().Now()) / 1000 +
                                                       3600);
  v2::RecallMessageRequest recall;
  recall.mutable_topic()->set_name("t");
  recall.set_recall_handle(Send(b_, request).recall_handle());
  const v2::RecallMessageResponse recalled = Call(b_, &Stub::RecallMessage, recall);
  EXPECT_EQ(recalled.status().code(), v2::OK) << recalled.status().message();
  EXPECT_EQ(recalled.message_id(), "id-late");
  auto context = Context();
  context->AddMetadata(kHops, "1");
  const v2::RecallMessageResponse alone =
      Call(b_, &Stub::RecallMessage, recall, std::move(context));
  EXPECT_EQ(alone.status().code(), v2::BAD_REQUEST);
  EXPECT_THAT(alone.status().message(), HasSubstr("the message is at broker a"));
}

TEST_F(PassedOnTest, OfATopicAtBothAHandleSaysWhereItIsFrom) {
  MakeTopic(a_, "t", 1);
  MakeTopic(b_, "t", 2);
  for (const char* body : {"one", "two"}) Send(a_, Normal("t", body));
  const v2::Message one = Receive(a_, "t");
  EXPECT_EQ(Ack(b_, "t", one), v2::OK);
  EXPECT_EQ(GetOffset(a_, QueueAt("", "t")).offset(), 1);

  const v2::Message two = Receive(a_, "t");
  v2::ChangeInvisibleDurationRequest change;
  change.mutable_topic()->set_name("t");
  change.mutable_group()->set_name("g");
  change.set_receipt_handle(two.system_properties().receipt_handle());
  change.mutable_invisible_duration()->set_seconds(60);
  const v2::ChangeInvisibleDurationResponse changed =
      Call(b_, &Stub::ChangeInvisibleDuration, change);
  ASSERT_EQ(changed.status().code(), v2::OK) << changed.status().message();
  v2::ForwardMessageToDeadLetterQueueRequest forward;
  forward.mutable_topic()->set_name("t");
  forward.mutable_group()->set_name("g");
  forward.set_receipt_handle(changed.receipt_handle());
  EXPECT_EQ(Call(b_, &Stub::ForwardMessageToDeadLetterQueue, forward).status().code(), v2::OK);
  EXPECT_EQ(GetOffset(a_, QueueAt("", "t")).offset(), 2);

  const std::string id = Send(a_, Half("t", "three")).transaction_id();
  EXPECT_EQ(EndTransaction(b_, "t", id), v2::OK);
  EXPECT_EQ(Receive(a_, "t").body(), "three");
}

TEST_F(PassedOnTest, OffsetsAreThoseOfTheBrokerThatTheQueueNames) {
  MakeTopic(a_, "t", 1);
  MakeTopic(b_, "t", 2);
  Send(a_, Normal("t", "one"));
  Receive(a_, "t");
  v2::QueryOffsetRequest query;
  *query.mutable_message_queue() = QueueAt("a", "t");
  query.set_query_offset_policy(v2::END);
  EXPECT_EQ(Call(b_, &Stub::QueryOffset, query).offset(), 1);
  v2::UpdateOffsetRequest update;
  update.mutable_group()->set_name("g");
  *update.mutable_message_queue() = QueueAt("a", "t");
  update.set_offset(1);
  EXPECT_EQ(Call(b_, &Stub::UpdateOffset, update).status().code(), v2::OK);
  EXPECT_EQ(GetOffset(a_, QueueAt("a", "t")).offset(), 1);
  EXPECT_EQ(GetOffset(b_, QueueAt("a", "t")).offset(), 1);
  EXPECT_NE(GetOffset(b_, QueueAt("b", "t")).status().code(), v2::OK) << "nobody consumes there";
}

TEST_F(PassedOnTest, AcknowledgementsForSeveralBrokersAreAnsweredOneByOne) {
  MakeTopic(a_, "t", 1);
  MakeTopic(b_, "t", 2);
  Send(a_, Normal("t", "at a"));
  Send(b_, Normal("t", "at b"));
  const v2::AckMessageRequest request = AckOf("t", {Receive(a_, "t"), Receive(b_, "t")});
  const v2::AckMessageResponse response = Call(b_, &Stub::AckMessage, request);
  EXPECT_EQ(response.status().code(), v2::MULTIPLE_RESULTS);
  ASSERT_EQ(response.entries_size(), 2);
  EXPECT_EQ(response.entries(0).status().code(), v2::INVALID_RECEIPT_HANDLE);
  EXPECT_THAT(response.entries(0).status().message(), HasSubstr("another broker"));
  EXPECT_EQ(response.entries(1).status().code(), v2::OK);
}

TEST_F(PassedOnTest, WhatCameFromAnotherServerGoesNoFurther) {
  MakeTopic(a_, "t", 1);
  auto context = Context();
  context->AddMetadata(kHops, "1");
  EXPECT_EQ(Call(b_, &Stub::SendMessage, Normal("t", "one"), std::move(context)).status().code(),
            v2::TOPIC_NOT_FOUND);
  Send(a_, Normal("t", "two"));
  context = Context();
  context->AddMetadata(kHops, "1");
  const v2::AckMessageResponse refused =
      Call(b_, &Stub::AckMessage, AckOf("t", {Receive(a_, "t")}), std::move(context));
  EXPECT_EQ(refused.status().code(), v2::INVALID_RECEIPT_HANDLE);
  ASSERT_EQ(refused.entries_size(), 1);
  EXPECT_EQ(refused.entries(0).status().code(), v2::INVALID_RECEIPT_HANDLE);
}

TEST_F(PassedOnTest, WhatCannotBePassedOnIsRefusedAsBeforeAndSaysWhy) {
  const v2::Status nobody = Call(b_, &Stub::SendMessage, Normal("none", "x")).status();
  EXPECT_EQ(nobody.code(), v2::TOPIC_NOT_FOUND);
  EXPECT_THAT(nobody.message(),
              AllOf(HasSubstr("there is no topic none"), HasSubstr("no name service knows")));
  MakeTopic(a_, "t", 1);
  names_.reset();
  const v2::Status unknown = Call(b_, &Stub::SendMessage, Normal("t", "x")).status();
  EXPECT_EQ(unknown.code(), v2::TOPIC_NOT_FOUND);
  EXPECT_THAT(unknown.message(), HasSubstr("no name service tells the route"));
}

}  // namespace
}  // namespace dunlin::broker
