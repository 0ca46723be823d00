// AdminServiceImpl: dunlin.admin.v1.AdminService over Admin. Every call runs on the executor, since
// it may wait for the log or read from disk.

#pragma once

#include <grpcpp/grpcpp.h>

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/broker/admin/admin.h"
#include "services/runtime/executor.h"

namespace dunlin::broker {

class AdminServiceImpl final : public admin::v1::AdminService::CallbackService {
 public:
  // Both must outlive the server this is registered with.
  AdminServiceImpl(Admin& admin, Executor& executor) : admin_(admin), executor_(executor) {}

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;

  Unary* CreateTopic(Context* context, const admin::v1::CreateTopicRequest* request,
                     admin::v1::Topic* response) override;
  Unary* UpdateTopic(Context* context, const admin::v1::UpdateTopicRequest* request,
                     admin::v1::Topic* response) override;
  Unary* GetTopic(Context* context, const admin::v1::GetTopicRequest* request,
                  admin::v1::GetTopicResponse* response) override;
  Unary* ListTopics(Context* context, const admin::v1::ListTopicsRequest* request,
                    admin::v1::ListTopicsResponse* response) override;
  Unary* DeleteTopic(Context* context, const admin::v1::DeleteTopicRequest* request,
                     admin::v1::DeleteTopicResponse* response) override;
  Unary* CreateGroup(Context* context, const admin::v1::CreateGroupRequest* request,
                     admin::v1::Group* response) override;
  Unary* UpdateGroup(Context* context, const admin::v1::UpdateGroupRequest* request,
                     admin::v1::Group* response) override;
  Unary* GetGroup(Context* context, const admin::v1::GetGroupRequest* request,
                  admin::v1::GetGroupResponse* response) override;
  Unary* ListGroups(Context* context, const admin::v1::ListGroupsRequest* request,
                    admin::v1::ListGroupsResponse* response) override;
  Unary* DeleteGroup(Context* context, const admin::v1::DeleteGroupRequest* request,
                     admin::v1::DeleteGroupResponse* response) override;
  Unary* ResetOffset(Context* context, const admin::v1::ResetOffsetRequest* request,
                     admin::v1::ResetOffsetResponse* response) override;
  Unary* GetMessages(Context* context, const admin::v1::GetMessagesRequest* request,
                     admin::v1::GetMessagesResponse* response) override;
  Unary* ListClients(Context* context, const admin::v1::ListClientsRequest* request,
                     admin::v1::ListClientsResponse* response) override;
  Unary* GetBroker(Context* context, const admin::v1::GetBrokerRequest* request,
                   admin::v1::Broker* response) override;
  Unary* Checkpoint(Context* context, const admin::v1::CheckpointRequest* request,
                    admin::v1::CheckpointResponse* response) override;

 private:
  // Answers with what `query` returns: a StatusOr of the response.
  template <typename Response, typename Query>
  Unary* Answer(Context* context, Response* response, Query query);
  // Answers with a status alone.
  template <typename Command>
  Unary* Obey(Context* context, Command command);

  Admin& admin_;
  Executor& executor_;
};

}  // namespace dunlin::broker
