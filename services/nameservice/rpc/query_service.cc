#include "services/nameservice/rpc/query_service.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "absl/status/status.h"

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/buffers.h"
#include "services/broker/rpc/call_checks.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/endpoints.h"
#include "services/broker/rpc/status_map.h"
#include "services/broker/rpc/unary_call.h"
#include "services/broker/topics/qualified_name.h"

namespace dunlin::nameservice {
namespace {

namespace v2 = apache::rocketmq::v2;

using broker::PublicCode;
using broker::PublicError;

std::string NotHere(const char* what) {
  return fmt::format(
      "a name service does not serve {}: ask it for the route of the topic (QueryRoute), and send "
      "this to a broker that the route names",
      what);
}

template <typename Request, typename Response>
grpc::ServerUnaryReactor* Refuse(const grpc::ByteBuffer& request, grpc::ByteBuffer& response,
                                 const char* what) {
  return broker::AnswerUnary<Request, Response>(request, response, [&](auto& call) {
    call.Done(PublicError(PublicCode::kNotImplemented, NotHere(what)));
  });
}

// Says the refusal in the only response of a stream. Deletes itself when gRPC is done with it.
class RefusedReads final : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  template <typename Response>
  static RefusedReads* Start(const char* what) {
    Response response;
    *response.mutable_status() =
        broker::ToWire(PublicError(PublicCode::kNotImplemented, NotHere(what)));
    auto* call = new RefusedReads(broker::Serialize(response));
    call->StartWriteAndFinish(&call->sending_, {}, grpc::Status::OK);
    return call;
  }
  void OnDone() override { delete this; }

 private:
  explicit RefusedReads(const grpc::ByteBuffer& response) : sending_(response) {}
  grpc::ByteBuffer sending_;
};

class RefusedTelemetry final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  RefusedTelemetry() { Finish({grpc::StatusCode::UNIMPLEMENTED, NotHere("Telemetry")}); }
  void OnDone() override { delete this; }
};

// The route of a topic that a client asks for, as queues.
absl::Status Find(const RouteDirectory& directory, const broker::CallContext& caller,
                  const v2::Resource& topic, v2::QueryRouteResponse& response) {
  RETURN_IF_ERROR(broker::CheckClientId(caller));
  RETURN_IF_ERROR(broker::CheckTopicName(caller, topic));
  if (!directory.ready()) {
    return PublicError(PublicCode::kInternalServerError,
                       "the name service has just started and does not know all brokers yet; try "
                       "again in a second, or ask another one");
  }
  const std::string name = broker::QualifiedName(broker::NamespaceOf(caller, topic), topic.name());
  if (directory.FillQueues(topic, name, caller.zone, response)) return absl::OkStatus();
  return PublicError(PublicCode::kTopicNotFound, NoSuchTopic(topic.name(), caller.zone));
}

bool Readable(const v2::MessageQueue& queue) {
  return queue.permission() == v2::READ || queue.permission() == v2::READ_WRITE;
}

bool TakesFifo(const v2::MessageQueue& queue) {
  for (const int kind : queue.accept_message_types()) {
    if (kind == v2::FIFO) return true;
  }
  return false;
}

absl::Status Assign(const RouteDirectory& directory, const broker::CallContext& caller,
                    const v2::QueryAssignmentRequest& request,
                    v2::QueryAssignmentResponse& response) {
  v2::QueryRouteResponse route;
  RETURN_IF_ERROR(Find(directory, caller, request.topic(), route));
  RETURN_IF_ERROR(broker::CheckGroupName(caller, request.group()));
  for (v2::MessageQueue& queue : *route.mutable_message_queues()) {
    if (!Readable(queue)) continue;
    if (!TakesFifo(queue)) {
      if (queue.id() != 0) continue;
      queue.set_id(-1);
    }
    *response.add_assignments()->mutable_message_queue() = std::move(queue);
  }
  if (response.assignments_size() > 0) return absl::OkStatus();
  return PublicError(PublicCode::kForbidden,
                     fmt::format("topic {} may not be read from", request.topic().name()));
}

}  // namespace

grpc::ServerUnaryReactor* QueryServiceImpl::QueryRoute(Context* context, const Bytes* request,
                                                       Bytes* response) {
  return broker::AnswerUnary<v2::QueryRouteRequest, v2::QueryRouteResponse>(
      *request, *response, [&](auto& call) {
        absl::Status status = broker::CheckEndpoints(call.request().endpoints());
        if (status.ok()) {
          status = Find(directory_, broker::ReadCallContext(*context), call.request().topic(),
                        call.response());
        }
        call.Done(status);
      });
}

