// MessagingServiceTest: the public API over a real store in a temporary directory, with a clock
// that tests turn.

#pragma once

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
#include "services/base/file.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/temp_dir.h"
#include "services/broker/broker.h"

namespace dunlin::broker {

namespace v2 = apache::rocketmq::v2;

class MessagingServiceTest : public ::testing::Test {
 protected:
  MessagingServiceTest() {
    config_.set_data_dir(directory_.path());
    config_.mutable_name_service()->set_enabled(false);
    config_.mutable_store()->set_segment_size_bytes(8u << 20);
    config_.mutable_broker()->set_auto_create_topics(true);
    config_.mutable_broker()->set_default_topic_queues(2);
    for (uint32_t delay : {1, 5, 10}) config_.mutable_broker()->add_retry_backoff_seconds(delay);
    Start();
  }
  ~MessagingServiceTest() override { StopAll(); }

  void Start() {
    auto broker = Broker::Start(config_, *files_, clock_);
    ASSERT_TRUE(broker.ok()) << broker.status();
    broker_ = *std::move(broker);
    grpc::ServerBuilder builder;
    for (grpc::Service* service : broker_->services()) builder.RegisterService(service);
    builder.SetMaxReceiveMessageSize(64 << 20);
    server_ = builder.BuildAndStart();
    stub_ = v2::MessagingService::NewStub(server_->InProcessChannel({}));
  }

  void StopAll() {
    if (broker_ == nullptr) return;
    broker_->Drain();
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    EXPECT_TRUE(broker_->Stop().ok());
    server_.reset();
    broker_.reset();
  }

  static std::unique_ptr<grpc::ClientContext> Context(
      const std::string& client = "client",
      std::chrono::milliseconds deadline = std::chrono::seconds(10)) {
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
                   std::chrono::milliseconds deadline = std::chrono::seconds(10)) {
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
                                                      const std::string& handle,
                                                      int64_t duration_seconds) {
    v2::ChangeInvisibleDurationRequest request;
    request.mutable_topic()->set_name(topic);
    request.mutable_group()->set_name(group);
    request.set_receipt_handle(handle);
    request.mutable_invisible_duration()->set_seconds(duration_seconds);
    return Call(&v2::MessagingService::Stub::ChangeInvisibleDuration, request);
  }

  // Messages arrive a moment after their send was acknowledged.
  std::vector<v2::Message> ReceiveSome(const std::string& topic, const std::string& group) {
    v2::ReceiveMessageRequest request = ReceiveRequest(topic, group);
    request.mutable_long_polling_timeout()->set_seconds(5);
    return Receive(request).messages;
  }

  // Offsets follow what is indexed, a moment after the acknowledgement.
  void AwaitIndexed(const std::string& topic, size_t messages) {
    for (size_t seen = 0; seen < messages;) {
      const size_t more = ReceiveSome(topic, "reader").size();
      ASSERT_GT(more, 0u);
      seen += more;
    }
  }

  TempDir directory_;
  FileSystem* files_ = &RealFiles();
  ManualClock clock_;
  config::v1::DunlinConfig config_;
  std::unique_ptr<Broker> broker_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v2::MessagingService::Stub> stub_;
};

inline const std::string& Handle(const v2::Message& message) {
  return message.system_properties().receipt_handle();
}

}  // namespace dunlin::broker
