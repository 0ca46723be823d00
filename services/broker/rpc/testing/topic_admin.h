// TopicAdmin: makes, changes and deletes topics of a server under test, over its admin API.

#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"

namespace dunlin::broker {

class TopicAdmin {
 public:
  explicit TopicAdmin(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(admin::v1::AdminService::NewStub(channel)) {}

  static admin::v1::Topic Topic(const std::string& name, uint32_t queues) {
    admin::v1::Topic topic;
    topic.set_name(name);
    topic.set_queues(queues);
    return topic;
  }

  void Create(const admin::v1::Topic& topic) {
    admin::v1::CreateTopicRequest request;
    *request.mutable_topic() = topic;
    Call(&Stub::CreateTopic, request);
  }
  void Update(const admin::v1::Topic& topic) {
    admin::v1::UpdateTopicRequest request;
    *request.mutable_topic() = topic;
    Call(&Stub::UpdateTopic, request);
  }
  void Delete(const std::string& name) {
    admin::v1::DeleteTopicRequest request;
    request.set_name(name);
    Call(&Stub::DeleteTopic, request);
  }
  // Polls and bindings that wait for messages.
  uint64_t Waiting() {
    return Call(&Stub::GetBroker, admin::v1::GetBrokerRequest()).waiting_polls();
  }

 private:
  using Stub = admin::v1::AdminService::Stub;

  template <typename Request, typename Response>
  Response Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                const Request& request) {
    grpc::ClientContext context;
    Response response;
    const grpc::Status status = (stub_.get()->*method)(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  const std::unique_ptr<Stub> stub_;
};

}  // namespace dunlin::broker
