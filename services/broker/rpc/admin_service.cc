#include "services/broker/rpc/admin_service.h"

#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/status_macros.h"
#include "services/broker/rpc/admin_answers.h"
#include "services/broker/rpc/admin_needs.h"
#include "services/broker/rpc/buffers.h"
#include "services/broker/rpc/call_context.h"

namespace dunlin::broker {
namespace {

// The codes of both have the same numbers.
grpc::Status ToGrpc(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

// Deletes itself when gRPC is done with it.
template <typename Request>
class AdminCall final : public grpc::ServerUnaryReactor {
 public:
  Request& Message() { return request_; }
  void OnDone() override { delete this; }

 private:
  Request request_;
};

// Some commands depend on who gives them.
template <typename Command, typename Request>
auto Obey(Command& obey, const Request& request, const Caller& caller) {
  if constexpr (std::is_invocable_v<Command&, const Request&, const Caller&>) {
    return obey(request, caller);
  } else {
    return obey(request);
  }
}

// For an answer that says no more than that it went well.
template <typename Response, typename Then>
auto OrNothing(Then then) {
  return [then = std::move(then)](const absl::Status& status) mutable {
    then(status.ok() ? absl::StatusOr<Response>(Response()) : absl::StatusOr<Response>(status));
  };
}

}  // namespace

template <typename Request>
absl::Status AdminServiceImpl::Admit(const Caller& caller, const Bytes& request,
                                     Request& parsed) const {
  RETURN_IF_ERROR(caller.status);
  RETURN_IF_ERROR(CheckRequestSize(request));
  RETURN_IF_ERROR(Parse(request, parsed));
  for (const Need& need : NeedsOf(parsed)) RETURN_IF_ERROR(access_.Check(caller, need));
  return absl::OkStatus();
}

template <typename Request, typename Command>
grpc::ServerUnaryReactor* AdminServiceImpl::Answer(const Context& context, const Bytes& request,
                                                   Bytes& response, Command obey) {
  auto* call = new AdminCall<Request>();
  const Caller caller = ReadCaller(access_, context);
  absl::Status status = Admit(caller, request, call->Message());
  if (status.ok()) {
    status = executor_.Run(
        [this, call, caller, peer = context.peer(), &response, obey = std::move(obey)]() mutable {
          auto result = Obey(obey, std::as_const(call->Message()), caller);
          LogChange(call->Message(), caller, peer, result.status());
          if (result.ok()) {
            LeaveOutDenied(access_, caller, call->Message(), *result);
            response = Serialize(*result);
          }
          call->Finish(ToGrpc(result.status()));
        });
  }
  if (!status.ok()) call->Finish(ToGrpc(status));
  return call;
}

template <typename Request, typename Command>
grpc::ServerUnaryReactor* AdminServiceImpl::AnswerLater(const Context& context,
                                                        const Bytes& request, Bytes& response,
                                                        Command obey) {
  auto* call = new AdminCall<Request>();
  const Caller caller = ReadCaller(access_, context);
  const absl::Status status = Admit(caller, request, call->Message());
  if (!status.ok()) {
    call->Finish(ToGrpc(status));
    return call;
  }
  obey(call->Message(), [call, caller, peer = context.peer(), &response](const auto& result) {
    LogChange(call->Message(), caller, peer, result.status());
    if (result.ok()) response = Serialize(*result);
    call->Finish(ToGrpc(result.status()));
  });
  return call;
}

grpc::ServerUnaryReactor* AdminServiceImpl::CreateTopic(Context* context, const Bytes* request,
                                                        Bytes* response) {
  using Request = admin::v1::CreateTopicRequest;
  return Answer<Request>(*context, *request, *response, [this](const Request& asked) {
    return admin_.CreateTopic(asked.topic());
  });
}

grpc::ServerUnaryReactor* AdminServiceImpl::UpdateTopic(Context* context, const Bytes* request,
                                                        Bytes* response) {
  using Request = admin::v1::UpdateTopicRequest;
  return Answer<Request>(*context, *request, *response, [this](const Request& asked) {
    return admin_.UpdateTopic(asked.topic());
  });
}

grpc::ServerUnaryReactor* AdminServiceImpl::GetTopic(Context* context, const Bytes* request,
                                                     Bytes* response) {
  using Request = admin::v1::GetTopicRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked) { return admin_.GetTopic(asked); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::ListTopics(Context* context, const Bytes* request,
                                                       Bytes* response) {
  using Request = admin::v1::ListTopicsRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked, const Caller& caller) {
                           return admin_.ListTopics(asked, DeniedTopics(access_, caller));
                         });
}

grpc::ServerUnaryReactor* AdminServiceImpl::DeleteTopic(Context* context, const Bytes* request,
                                                        Bytes* response) {
  using Request = admin::v1::DeleteTopicRequest;
  return Answer<Request>(
      *context, *request, *response,
      [this](const Request& asked) -> absl::StatusOr<admin::v1::DeleteTopicResponse> {
        RETURN_IF_ERROR(admin_.DeleteTopic(asked));
        return admin::v1::DeleteTopicResponse();
      });
}

grpc::ServerUnaryReactor* AdminServiceImpl::CreateGroup(Context* context, const Bytes* request,
                                                        Bytes* response) {
  using Request = admin::v1::CreateGroupRequest;
  return Answer<Request>(*context, *request, *response, [this](const Request& asked) {
    return admin_.CreateGroup(asked.group());
  });
}

grpc::ServerUnaryReactor* AdminServiceImpl::UpdateGroup(Context* context, const Bytes* request,
                                                        Bytes* response) {
  using Request = admin::v1::UpdateGroupRequest;
  return Answer<Request>(*context, *request, *response, [this](const Request& asked) {
    return admin_.UpdateGroup(asked.group());
  });
}

grpc::ServerUnaryReactor* AdminServiceImpl::GetGroup(Context* context, const Bytes* request,
                                                     Bytes* response) {
  using Request = admin::v1::GetGroupRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked) { return admin_.GetGroup(asked); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::ListGroups(Context* context, const Bytes* request,
                                                       Bytes* response) {
  using Request = admin::v1::ListGroupsRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked, const Caller& caller) {
                           return admin_.ListGroups(asked, DeniedGroups(access_, caller));
                         });
}

