// GroupsTest: the public API and the streams, with groups that tests make and change over the admin
// API.

#pragma once

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/broker/rpc/testing/messaging_service_fixture.h"
#include "services/broker/rpc/testing/stream_clients.h"

namespace dunlin::broker {

class GroupsTest : public MessagingServiceTest {
 protected:
  using Admin = admin::v1::AdminService::Stub;

  GroupsTest() { Connect(); }
  void Connect() {
    admin_ = admin::v1::AdminService::NewStub(server_->InProcessChannel({}));
    streams_ = v1::StreamService::NewStub(server_->InProcessChannel({}));
  }
  void Restart() {
    StopAll();
    Start();
    Connect();
  }

  template <typename Request, typename Response>
  Response Do(grpc::Status (Admin::*method)(grpc::ClientContext*, const Request&, Response*),
              const Request& request) {
    Response response;
    grpc::ClientContext context;
    const grpc::Status status = (admin_.get()->*method)(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  template <typename Request, typename Response>
  std::string Refusal(grpc::Status (Admin::*method)(grpc::ClientContext*, const Request&,
                                                    Response*),
                      const Request& request) {
    Response response;
    grpc::ClientContext context;
    return (admin_.get()->*method)(&context, request, &response).error_message();
  }

  static admin::v1::Group Named(const std::string& name) {
    admin::v1::Group group;
    group.set_name(name);
    return group;
  }
  void Create(const admin::v1::Group& group) {
    admin::v1::CreateGroupRequest request;
    *request.mutable_group() = group;
    Do(&Admin::CreateGroup, request);
  }
  admin::v1::Group Update(const admin::v1::Group& group) {
    admin::v1::UpdateGroupRequest request;
    *request.mutable_group() = group;
    return Do(&Admin::UpdateGroup, request);
  }
  void Pause(const std::string& name, bool paused) {
    admin::v1::Group group = Named(name);
    group.set_paused(paused);
    Update(group);
  }
  void CreateTopic(const std::string& name, uint32_t queues, uint64_t rate = 0) {
    admin::v1::CreateTopicRequest request;
    request.mutable_topic()->set_name(name);
    request.mutable_topic()->set_queues(queues);
    if (rate > 0) request.mutable_topic()->mutable_send_rate()->set_messages_per_second(rate);
    Do(&Admin::CreateTopic, request);
  }

  std::vector<std::string> BodiesOf(const std::string& topic, const std::string& group) {
    std::vector<std::string> bodies;
    for (const v2::Message& message : Receive(topic, group).messages) {
      bodies.push_back(message.body());
    }
    return bodies;
  }
  // What came of a receive that waits.
  std::future<std::vector<v2::Message>> Wait(const std::string& topic, const std::string& group) {
    return std::async(std::launch::async, [=, this] { return ReceiveSome(topic, group); });
  }
  void AwaitWaiting(int64_t polls) {
    while (Do(&Admin::GetBroker, admin::v1::GetBrokerRequest()).waiting_polls() != polls) {
    }
  }

  // By offset, from queue 0 of topic t; waits for messages for `patience`.
  std::vector<std::string> Pull(const std::string& group, int64_t offset,
                                std::chrono::seconds patience = std::chrono::seconds(0)) {
    v2::PullMessageRequest request;
    request.mutable_group()->set_name(group);
    request.mutable_message_queue()->mutable_topic()->set_name("t");
    request.set_offset(offset);
    request.set_batch_size(32);
    request.mutable_long_polling_timeout()->set_seconds(patience.count());
    const auto context = Context();
    const auto stream = stub_->PullMessage(context.get(), request);
    std::vector<std::string> bodies;
    for (v2::PullMessageResponse element; stream->Read(&element);) {
      if (element.has_message()) bodies.push_back(element.message().body());
    }
    EXPECT_TRUE(stream->Finish().ok());
    return bodies;
  }

  Received ReceiveWith(const std::string& tag, const std::string& client) {
    v2::ReceiveMessageRequest request = ReceiveRequest("t", "g");
    request.mutable_filter_expression()->set_expression(tag);
    return Receive(request, client);
  }

  std::unique_ptr<Admin> admin_;
  std::unique_ptr<v1::StreamService::Stub> streams_;
};

}  // namespace dunlin::broker
