// Requests about messages that land at a name service.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/synchronization/notification.h"

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "proto/dunlin/config/v1/config.pb.h"
#include "proto/dunlin/nameservice/v1/registry.grpc.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/mutex.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/broker/progress/receipt_handle.h"
#include "services/broker/timers/recall_handle.h"
#include "services/broker/wire/broker_mark.h"
#include "services/nameservice/name_service.h"
#include "services/nameservice/testing/calls.h"

namespace dunlin::nameservice {
namespace {

namespace v2 = apache::rocketmq::v2;

using ::testing::HasSubstr;

std::unique_ptr<grpc::ClientContext> ContextInSpace() {
  auto context = NewContext();
  context->AddMetadata("x-mq-namespace", "space");
  return context;
}

// A broker: its session, and what it is asked.
class Broker final : public v2::MessagingService::Service {
 public:
  Broker(v1::RegistryService::Stub& registry, const std::string& name) : name_(name) {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    context_ = ContextInSpace();
    stream_ = registry.Register(context_.get());
    v1::RegisterRequest request = HelloOf(name);
    v2::Endpoints& endpoints = *request.mutable_hello()->mutable_endpoints();
    endpoints.set_scheme(v2::IPv4);
    endpoints.mutable_addresses(0)->set_host("127.0.0.1");
    endpoints.mutable_addresses(0)->set_port(port);
    stream_->Write(request);
  }
  ~Broker() override {
    context_->TryCancel();
    (void)stream_->Finish();
  }
  void SendTable() { stream_->Write(TableOf("t", 2, "space")); }
  void StopServing() { server_->Shutdown(); }

  grpc::Status RecallMessage(grpc::ServerContext* context, const v2::RecallMessageRequest* request,
                             v2::RecallMessageResponse* response) override {
    Note(*context);
    response->mutable_status()->set_code(v2::OK);
    response->set_message_id(name_ + " " + request->recall_handle());
    return grpc::Status::OK;
  }
  grpc::Status GetOffset(grpc::ServerContext* context, const v2::GetOffsetRequest* /*request*/,
                         v2::GetOffsetResponse* response) override {
    Note(*context);
    response->mutable_status()->set_code(v2::OK);
    return grpc::Status::OK;
  }
  grpc::Status AckMessage(grpc::ServerContext* context, const v2::AckMessageRequest* /*request*/,
                          v2::AckMessageResponse* response) override {
    Note(*context);
    response->mutable_status()->set_code(v2::INVALID_RECEIPT_HANDLE);
    return grpc::Status::OK;
  }

  // One message; then it fails, or, of queue 1, waits until the caller has gone.
  grpc::Status ReceiveMessage(grpc::ServerContext* context,
                              const v2::ReceiveMessageRequest* request,
                              grpc::ServerWriter<v2::ReceiveMessageResponse>* writer) override {
    Note(*context);
    v2::ReceiveMessageResponse element;
    element.mutable_message()->set_body(name_);
    writer->Write(element);
    if (request->message_queue().id() == 0) return {grpc::StatusCode::INTERNAL, "broken"};
    while (!context->IsCancelled()) poll(nullptr, 0, 5);
    left_.Notify();
    return grpc::Status::CANCELLED;
  }
  void AwaitLeft() const { left_.WaitForNotification(); }

  // Headers of the last call.
  std::map<std::string, std::string> Headers() {
    MutexLock lock(mutex_);
    return headers_;
  }

 private:
  void Note(const grpc::ServerContext& context) {
    MutexLock lock(mutex_);
    headers_.clear();
    for (const auto& [name, value] : context.client_metadata()) {
      headers_[std::string(name.data(), name.size())] = std::string(value.data(), value.size());
    }
  }