grpc::ServerUnaryReactor* AdminServiceImpl::DeleteGroup(Context* context, const Bytes* request,
                                                        Bytes* response) {
  using Request = admin::v1::DeleteGroupRequest;
  return Answer<Request>(
      *context, *request, *response,
      [this](const Request& asked) -> absl::StatusOr<admin::v1::DeleteGroupResponse> {
        RETURN_IF_ERROR(admin_.DeleteGroup(asked));
        return admin::v1::DeleteGroupResponse();
      });
}

grpc::ServerUnaryReactor* AdminServiceImpl::ResetOffset(Context* context, const Bytes* request,
                                                        Bytes* response) {
  using Request = admin::v1::ResetOffsetRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked) { return admin_.offsets().Reset(asked); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::SkipMessages(Context* context, const Bytes* request,
                                                         Bytes* response) {
  using Request = admin::v1::SkipMessagesRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked) { return admin_.offsets().Skip(asked); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::CloneOffsets(Context* context, const Bytes* request,
                                                         Bytes* response) {
  using Request = admin::v1::CloneOffsetsRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked) { return admin_.offsets().Clone(asked); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::ListDeadLetters(Context* context, const Bytes* request,
                                                            Bytes* response) {
  using Request = admin::v1::ListDeadLettersRequest;
  return Answer<Request>(*context, *request, *response, [this](const Request& asked) {
    return admin_.dead_letters().List(asked);
  });
}

grpc::ServerUnaryReactor* AdminServiceImpl::GetDeadLetters(Context* context, const Bytes* request,
                                                           Bytes* response) {
  using Request = admin::v1::GetDeadLettersRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked) { return admin_.dead_letters().Get(asked); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::ResendDeadLetters(Context* context,
                                                              const Bytes* request,
                                                              Bytes* response) {
  using Request = admin::v1::ResendDeadLettersRequest;
  return Answer<Request>(*context, *request, *response, [this](const Request& asked) {
    return admin_.dead_letters().Resend(asked);
  });
}

grpc::ServerUnaryReactor* AdminServiceImpl::PurgeDeadLetters(Context* context, const Bytes* request,
                                                             Bytes* response) {
  using Request = admin::v1::PurgeDeadLettersRequest;
  return Answer<Request>(*context, *request, *response, [this](const Request& asked) {
    return admin_.dead_letters().Purge(asked);
  });
}

grpc::ServerUnaryReactor* AdminServiceImpl::ListLiteTopics(Context* context, const Bytes* request,
                                                           Bytes* response) {
  using Request = admin::v1::ListLiteTopicsRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked) { return admin_.ListLiteTopics(asked); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::GetLiteTopic(Context* context, const Bytes* request,
                                                         Bytes* response) {
  using Request = admin::v1::GetLiteTopicRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked) { return admin_.GetLiteTopic(asked); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::GetMessages(Context* context, const Bytes* request,
                                                        Bytes* response) {
  using Request = admin::v1::GetMessagesRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked) { return admin_.GetMessages(asked); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::TraceMessages(Context* context, const Bytes* request,
                                                          Bytes* response) {
  using Request = admin::v1::GetMessagesRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked) { return admin_.TraceMessages(asked); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::ListTransactions(Context* context, const Bytes* request,
                                                             Bytes* response) {
  using Request = admin::v1::ListTransactionsRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked) { return transactions_.List(asked); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::GetTransaction(Context* context, const Bytes* request,
                                                           Bytes* response) {
  using Request = admin::v1::GetTransactionRequest;
  return AnswerLater<Request>(
      *context, *request, *response,
      [this](const Request& asked, auto then) { transactions_.Get(asked, std::move(then)); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::ResolveTransaction(Context* context,
                                                               const Bytes* request,
                                                               Bytes* response) {
  using Request = admin::v1::ResolveTransactionRequest;
  return AnswerLater<Request>(
      *context, *request, *response, [this](const Request& asked, auto then) {
        transactions_.Resolve(asked,
                              OrNothing<admin::v1::ResolveTransactionResponse>(std::move(then)));
      });
}

grpc::ServerUnaryReactor* AdminServiceImpl::RecheckTransaction(Context* context,
                                                               const Bytes* request,
                                                               Bytes* response) {
  using Request = admin::v1::RecheckTransactionRequest;
  return AnswerLater<Request>(
      *context, *request, *response, [this](const Request& asked, auto then) {
        transactions_.Recheck(asked,
                              OrNothing<admin::v1::RecheckTransactionResponse>(std::move(then)));
      });
}

grpc::ServerUnaryReactor* AdminServiceImpl::ListClients(Context* context, const Bytes* request,
                                                        Bytes* response) {
  using Request = admin::v1::ListClientsRequest;
  return Answer<Request>(*context, *request, *response, [this](const Request& /*asked*/) {
    return absl::StatusOr<admin::v1::ListClientsResponse>(admin_.ListClients());
  });
}

grpc::ServerUnaryReactor* AdminServiceImpl::GetBroker(Context* context, const Bytes* request,
                                                      Bytes* response) {
  using Request = admin::v1::GetBrokerRequest;
  return Answer<Request>(*context, *request, *response, [this](const Request& /*asked*/) {
    return absl::StatusOr<admin::v1::Broker>(admin_.GetBroker());
  });
}

grpc::ServerUnaryReactor* AdminServiceImpl::Checkpoint(Context* context, const Bytes* request,
                                                       Bytes* response) {
  using Request = admin::v1::CheckpointRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& /*asked*/) { return admin_.Checkpoint(); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::CreateUser(Context* context, const Bytes* request,
                                                       Bytes* response) {
  using Request = admin::v1::CreateUserRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked) { return users_.Create(asked); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::UpdateUser(Context* context, const Bytes* request,
                                                       Bytes* response) {
  using Request = admin::v1::UpdateUserRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked) { return users_.Update(asked); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::GetUser(Context* context, const Bytes* request,
                                                    Bytes* response) {
  using Request = admin::v1::GetUserRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked) { return users_.Get(asked); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::ListUsers(Context* context, const Bytes* request,
                                                      Bytes* response) {
  using Request = admin::v1::ListUsersRequest;
  return Answer<Request>(*context, *request, *response,
                         [this](const Request& asked) { return users_.List(asked); });
}

grpc::ServerUnaryReactor* AdminServiceImpl::DeleteUser(Context* context, const Bytes* request,
                                                       Bytes* response) {
  using Request = admin::v1::DeleteUserRequest;
  return Answer<Request>(
      *context, *request, *response,
      [this](const Request& asked) -> absl::StatusOr<admin::v1::DeleteUserResponse> {
        RETURN_IF_ERROR(users_.Delete(asked));
        return admin::v1::DeleteUserResponse();
      });
}

}  // namespace dunlin::broker
