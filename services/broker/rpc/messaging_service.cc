#include "services/broker/rpc/messaging_service.h"

#include <memory>
#include <utility>

#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/client_calls.h"
#include "services/broker/rpc/lease_calls.h"
#include "services/broker/rpc/offset_calls.h"
#include "services/broker/rpc/pull_call.h"
#include "services/broker/rpc/receive_call.h"
#include "services/broker/rpc/resources.h"
#include "services/broker/rpc/route_calls.h"
#include "services/broker/rpc/send_call.h"
#include "services/broker/rpc/status_map.h"
#include "services/broker/rpc/telemetry_call.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

// Answers now, with gRPC status OK: the verdict is in the response.
grpc::ServerUnaryReactor* Done(grpc::CallbackServerContext* context) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

template <typename Response>
grpc::ServerUnaryReactor* Done(grpc::CallbackServerContext* context, const absl::Status& status,
                               Response* response) {
  *response->mutable_status() = ToWire(status);
  return Done(context);
}

template <typename Response>
grpc::ServerUnaryReactor* NotServed(grpc::CallbackServerContext* context, const char* what,
                                    Response* response) {
  return Done(context, PublicError(PublicCode::kNotImplemented, what), response);
}

}  // namespace

grpc::ServerUnaryReactor* MessagingServiceImpl::QueryRoute(Context* context,
                                                           const v2::QueryRouteRequest* request,
                                                           v2::QueryRouteResponse* response) {
  const CallContext call = ReadCallContext(*context);
  absl::Status status = CheckClientId(call);
  if (status.ok()) status = CheckEndpoints(request->endpoints());
  if (!status.ok()) return Done(context, status, response);
  Unary* reactor = context->DefaultReactor();
  FindOrCreateTopic(
      services_, call, request->topic(),
      [this, request, response, reactor](absl::StatusOr<std::shared_ptr<const Topic>> topic) {
        *response->mutable_status() = ToWire(topic.status());
        if (topic.ok()) FillRoute(services_, **topic, *request, *response);
        reactor->Finish(grpc::Status::OK);
      });
  return reactor;
}

grpc::ServerUnaryReactor* MessagingServiceImpl::Heartbeat(Context* context,
                                                          const v2::HeartbeatRequest* request,
                                                          v2::HeartbeatResponse* response) {
  return Done(context, broker::Heartbeat(services_, ReadCallContext(*context), *request), response);
}

grpc::ServerUnaryReactor* MessagingServiceImpl::SendMessage(Context* context,
                                                            const grpc::ByteBuffer* request,
                                                            grpc::ByteBuffer* response) {
  return SendCall::Start(services_, *context, *request, *response);
}

grpc::ServerUnaryReactor* MessagingServiceImpl::QueryAssignment(
    Context* context, const v2::QueryAssignmentRequest* request,
    v2::QueryAssignmentResponse* response) {
  const CallContext call = ReadCallContext(*context);
  absl::Status status = CheckClientId(call);
  if (status.ok()) status = FillAssignments(services_, call, *request, *response);
  return Done(context, status, response);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* MessagingServiceImpl::ReceiveMessage(
    Context* context, const grpc::ByteBuffer* request) {
  return ReceiveCall::Start(services_, *context, *request);
}

grpc::ServerUnaryReactor* MessagingServiceImpl::AckMessage(Context* context,
                                                           const v2::AckMessageRequest* request,
                                                           v2::AckMessageResponse* response) {
  AckMessages(services_, ReadCallContext(*context), *request, *response);
  return Done(context);
}

grpc::ServerUnaryReactor* MessagingServiceImpl::ForwardMessageToDeadLetterQueue(
    Context* context, const v2::ForwardMessageToDeadLetterQueueRequest* request,
    v2::ForwardMessageToDeadLetterQueueResponse* response) {
  Unary* reactor = context->DefaultReactor();
  ForwardToDeadLetters(services_, ReadCallContext(*context), *request,
                       [response, reactor](const absl::Status& status) {
                         *response->mutable_status() = ToWire(status);
                         reactor->Finish(grpc::Status::OK);
                       });
  return reactor;
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* MessagingServiceImpl::PullMessage(
    Context* context, const grpc::ByteBuffer* request) {
  return PullCall::Start(services_, *context, *request);
}

grpc::ServerUnaryReactor* MessagingServiceImpl::UpdateOffset(Context* context,
                                                             const v2::UpdateOffsetRequest* request,
                                                             v2::UpdateOffsetResponse* response) {
  Unary* reactor = context->DefaultReactor();
  broker::UpdateOffset(services_, ReadCallContext(*context), *request,
                       [response, reactor](const absl::Status& status) {
                         *response->mutable_status() = ToWire(status);
                         reactor->Finish(grpc::Status::OK);
                       });
  return reactor;
}

grpc::ServerUnaryReactor* MessagingServiceImpl::GetOffset(Context* context,
                                                          const v2::GetOffsetRequest* request,
                                                          v2::GetOffsetResponse* response) {
  const absl::StatusOr<int64_t> offset =
      broker::GetOffset(services_, ReadCallContext(*context), *request);
  if (offset.ok()) response->set_offset(*offset);
  return Done(context, offset.status(), response);
}

grpc::ServerUnaryReactor* MessagingServiceImpl::QueryOffset(Context* context,
                                                            const v2::QueryOffsetRequest* request,
                                                            v2::QueryOffsetResponse* response) {
  const absl::StatusOr<int64_t> offset =
      broker::QueryOffset(services_, ReadCallContext(*context), *request);
  if (offset.ok()) response->set_offset(*offset);
  return Done(context, offset.status(), response);
}

grpc::ServerUnaryReactor* MessagingServiceImpl::EndTransaction(
    Context* context, const v2::EndTransactionRequest* /*request*/,
    v2::EndTransactionResponse* response) {
  return NotServed(context, "this server has no transactions: none was ever begun", response);
}

grpc::ServerBidiReactor<v2::TelemetryCommand, v2::TelemetryCommand>*
MessagingServiceImpl::Telemetry(Context* context) {
  return new TelemetryCall(services_, *context);  // deletes itself
}

grpc::ServerUnaryReactor* MessagingServiceImpl::NotifyClientTermination(
    Context* context, const v2::NotifyClientTerminationRequest* request,
    v2::NotifyClientTerminationResponse* response) {
  return Done(context, Terminate(services_, ReadCallContext(*context), *request), response);
}

grpc::ServerUnaryReactor* MessagingServiceImpl::ChangeInvisibleDuration(
    Context* context, const v2::ChangeInvisibleDurationRequest* request,
    v2::ChangeInvisibleDurationResponse* response) {
  ChangeInvisible(services_, ReadCallContext(*context), *request, *response);
  return Done(context);
}

grpc::ServerUnaryReactor* MessagingServiceImpl::RecallMessage(
    Context* context, const v2::RecallMessageRequest* /*request*/,
    v2::RecallMessageResponse* response) {
  return NotServed(context, "this server has no delayed messages: there is nothing to recall",
                   response);
}

grpc::ServerUnaryReactor* MessagingServiceImpl::SyncLiteSubscription(
    Context* context, const v2::SyncLiteSubscriptionRequest* /*request*/,
    v2::SyncLiteSubscriptionResponse* response) {
  return NotServed(context, "this server has no lite topics to subscribe to", response);
}

}  // namespace dunlin::broker
