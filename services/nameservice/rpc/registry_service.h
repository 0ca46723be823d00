// RegistryServiceImpl: dunlin.nameservice.v1.RegistryService. Adapters only; what waits for the
// disk runs on the executor.

#pragma once

#include <grpcpp/grpcpp.h>

#include "proto/dunlin/nameservice/v1/registry.grpc.pb.h"
#include "services/broker/rpc/open_streams.h"
#include "services/nameservice/rpc/register_call.h"
#include "services/nameservice/rpc/route_directory.h"
#include "services/nameservice/values/saved_state.h"
#include "services/runtime/executor.h"

namespace dunlin::nameservice {

namespace internal {

using RegistryV1 = v1::RegistryService;
using RegistryRaw = RegistryV1::WithRawCallbackMethod_SetGroupWritable<
    RegistryV1::WithRawCallbackMethod_ListTopics<RegistryV1::WithRawCallbackMethod_ListBrokerGroups<
        RegistryV1::WithRawCallbackMethod_ListClusters<RegistryV1::WithRawCallbackMethod_Unregister<
            RegistryV1::WithRawCallbackMethod_Register<RegistryV1::Service>>>>>>;
using RegistryMethods = RegistryV1::WithRawCallbackMethod_ListValues<
    RegistryV1::WithRawCallbackMethod_DeleteValue<RegistryV1::WithRawCallbackMethod_GetValue<
        RegistryV1::WithRawCallbackMethod_PutValue<RegistryRaw>>>>;

}  // namespace internal

class RegistryServiceImpl final : public internal::RegistryMethods {
 public:
  // All must outlive the server this is registered with.
  RegistryServiceImpl(RouteDirectory& directory, SavedState& saved, Executor& executor,
                      const RegisterCall::Terms& terms)
      : directory_(directory), saved_(saved), executor_(executor), terms_(terms) {}

  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;
  using Unary = grpc::ServerUnaryReactor;

  grpc::ServerBidiReactor<Bytes, Bytes>* Register(Context* /*context*/) override {
    return RegisterCall::Start(directory_, open_, terms_);
  }
  Unary* Unregister(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ListClusters(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ListBrokerGroups(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ListTopics(Context* context, const Bytes* request, Bytes* response) override;
  Unary* SetGroupWritable(Context* context, const Bytes* request, Bytes* response) override;
  Unary* PutValue(Context* context, const Bytes* request, Bytes* response) override;
  Unary* GetValue(Context* context, const Bytes* request, Bytes* response) override;
  Unary* DeleteValue(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ListValues(Context* context, const Bytes* request, Bytes* response) override;

  // Ends the sessions that are open, and those that come.
  void Stop() { open_.Stop(); }

 private:
  // Answers with what `obey` makes of a const Request&: a StatusOr of the response. At once, or on
  // the executor.
  template <typename Request, typename Command>
  Unary* Answer(const Bytes& request, Bytes& response, Command obey);
  template <typename Request, typename Command>
  Unary* AnswerLater(const Bytes& request, Bytes& response, Command obey);

  RouteDirectory& directory_;
  SavedState& saved_;
  Executor& executor_;
  const RegisterCall::Terms terms_;
  broker::OpenStreams open_;
};

}  // namespace dunlin::nameservice
