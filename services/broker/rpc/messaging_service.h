// MessagingServiceImpl: apache.rocketmq.v2.MessagingService over the broker's rooms. Adapters only:
// each call is a function or a small class of its own in this folder; no rules live here.
//
// Calls that carry messages are raw (bytes in, slices of the log out); the others are parsed by
// gRPC. Nothing here blocks.

#pragma once

#include <grpcpp/grpcpp.h>

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "services/broker/rpc/service_context.h"

namespace dunlin::broker {

namespace internal {

// Which methods get parsed messages, and which get bytes.
using V2 = apache::rocketmq::v2::MessagingService;
using Parsed1 = V2::WithCallbackMethod_QueryRoute<
    V2::WithCallbackMethod_Heartbeat<V2::WithCallbackMethod_QueryAssignment<
        V2::WithCallbackMethod_AckMessage<V2::WithCallbackMethod_ForwardMessageToDeadLetterQueue<
            V2::WithCallbackMethod_UpdateOffset<V2::Service>>>>>>;
using Parsed2 = V2::WithCallbackMethod_GetOffset<
    V2::WithCallbackMethod_QueryOffset<V2::WithCallbackMethod_EndTransaction<
        V2::WithCallbackMethod_Telemetry<V2::WithCallbackMethod_NotifyClientTermination<
            V2::WithCallbackMethod_ChangeInvisibleDuration<Parsed1>>>>>>;
using Parsed3 =
    V2::WithCallbackMethod_RecallMessage<V2::WithCallbackMethod_SyncLiteSubscription<Parsed2>>;
using Methods = V2::WithRawCallbackMethod_SendMessage<
    V2::WithRawCallbackMethod_ReceiveMessage<V2::WithRawCallbackMethod_PullMessage<Parsed3>>>;

}  // namespace internal

class MessagingServiceImpl final : public internal::Methods {
 public:
  // `services` must outlive the server this is registered with.
  explicit MessagingServiceImpl(ServiceContext& services) : services_(services) {}

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;

  Unary* QueryRoute(Context* context, const apache::rocketmq::v2::QueryRouteRequest* request,
                    apache::rocketmq::v2::QueryRouteResponse* response) override;
  Unary* Heartbeat(Context* context, const apache::rocketmq::v2::HeartbeatRequest* request,
                   apache::rocketmq::v2::HeartbeatResponse* response) override;
  Unary* SendMessage(Context* context, const grpc::ByteBuffer* request,
                     grpc::ByteBuffer* response) override;
  Unary* QueryAssignment(Context* context,
                         const apache::rocketmq::v2::QueryAssignmentRequest* request,
                         apache::rocketmq::v2::QueryAssignmentResponse* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* ReceiveMessage(
      Context* context, const grpc::ByteBuffer* request) override;
  Unary* AckMessage(Context* context, const apache::rocketmq::v2::AckMessageRequest* request,
                    apache::rocketmq::v2::AckMessageResponse* response) override;
  Unary* ForwardMessageToDeadLetterQueue(
      Context* context, const apache::rocketmq::v2::ForwardMessageToDeadLetterQueueRequest* request,
      apache::rocketmq::v2::ForwardMessageToDeadLetterQueueResponse* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* PullMessage(Context* context,
                                                          const grpc::ByteBuffer* request) override;
  Unary* UpdateOffset(Context* context, const apache::rocketmq::v2::UpdateOffsetRequest* request,
                      apache::rocketmq::v2::UpdateOffsetResponse* response) override;
  Unary* GetOffset(Context* context, const apache::rocketmq::v2::GetOffsetRequest* request,
                   apache::rocketmq::v2::GetOffsetResponse* response) override;
  Unary* QueryOffset(Context* context, const apache::rocketmq::v2::QueryOffsetRequest* request,
                     apache::rocketmq::v2::QueryOffsetResponse* response) override;
  Unary* EndTransaction(Context* context,
                        const apache::rocketmq::v2::EndTransactionRequest* request,
                        apache::rocketmq::v2::EndTransactionResponse* response) override;
  grpc::ServerBidiReactor<apache::rocketmq::v2::TelemetryCommand,
                          apache::rocketmq::v2::TelemetryCommand>*
  Telemetry(Context* context) override;
  Unary* NotifyClientTermination(
      Context* context, const apache::rocketmq::v2::NotifyClientTerminationRequest* request,
      apache::rocketmq::v2::NotifyClientTerminationResponse* response) override;
  Unary* ChangeInvisibleDuration(
      Context* context, const apache::rocketmq::v2::ChangeInvisibleDurationRequest* request,
      apache::rocketmq::v2::ChangeInvisibleDurationResponse* response) override;
  Unary* RecallMessage(Context* context, const apache::rocketmq::v2::RecallMessageRequest* request,
                       apache::rocketmq::v2::RecallMessageResponse* response) override;
  Unary* SyncLiteSubscription(
      Context* context, const apache::rocketmq::v2::SyncLiteSubscriptionRequest* request,
      apache::rocketmq::v2::SyncLiteSubscriptionResponse* response) override;

 private:
  ServiceContext& services_;
};

}  // namespace dunlin::broker
