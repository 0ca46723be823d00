// LiteTest: a server with a topic of lightweight topics, `sessions`, and a group for it, `agents`.

#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"

namespace dunlin::broker {

class LiteTest : public MessagingServiceTest {
 protected:
  LiteTest() {
    CreateTopic("sessions", 10);
    CreateGroup("agents", "sessions", admin::v1::LITE_SHARED);
  }

  std::unique_ptr<admin::v1::AdminService::Stub> Admin() {
    return admin::v1::AdminService::NewStub(server_->InProcessChannel({}));
  }
  template <typename Request, typename Response>
  grpc::Status AskAdmin(grpc::Status (admin::v1::AdminService::Stub::*method)(grpc::ClientContext*,
                                                                              const Request&,
                                                                              Response*),
                        const Request& request, Response& response) {
    grpc::ClientContext context;
    const auto stub = Admin();
    return (stub.get()->*method)(&context, request, &response);
  }

  void CreateTopic(const std::string& name, uint32_t expiration_minutes) {
    admin::v1::CreateTopicRequest request;
    request.mutable_topic()->set_name(name);
    request.mutable_topic()->add_kinds(admin::v1::LITE);
    request.mutable_topic()->set_lite_expiration_minutes(expiration_minutes);
    admin::v1::Topic topic;
    EXPECT_TRUE(AskAdmin(&admin::v1::AdminService::Stub::CreateTopic, request, topic).ok());
    EXPECT_EQ(topic.lite_expiration_minutes(), expiration_minutes);
    EXPECT_EQ(topic.queues(), 1u);
  }
  grpc::Status CreateGroup(const std::string& name, const std::string& topic,
                           admin::v1::LiteModel model) {
    admin::v1::CreateGroupRequest request;
    request.mutable_group()->set_name(name);
    request.mutable_group()->set_lite_bind_topic(topic);
    request.mutable_group()->set_lite_model(model);
    admin::v1::Group group;
    return AskAdmin(&admin::v1::AdminService::Stub::CreateGroup, request, group);
  }
  admin::v1::LiteTopic Describe(const std::string& name, grpc::Status* status = nullptr) {
    admin::v1::GetLiteTopicRequest request;
    request.set_topic("sessions");
    request.set_lite_topic(name);
    admin::v1::LiteTopic topic;
    const grpc::Status asked =
        AskAdmin(&admin::v1::AdminService::Stub::GetLiteTopic, request, topic);
    if (status != nullptr) *status = asked;
    return topic;
  }
  bool Exists(const std::string& name) {
    grpc::Status status;
    Describe(name, &status);
    return status.ok();
  }

  static v2::Message* AddLite(v2::SendMessageRequest& request, const std::string& lite_topic,
                              const std::string& body, const std::string& topic = "sessions") {
    v2::Message* message = AddMessage(request, topic, body);
    message->mutable_system_properties()->set_message_type(v2::LITE);
    message->mutable_system_properties()->set_lite_topic(lite_topic);
    return message;
  }
  v2::SendMessageResponse SendLite(const std::string& lite_topic,
                                   const std::vector<std::string>& bodies) {
    v2::SendMessageRequest request;
    for (const std::string& body : bodies) AddLite(request, lite_topic, body);
    return Call(&v2::MessagingService::Stub::SendMessage, request);
  }

  v2::Status Sync(v2::LiteSubscriptionAction action, const std::vector<std::string>& names,
                  const std::string& client = "client", const std::string& group = "agents",
                  const std::function<void(v2::SyncLiteSubscriptionRequest&)>& change = {}) {
    v2::SyncLiteSubscriptionRequest request;
    request.set_action(action);
    request.mutable_topic()->set_name("sessions");
    request.mutable_group()->set_name(group);
    for (const std::string& name : names) request.add_lite_topic_set(name);
    if (change) change(request);
    return Call(&v2::MessagingService::Stub::SyncLiteSubscription, request, client).status();
  }

  std::vector<v2::Message> Take(const std::string& client = "client", int batch = 32,
                                int wait_seconds = 5, const std::string& group = "agents") {
    v2::ReceiveMessageRequest request = ReceiveRequest("sessions", group);
    request.clear_filter_expression();  // as the SDKs for Go and Java
    request.set_batch_size(batch);
    request.mutable_long_polling_timeout()->set_seconds(wait_seconds);
    return Receive(request, client).messages;
  }
  std::vector<v2::Message> TakeNothing(const std::string& client = "client",
                                       const std::string& group = "agents") {
    return Take(client, 32, 0, group);
  }
  // Until so many have come, acknowledging each batch.
  std::vector<std::string> Drain(size_t count, const std::string& client = "client") {
    std::vector<std::string> bodies;
    while (bodies.size() < count) {
      const std::vector<v2::Message> messages = Take(client);
      if (messages.empty()) break;
      for (const v2::Message& message : messages) bodies.push_back(message.body());
      AckAll(messages);
    }
    return bodies;
  }
  // The message becomes a dead letter of `agents`.
  void Bury(const std::string& lite_topic, const v2::Message& message) {
    v2::ForwardMessageToDeadLetterQueueRequest request;
    request.mutable_topic()->set_name("sessions");
    request.mutable_group()->set_name("agents");
    request.set_receipt_handle(Handle(message));
    request.set_lite_topic(lite_topic);
    EXPECT_EQ(
        Call(&v2::MessagingService::Stub::ForwardMessageToDeadLetterQueue, request).status().code(),
        v2::OK);
  }
  // True once it was there to be sent.
  bool ResendFirstLetter() {
    admin::v1::ResendDeadLettersRequest request;
    request.set_group("agents");
    request.set_offset(0);
    admin::v1::ResendDeadLettersResponse response;
    return AskAdmin(&admin::v1::AdminService::Stub::ResendDeadLetters, request, response).ok() &&
           response.resent() == 1;
  }
  void AckAll(const std::vector<v2::Message>& messages) {
    std::vector<std::string> handles;
    for (const v2::Message& message : messages) handles.push_back(Handle(message));
    EXPECT_EQ(Ack("sessions", "agents", handles).status().code(), v2::OK);
  }
  static std::vector<std::string> Bodies(const std::vector<v2::Message>& messages) {
    std::vector<std::string> bodies;
    for (const v2::Message& message : messages) bodies.push_back(message.body());
    return bodies;
  }
  // Things that a thread of the broker does at intervals.
  static bool Eventually(const std::function<bool()>& condition) {
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > patience) return false;
      std::this_thread::yield();
    }
    return true;
  }
};

}  // namespace dunlin::broker