  const std::string name_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::RegisterRequest, v1::RegisterResponse>> stream_;
  Mutex mutex_;
  std::map<std::string, std::string> headers_ ABSL_GUARDED_BY(mutex_);
  absl::Notification left_;
};

class PassedOnTest : public ::testing::Test {
 protected:
  PassedOnTest() {
    config_.set_start_grace_ms(0);
    auto started =
        NameService::Start(config_, {.data_dir = directory_.path()}, RealFiles(), clock_);
    EXPECT_THAT(started, IsOk());
    service_ = *std::move(started);
    grpc::ServerBuilder builder;
    for (grpc::Service* service : service_->services()) builder.RegisterService(service);
    server_ = builder.BuildAndStart();
    const auto channel = server_->InProcessChannel({});
    registry_ = v1::RegistryService::NewStub(channel);
    messaging_ = v2::MessagingService::NewStub(channel);
  }
  ~PassedOnTest() override {
    brokers_.clear();
    service_->Drain();
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    service_->Stop();
  }

  // Returns when so many brokers hold the topic.
  void Add(const std::string& name) {
    brokers_[name] = std::make_unique<Broker>(*registry_, name);
    brokers_[name]->SendTable();
    v2::QueryRouteRequest request;
    request.mutable_topic()->set_name("t");
    v2::QueryRouteResponse response;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (response.message_queues_size() != static_cast<int>(2 * brokers_.size()) &&
           std::chrono::steady_clock::now() < deadline) {
      response.Clear();
      EXPECT_TRUE(messaging_->QueryRoute(ContextInSpace().get(), request, &response).ok());
    }
  }

  v2::RecallMessageResponse Recall(
      const std::string& handle, std::unique_ptr<grpc::ClientContext> context = ContextInSpace()) {
    v2::RecallMessageRequest request;
    request.mutable_topic()->set_name("t");
    request.set_recall_handle(handle);
    v2::RecallMessageResponse response;
    EXPECT_TRUE(messaging_->RecallMessage(context.get(), request, &response).ok());
    return response;
  }
  static std::string HandleOf(const std::string& broker) {
    return Encode(broker::RecallHandle{
        TopicId(1), {FromUnixMillis(1'700'000'000'123), LogOffset(4711)}, "01C0FFEE", broker});
  }

