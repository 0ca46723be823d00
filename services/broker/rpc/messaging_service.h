// MessagingServiceImpl: apache.rocketmq.v2.MessagingService over the broker's rooms. Adapters only:
// each call is a function or a small class of its own in this folder; no rules live here.
//
// All methods are raw: calls that carry messages (bytes in, slices of the log out), and the others
// so that they are parsed only once their size was checked. Nothing here blocks.

#pragma once

#include <grpcpp/grpcpp.h>

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "services/broker/rpc/service_context.h"

namespace dunlin::broker {

namespace internal {

using V2 = apache::rocketmq::v2::MessagingService;
using Raw1 = V2::WithRawCallbackMethod_AckMessage<V2::WithRawCallbackMethod_ReceiveMessage<
    V2::WithRawCallbackMethod_QueryAssignment<V2::WithRawCallbackMethod_SendMessage<
        V2::WithRawCallbackMethod_Heartbeat<V2::WithRawCallbackMethod_QueryRoute<V2::Service>>>>>>;
using Raw2 = V2::WithRawCallbackMethod_EndTransaction<
    V2::WithRawCallbackMethod_QueryOffset<V2::WithRawCallbackMethod_GetOffset<
        V2::WithRawCallbackMethod_UpdateOffset<V2::WithRawCallbackMethod_PullMessage<
            V2::WithRawCallbackMethod_ForwardMessageToDeadLetterQueue<Raw1>>>>>>;
using Methods = V2::WithRawCallbackMethod_SyncLiteSubscription<
    V2::WithRawCallbackMethod_RecallMessage<V2::WithRawCallbackMethod_ChangeInvisibleDuration<
        V2::WithRawCallbackMethod_NotifyClientTermination<
            V2::WithRawCallbackMethod_Telemetry<Raw2>>>>>;

}  // namespace internal

class MessagingServiceImpl : public internal::Methods {
 public:
  // `services` must outlive the server this is registered with.
  explicit MessagingServiceImpl(ServiceContext& services) : services_(services) {}

  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;
  using Unary = grpc::ServerUnaryReactor;

  Unary* QueryRoute(Context* context, const Bytes* request, Bytes* response) override;
  Unary* Heartbeat(Context* context, const Bytes* request, Bytes* response) override;
  Unary* SendMessage(Context* context, const Bytes* request, Bytes* response) override;
  Unary* QueryAssignment(Context* context, const Bytes* request, Bytes* response) override;
  grpc::ServerWriteReactor<Bytes>* ReceiveMessage(Context* context, const Bytes* request) override;
  Unary* AckMessage(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ForwardMessageToDeadLetterQueue(Context* context, const Bytes* request,
                                         Bytes* response) override;
  grpc::ServerWriteReactor<Bytes>* PullMessage(Context* context, const Bytes* request) override;
  Unary* UpdateOffset(Context* context, const Bytes* request, Bytes* response) override;
  Unary* GetOffset(Context* context, const Bytes* request, Bytes* response) override;
  Unary* QueryOffset(Context* context, const Bytes* request, Bytes* response) override;
  Unary* EndTransaction(Context* context, const Bytes* request, Bytes* response) override;
  grpc::ServerBidiReactor<Bytes, Bytes>* Telemetry(Context* context) override;
  Unary* NotifyClientTermination(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ChangeInvisibleDuration(Context* context, const Bytes* request, Bytes* response) override;
  Unary* RecallMessage(Context* context, const Bytes* request, Bytes* response) override;
  Unary* SyncLiteSubscription(Context* context, const Bytes* request, Bytes* response) override;

 private:
  ServiceContext& services_;
};

}  // namespace dunlin::broker
