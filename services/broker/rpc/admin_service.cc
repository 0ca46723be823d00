#include "services/broker/rpc/admin_service.h"

#include <string>
#include <utility>

#include "absl/status/status.h"

namespace dunlin::broker {
namespace {

// The codes of both have the same numbers.
grpc::Status ToGrpc(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

}  // namespace

template <typename Command>
grpc::ServerUnaryReactor* AdminServiceImpl::Obey(Context* context, Command command) {
  Unary* reactor = context->DefaultReactor();
  const absl::Status accepted = executor_.Run(
      [reactor, command = std::move(command)]() mutable { reactor->Finish(ToGrpc(command())); });
  if (!accepted.ok()) reactor->Finish(ToGrpc(accepted));
  return reactor;
}

template <typename Response, typename Query>
grpc::ServerUnaryReactor* AdminServiceImpl::Answer(Context* context, Response* response,
                                                   Query query) {
  return Obey(context, [response, query = std::move(query)]() mutable -> absl::Status {
    absl::StatusOr<Response> result = query();
    if (!result.ok()) return result.status();
    *response = *std::move(result);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AdminServiceImpl::CreateTopic(
    Context* context, const admin::v1::CreateTopicRequest* request, admin::v1::Topic* response) {
  return Answer(context, response,
                [this, request] { return admin_.CreateTopic(request->topic()); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::UpdateTopic(
    Context* context, const admin::v1::UpdateTopicRequest* request, admin::v1::Topic* response) {
  return Answer(context, response,
                [this, request] { return admin_.UpdateTopic(request->topic()); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::GetTopic(Context* context,
                                                     const admin::v1::GetTopicRequest* request,
                                                     admin::v1::GetTopicResponse* response) {
  return Answer(context, response, [this, request] { return admin_.GetTopic(*request); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::ListTopics(Context* context,
                                                       const admin::v1::ListTopicsRequest* request,
                                                       admin::v1::ListTopicsResponse* response) {
  return Answer(context, response, [this, request] { return admin_.ListTopics(*request); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::DeleteTopic(
    Context* context, const admin::v1::DeleteTopicRequest* request,
    admin::v1::DeleteTopicResponse* /*response*/) {
  return Obey(context, [this, request] { return admin_.DeleteTopic(*request); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::CreateGroup(
    Context* context, const admin::v1::CreateGroupRequest* request, admin::v1::Group* response) {
  return Answer(context, response,
                [this, request] { return admin_.CreateGroup(request->group()); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::UpdateGroup(
    Context* context, const admin::v1::UpdateGroupRequest* request, admin::v1::Group* response) {
  return Answer(context, response,
                [this, request] { return admin_.UpdateGroup(request->group()); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::GetGroup(Context* context,
                                                     const admin::v1::GetGroupRequest* request,
                                                     admin::v1::GetGroupResponse* response) {
  return Answer(context, response, [this, request] { return admin_.GetGroup(*request); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::ListGroups(Context* context,
                                                       const admin::v1::ListGroupsRequest* request,
                                                       admin::v1::ListGroupsResponse* response) {
  return Answer(context, response, [this, request] { return admin_.ListGroups(*request); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::DeleteGroup(
    Context* context, const admin::v1::DeleteGroupRequest* request,
    admin::v1::DeleteGroupResponse* /*response*/) {
  return Obey(context, [this, request] { return admin_.DeleteGroup(*request); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::ResetOffset(
    Context* context, const admin::v1::ResetOffsetRequest* request,
    admin::v1::ResetOffsetResponse* response) {
  return Answer(context, response, [this, request] { return admin_.ResetOffset(*request); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::GetMessages(
    Context* context, const admin::v1::GetMessagesRequest* request,
    admin::v1::GetMessagesResponse* response) {
  return Answer(context, response, [this, request] { return admin_.GetMessages(*request); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::ListClients(
    Context* context, const admin::v1::ListClientsRequest* /*request*/,
    admin::v1::ListClientsResponse* response) {
  return Answer(context, response, [this]() -> absl::StatusOr<admin::v1::ListClientsResponse> {
    return admin_.ListClients();
  });
}

grpc::ServerUnaryReactor* AdminServiceImpl::GetBroker(
    Context* context, const admin::v1::GetBrokerRequest* /*request*/, admin::v1::Broker* response) {
  return Answer(context, response,
                [this]() -> absl::StatusOr<admin::v1::Broker> { return admin_.GetBroker(); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::Checkpoint(
    Context* context, const admin::v1::CheckpointRequest* /*request*/,
    admin::v1::CheckpointResponse* response) {
  return Answer(context, response, [this] { return admin_.Checkpoint(); });
}

}  // namespace dunlin::broker