  const TempDir directory_;
  ManualClock clock_;
  config::v1::RegistryConfig config_;
  std::unique_ptr<NameService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::RegistryService::Stub> registry_;
  std::unique_ptr<v2::MessagingService::Stub> messaging_;
  std::map<std::string, std::unique_ptr<Broker>> brokers_;
};

TEST_F(PassedOnTest, ARecallGoesToTheBrokerThatItsHandleNames) {
  Add("a");
  Add("b");
  for (const char* name : {"a", "b"}) {
    const v2::RecallMessageResponse response = Recall(HandleOf(name));
    EXPECT_EQ(response.status().code(), v2::OK) << response.status().message();
    EXPECT_EQ(response.message_id(), std::string(name) + " " + HandleOf(name));
    const std::map<std::string, std::string> headers = brokers_[name]->Headers();
    EXPECT_EQ(headers.at("x-mq-client-id"), "client");
    EXPECT_EQ(headers.at("x-mq-namespace"), "space");
    EXPECT_EQ(headers.at("x-dunlin-hops"), "1");
  }
}

TEST_F(PassedOnTest, WhatNamesNoBrokerGoesToTheOnlyOne) {
  Add("a");
  EXPECT_EQ(Recall(HandleOf("")).status().code(), v2::OK);
  v2::AckMessageRequest request;
  request.mutable_topic()->set_name("t");
  v2::AckMessageResponse response;
  EXPECT_TRUE(messaging_->AckMessage(ContextInSpace().get(), request, &response).ok());
  // The broker's own answer.
  EXPECT_EQ(response.status().code(), v2::INVALID_RECEIPT_HANDLE);
  Add("b");
  EXPECT_TRUE(messaging_->AckMessage(ContextInSpace().get(), request, &response).ok());
  EXPECT_EQ(response.status().code(), v2::NOT_IMPLEMENTED);
  EXPECT_THAT(response.status().message(), HasSubstr("several brokers (a, b)"));
  EXPECT_THAT(response.status().message(), HasSubstr("AckMessage"));
}

TEST_F(PassedOnTest, ALeaseAndAQueueNameTheirBrokerToo) {
  Add("a");
  Add("b");
  v2::AckMessageRequest acknowledge;
  acknowledge.mutable_topic()->set_name("t");
  acknowledge.add_entries()->set_receipt_handle(Encode(broker::ReceiptHandle{
      .lease_id = 7, .visible_at = FromUnixMillis(0), .broker = broker::MarkOf("b")}));
  v2::AckMessageResponse acknowledged;
  EXPECT_TRUE(messaging_->AckMessage(ContextInSpace().get(), acknowledge, &acknowledged).ok());
  EXPECT_EQ(acknowledged.status().code(), v2::INVALID_RECEIPT_HANDLE) << "the broker's own answer";
  EXPECT_FALSE(brokers_["b"]->Headers().empty());
  EXPECT_TRUE(brokers_["a"]->Headers().empty());

  v2::GetOffsetRequest ask;
  ask.mutable_message_queue()->mutable_topic()->set_name("t");
  ask.mutable_message_queue()->mutable_broker()->set_name("a");
  v2::GetOffsetResponse told;
  EXPECT_TRUE(messaging_->GetOffset(ContextInSpace().get(), ask, &told).ok());
  EXPECT_EQ(told.status().code(), v2::OK) << told.status().message();
  EXPECT_FALSE(brokers_["a"]->Headers().empty());
}

TEST_F(PassedOnTest, AStreamEndsAsItDoesAtTheBrokerAndThereWhenTheCallerHasGone) {
  Add("a");
  v2::ReceiveMessageRequest request;
  request.mutable_message_queue()->mutable_topic()->set_name("t");
  v2::ReceiveMessageResponse element;
  auto context = ContextInSpace();
  auto stream = messaging_->ReceiveMessage(context.get(), request);
  ASSERT_TRUE(stream->Read(&element));
  EXPECT_EQ(element.message().body(), "a");
  EXPECT_FALSE(stream->Read(&element));
  const grpc::Status broken = stream->Finish();
  EXPECT_EQ(broken.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(broken.error_message(), HasSubstr("broker a at 127.0.0.1:"));

  request.mutable_message_queue()->set_id(1);
  context = ContextInSpace();
  stream = messaging_->ReceiveMessage(context.get(), request);
  ASSERT_TRUE(stream->Read(&element));
  context->TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  brokers_["a"]->AwaitLeft();

  brokers_["a"]->StopServing();
  context = ContextInSpace();
  stream = messaging_->ReceiveMessage(context.get(), request);
  ASSERT_TRUE(stream->Read(&element));
  EXPECT_EQ(element.status().code(), v2::INTERNAL_SERVER_ERROR);
  EXPECT_TRUE(stream->Finish().ok());
  request.mutable_message_queue()->mutable_topic()->set_name("none");
  context = ContextInSpace();
  stream = messaging_->ReceiveMessage(context.get(), request);
  ASSERT_TRUE(stream->Read(&element));
  EXPECT_EQ(element.status().code(), v2::TOPIC_NOT_FOUND);
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(PassedOnTest, WhatCannotBePassedOnIsAnsweredAtOnce) {
  Add("a");
  EXPECT_EQ(Recall(HandleOf("gone")).status().code(), v2::HA_NOT_AVAILABLE);
  auto context = ContextInSpace();
  context->AddMetadata("x-dunlin-hops", "1");
  const v2::RecallMessageResponse again = Recall(HandleOf("a"), std::move(context));
  EXPECT_EQ(again.status().code(), v2::INTERNAL_SERVER_ERROR);
  EXPECT_THAT(again.status().message(), HasSubstr("passed on before"));
  brokers_["a"]->StopServing();
  const v2::RecallMessageResponse dead = Recall(HandleOf("a"));
  EXPECT_EQ(dead.status().code(), v2::INTERNAL_SERVER_ERROR);
  EXPECT_THAT(dead.status().message(), HasSubstr("broker a at 127.0.0.1:"));
  v2::RecallMessageRequest request;
  request.mutable_topic()->set_name("none");
  v2::RecallMessageResponse none;
  EXPECT_TRUE(messaging_->RecallMessage(ContextInSpace().get(), request, &none).ok());
  EXPECT_EQ(none.status().code(), v2::TOPIC_NOT_FOUND);
}

}  // namespace
}  // namespace dunlin::nameservice