grpc::ServerUnaryReactor* QueryServiceImpl::QueryAssignment(Context* context, const Bytes* request,
                                                            Bytes* response) {
  return broker::AnswerUnary<v2::QueryAssignmentRequest, v2::QueryAssignmentResponse>(
      *request, *response, [&](auto& call) {
        call.Done(
            Assign(directory_, broker::ReadCallContext(*context), call.request(), call.response()));
      });
}

grpc::ServerUnaryReactor* QueryServiceImpl::Heartbeat(Context* /*context*/, const Bytes* request,
                                                      Bytes* response) {
  return Refuse<v2::HeartbeatRequest, v2::HeartbeatResponse>(*request, *response, "Heartbeat");
}

grpc::ServerUnaryReactor* QueryServiceImpl::SendMessage(Context* /*context*/, const Bytes* request,
                                                        Bytes* response) {
  return Refuse<v2::SendMessageRequest, v2::SendMessageResponse>(*request, *response,
                                                                 "SendMessage");
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* QueryServiceImpl::ReceiveMessage(
    Context* /*context*/, const Bytes* /*request*/) {
  return RefusedReads::Start<v2::ReceiveMessageResponse>("ReceiveMessage");
}

grpc::ServerUnaryReactor* QueryServiceImpl::AckMessage(Context* /*context*/, const Bytes* request,
                                                       Bytes* response) {
  return Refuse<v2::AckMessageRequest, v2::AckMessageResponse>(*request, *response, "AckMessage");
}

grpc::ServerUnaryReactor* QueryServiceImpl::ForwardMessageToDeadLetterQueue(Context* /*context*/,
                                                                            const Bytes* request,
                                                                            Bytes* response) {
  return Refuse<v2::ForwardMessageToDeadLetterQueueRequest,
                v2::ForwardMessageToDeadLetterQueueResponse>(*request, *response,
                                                             "ForwardMessageToDeadLetterQueue");
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* QueryServiceImpl::PullMessage(
    Context* /*context*/, const Bytes* /*request*/) {
  return RefusedReads::Start<v2::PullMessageResponse>("PullMessage");
}

grpc::ServerUnaryReactor* QueryServiceImpl::UpdateOffset(Context* /*context*/, const Bytes* request,
                                                         Bytes* response) {
  return Refuse<v2::UpdateOffsetRequest, v2::UpdateOffsetResponse>(*request, *response,
                                                                   "UpdateOffset");
}

grpc::ServerUnaryReactor* QueryServiceImpl::GetOffset(Context* /*context*/, const Bytes* request,
                                                      Bytes* response) {
  return Refuse<v2::GetOffsetRequest, v2::GetOffsetResponse>(*request, *response, "GetOffset");
}

grpc::ServerUnaryReactor* QueryServiceImpl::QueryOffset(Context* /*context*/, const Bytes* request,
                                                        Bytes* response) {
  return Refuse<v2::QueryOffsetRequest, v2::QueryOffsetResponse>(*request, *response,
                                                                 "QueryOffset");
}

grpc::ServerUnaryReactor* QueryServiceImpl::EndTransaction(Context* /*context*/,
                                                           const Bytes* request, Bytes* response) {
  return Refuse<v2::EndTransactionRequest, v2::EndTransactionResponse>(*request, *response,
                                                                       "EndTransaction");
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* QueryServiceImpl::Telemetry(
    Context* /*context*/) {
  return new RefusedTelemetry();  // deletes itself
}

grpc::ServerUnaryReactor* QueryServiceImpl::NotifyClientTermination(Context* /*context*/,
                                                                    const Bytes* request,
                                                                    Bytes* response) {
  return Refuse<v2::NotifyClientTerminationRequest, v2::NotifyClientTerminationResponse>(
      *request, *response, "NotifyClientTermination");
}

grpc::ServerUnaryReactor* QueryServiceImpl::ChangeInvisibleDuration(Context* /*context*/,
                                                                    const Bytes* request,
                                                                    Bytes* response) {
  return Refuse<v2::ChangeInvisibleDurationRequest, v2::ChangeInvisibleDurationResponse>(
      *request, *response, "ChangeInvisibleDuration");
}

grpc::ServerUnaryReactor* QueryServiceImpl::RecallMessage(Context* /*context*/,
                                                          const Bytes* request, Bytes* response) {
  return Refuse<v2::RecallMessageRequest, v2::RecallMessageResponse>(*request, *response,
                                                                     "RecallMessage");
}

grpc::ServerUnaryReactor* QueryServiceImpl::SyncLiteSubscription(Context* /*context*/,
                                                                 const Bytes* request,
                                                                 Bytes* response) {
  return Refuse<v2::SyncLiteSubscriptionRequest, v2::SyncLiteSubscriptionResponse>(
      *request, *response, "SyncLiteSubscription");
}

}  // namespace dunlin::nameservice
