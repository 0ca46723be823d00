#include "services/nameservice/rpc/registry_service.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/status_macros.h"
#include "services/broker/rpc/buffers.h"

namespace dunlin::nameservice {
namespace {

// The codes of both have the same numbers.
grpc::Status ToGrpc(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

// Deletes itself when gRPC is done with it.
template <typename Request>
class Call final : public grpc::ServerUnaryReactor {
 public:
  absl::Status Read(const grpc::ByteBuffer& bytes) {
    RETURN_IF_ERROR(broker::CheckRequestSize(bytes));
    return broker::Parse(bytes, request_);
  }
  template <typename Command>
  void Obey(Command& obey, grpc::ByteBuffer& response) {
    const auto result = obey(std::as_const(request_));
    if (result.ok()) response = broker::Serialize(*result);
    Finish(ToGrpc(result.status()));
  }
  void OnDone() override { delete this; }

 private:
  Request request_;
};

}  // namespace

template <typename Request, typename Command>
grpc::ServerUnaryReactor* RegistryServiceImpl::Answer(const Bytes& request, Bytes& response,
                                                      Command obey) {
  auto* call = new Call<Request>();
  if (const absl::Status read = call->Read(request); !read.ok()) {
    call->Finish(ToGrpc(read));
  } else {
    call->Obey(obey, response);
  }
  return call;
}

template <typename Request, typename Command>
grpc::ServerUnaryReactor* RegistryServiceImpl::AnswerLater(const Bytes& request, Bytes& response,
                                                           Command obey) {
  auto* call = new Call<Request>();
  absl::Status status = call->Read(request);
  if (status.ok()) {
    status = executor_.Run(
        [call, &response, obey = std::move(obey)]() mutable { call->Obey(obey, response); });
  }
  if (!status.ok()) call->Finish(ToGrpc(status));
  return call;
}

grpc::ServerUnaryReactor* RegistryServiceImpl::Unregister(Context* /*context*/,
                                                          const Bytes* request, Bytes* response) {
  return Answer<v1::UnregisterRequest>(
      *request, *response,
      [this](const v1::UnregisterRequest& asked) -> absl::StatusOr<v1::UnregisterResponse> {
        RETURN_IF_ERROR(directory_.Unregister(asked.identity()));
        return v1::UnregisterResponse();
      });
}

grpc::ServerUnaryReactor* RegistryServiceImpl::ListClusters(Context* /*context*/,
                                                            const Bytes* request, Bytes* response) {
  return Answer<v1::ListClustersRequest>(
      *request, *response,
      [this](const v1::ListClustersRequest& /*asked*/) -> absl::StatusOr<v1::ListClustersResponse> {
        return directory_.ListClusters();
      });
}

grpc::ServerUnaryReactor* RegistryServiceImpl::ListBrokerGroups(Context* /*context*/,
                                                                const Bytes* request,
                                                                Bytes* response) {
  return Answer<v1::ListBrokerGroupsRequest>(
      *request, *response,
      [this](const v1::ListBrokerGroupsRequest& asked)
          -> absl::StatusOr<v1::ListBrokerGroupsResponse> { return directory_.ListGroups(asked); });
}

grpc::ServerUnaryReactor* RegistryServiceImpl::ListTopics(Context* /*context*/,
                                                          const Bytes* request, Bytes* response) {
  return Answer<v1::ListTopicsRequest>(
      *request, *response,
      [this](const v1::ListTopicsRequest& asked) -> absl::StatusOr<v1::ListTopicsResponse> {
        return directory_.ListTopics(asked);
      });
}

grpc::ServerUnaryReactor* RegistryServiceImpl::SetGroupWritable(Context* /*context*/,
                                                                const Bytes* request,
                                                                Bytes* response) {
  return AnswerLater<v1::SetGroupWritableRequest>(
      *request, *response,
      [this](const v1::SetGroupWritableRequest& asked)
          -> absl::StatusOr<v1::SetGroupWritableResponse> {
        // First the disk: what cannot be kept is not done. Nobody else saves names meanwhile, since
        // the executor does one thing at a time.
        ASSIGN_OR_RETURN(
            const RouteDirectory::Remembered then,
            directory_.PrepareSetGroupWritable(asked.broker_group(), asked.writable()));
        RETURN_IF_ERROR(saved_.SaveGroups({then.groups, then.read_only}));
        v1::SetGroupWritableResponse answer;
        ASSIGN_OR_RETURN(const uint32_t topics,
                         directory_.SetGroupWritable(asked.broker_group(), asked.writable()));
        answer.set_topics(topics);
        return answer;
      });
}

grpc::ServerUnaryReactor* RegistryServiceImpl::PutValue(Context* /*context*/, const Bytes* request,
                                                        Bytes* response) {
  return AnswerLater<v1::PutValueRequest>(
      *request, *response,
      [this](const v1::PutValueRequest& asked) -> absl::StatusOr<v1::PutValueResponse> {
        RETURN_IF_ERROR(saved_.Put(asked.name_space(), asked.key(), asked.value()));
        return v1::PutValueResponse();
      });
}

grpc::ServerUnaryReactor* RegistryServiceImpl::GetValue(Context* /*context*/, const Bytes* request,
                                                        Bytes* response) {
  return Answer<v1::GetValueRequest>(
      *request, *response,
      [this](const v1::GetValueRequest& asked) -> absl::StatusOr<v1::GetValueResponse> {
        v1::GetValueResponse answer;
        ASSIGN_OR_RETURN(*answer.mutable_value(), saved_.Get(asked.name_space(), asked.key()));
        return answer;
      });
}

grpc::ServerUnaryReactor* RegistryServiceImpl::DeleteValue(Context* /*context*/,
                                                           const Bytes* request, Bytes* response) {
  return AnswerLater<v1::DeleteValueRequest>(
      *request, *response,
      [this](const v1::DeleteValueRequest& asked) -> absl::StatusOr<v1::DeleteValueResponse> {
        RETURN_IF_ERROR(saved_.Delete(asked.name_space(), asked.key()));
        return v1::DeleteValueResponse();
      });
}

grpc::ServerUnaryReactor* RegistryServiceImpl::ListValues(Context* /*context*/,
                                                          const Bytes* request, Bytes* response) {
  return Answer<v1::ListValuesRequest>(
      *request, *response,
      [this](const v1::ListValuesRequest& asked) -> absl::StatusOr<v1::ListValuesResponse> {
        v1::ListValuesResponse answer;
        for (const auto& [key, value] : saved_.List(asked.name_space())) {
          (*answer.mutable_values())[key] = value;
        }
        return answer;
      });
}

}  // namespace dunlin::nameservice
