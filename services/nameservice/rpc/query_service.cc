#include "services/nameservice/rpc/query_service.h"

#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/buffers.h"
#include "services/broker/rpc/call_checks.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/destination.h"
#include "services/broker/rpc/endpoints.h"
#include "services/broker/rpc/holders.h"
#include "services/broker/rpc/passed_on_stream.h"
#include "services/broker/rpc/unary_call.h"
#include "services/broker/topics/qualified_name.h"
#include "services/nameservice/routes/route_queues.h"

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

class RefusedTelemetry final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  RefusedTelemetry() { Finish({grpc::StatusCode::UNIMPLEMENTED, NotHere("Telemetry")}); }
  void OnDone() override { delete this; }
};

// Where the queues of a topic are that a client asks for.
absl::StatusOr<std::vector<QueuesAt>> Find(const RouteDirectory& directory,
                                           const broker::CallContext& caller,
                                           const v2::Resource& topic,
                                           const v2::Endpoints& reached) {
  RETURN_IF_ERROR(broker::CheckClientId(caller));
  RETURN_IF_ERROR(broker::CheckTopicName(caller, topic));
  if (!directory.ready()) {
    return PublicError(PublicCode::kInternalServerError,
                       "the name service has just started and does not know all brokers yet; try "
                       "again in a second, or ask another one");
  }
  const std::string name = broker::QualifiedName(broker::NamespaceOf(caller, topic), topic.name());
  std::vector<QueuesAt> brokers = directory.FindQueues(topic, name, {reached, caller.zone});
  if (brokers.empty()) {
    return PublicError(PublicCode::kTopicNotFound, NoSuchTopic(topic.name(), caller.zone));
  }
  return brokers;
}

absl::Status CheckNumber(const v2::Resource& topic, const std::vector<QueuesAt>& brokers) {
  const uint64_t queues = CountQueues(brokers);
  if (queues <= kMaxQueuesPerAnswer) return absl::OkStatus();
  return PublicError(
      PublicCode::kInternalServerError,
      fmt::format("topic {} has {} queues at {} broker groups, and one answer names {} at most; "
                  "make fewer queues, or use WatchRoutes, which names them by number",
                  topic.name(), queues, brokers.size(), kMaxQueuesPerAnswer));
}

absl::Status Route(const RouteDirectory& directory, const broker::CallContext& caller,
                   const v2::QueryRouteRequest& request, v2::QueryRouteResponse& response) {
  RETURN_IF_ERROR(broker::CheckEndpoints(request.endpoints()));
  ASSIGN_OR_RETURN(const std::vector<QueuesAt> brokers,
                   Find(directory, caller, request.topic(), request.endpoints()));
  RETURN_IF_ERROR(CheckNumber(request.topic(), brokers));
  for (v2::MessageQueue& queue : QueuesByTurns(brokers)) {
    *response.add_message_queues() = std::move(queue);
  }
  return absl::OkStatus();
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
  RETURN_IF_ERROR(broker::CheckEndpoints(request.endpoints()));
  ASSIGN_OR_RETURN(std::vector<QueuesAt> brokers,
                   Find(directory, caller, request.topic(), request.endpoints()));
  RETURN_IF_ERROR(broker::CheckGroupName(caller, request.group()));
  std::erase_if(brokers, [](const QueuesAt& broker) { return !Readable(broker.queue); });
  if (brokers.empty()) {
    return PublicError(PublicCode::kForbidden,
                       fmt::format("topic {} may not be read from", request.topic().name()));
  }
  for (QueuesAt& broker : brokers) {
    if (!TakesFifo(broker.queue)) broker.queues = 1;  // which stands for any
  }
  RETURN_IF_ERROR(CheckNumber(request.topic(), brokers));
  for (v2::MessageQueue& queue : QueuesByTurns(brokers)) {
    if (!TakesFifo(queue)) queue.set_id(-1);
    *response.add_assignments()->mutable_message_queue() = std::move(queue);
  }
  return absl::OkStatus();
}

// The broker that a request goes to.
absl::StatusOr<broker::Holder> FindHolder(const RouteDirectory& directory,
                                          const broker::CallContext& caller,
                                          const broker::Destination& to, const char* method) {
  const v2::Endpoints inside;  // whoever asks: it is this server that goes there
  ASSIGN_OR_RETURN(const std::vector<QueuesAt> brokers, Find(directory, caller, to.topic, inside));
  broker::Holders holders;
  for (const QueuesAt& at : brokers) {
    holders[at.queue.broker().name()] = broker::AddressOf(at.queue.broker().endpoints());
  }
  return broker::ChooseHolder(holders, to, method);
}

}  // namespace

template <typename Request, typename Response>
grpc::ServerUnaryReactor* QueryServiceImpl::PassOn(Context* context, const Bytes& request,
                                                   Bytes& response, const char* method) {
  return broker::AnswerUnary<Request, Response>(request, response, [&](auto& call) {
    const broker::CallContext caller = broker::ReadCallContext(*context);
    const absl::StatusOr<broker::Holder> holder =
        FindHolder(directory_, caller, broker::DestinationOf(call.request()), method);
    if (!holder.ok()) return call.Done(holder.status());
    relay_.Pass(holder->address, broker::PublicMethod(method), Relay::CallerOf(*context), request,
                [&call, holder = *holder](const grpc::Status& status, const Bytes& answer) {
                  if (!status.ok()) return call.Done(broker::NotPassedOn(holder, status));
                  call.Answer(answer);
                });
  });
}

template <typename Request>
QueryServiceImpl::Reads* QueryServiceImpl::PassOnReads(Context* context, const Bytes& bytes,
                                                       const char* method) {
  auto call = std::make_shared<broker::PassedOnStream<Reads>>();
  Request request;
  if (const absl::Status size = broker::CheckRequestSize(bytes); !size.ok()) {
    call->Refuse(size);
  } else if (const absl::Status parsed = broker::Parse(bytes, request); !parsed.ok()) {
    // What gRPC itself answers to bytes that are no message.
    call->End({grpc::StatusCode::INTERNAL, std::string(parsed.message())});
  } else {
    const absl::StatusOr<broker::Holder> holder = FindHolder(
        directory_, broker::ReadCallContext(*context), broker::DestinationOf(request), method);
    if (holder.ok()) {
      call->PassTo(relay_, *holder, method, Relay::CallerOf(*context), bytes);
    } else {
      call->Refuse(holder.status());
    }
  }
  return broker::PassedOnStream<Reads>::Start(std::move(call));
}

grpc::ServerUnaryReactor* QueryServiceImpl::QueryRoute(Context* context, const Bytes* request,
                                                       Bytes* response) {
  return broker::AnswerUnary<v2::QueryRouteRequest, v2::QueryRouteResponse>(
      *request, *response, [&](auto& call) {
        call.Done(
            Route(directory_, broker::ReadCallContext(*context), call.request(), call.response()));
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

grpc::ServerUnaryReactor* QueryServiceImpl::SendMessage(Context* context, const Bytes* request,
                                                        Bytes* response) {
  return PassOn<v2::SendMessageRequest, v2::SendMessageResponse>(context, *request, *response,
                                                                 "SendMessage");
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* QueryServiceImpl::ReceiveMessage(Context* context,
                                                                             const Bytes* request) {
  return PassOnReads<v2::ReceiveMessageRequest>(context, *request, "ReceiveMessage");
}

grpc::ServerUnaryReactor* QueryServiceImpl::AckMessage(Context* context, const Bytes* request,
                                                       Bytes* response) {
  return PassOn<v2::AckMessageRequest, v2::AckMessageResponse>(context, *request, *response,
                                                               "AckMessage");
}

grpc::ServerUnaryReactor* QueryServiceImpl::ForwardMessageToDeadLetterQueue(Context* context,
                                                                            const Bytes* request,
                                                                            Bytes* response) {
  return PassOn<v2::ForwardMessageToDeadLetterQueueRequest,
                v2::ForwardMessageToDeadLetterQueueResponse>(context, *request, *response,
                                                             "ForwardMessageToDeadLetterQueue");
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* QueryServiceImpl::PullMessage(Context* context,
                                                                          const Bytes* request) {
  return PassOnReads<v2::PullMessageRequest>(context, *request, "PullMessage");
}

grpc::ServerUnaryReactor* QueryServiceImpl::UpdateOffset(Context* context, const Bytes* request,
                                                         Bytes* response) {
  return PassOn<v2::UpdateOffsetRequest, v2::UpdateOffsetResponse>(context, *request, *response,
                                                                   "UpdateOffset");
}

grpc::ServerUnaryReactor* QueryServiceImpl::GetOffset(Context* context, const Bytes* request,
                                                      Bytes* response) {
  return PassOn<v2::GetOffsetRequest, v2::GetOffsetResponse>(context, *request, *response,
                                                             "GetOffset");
}

grpc::ServerUnaryReactor* QueryServiceImpl::QueryOffset(Context* context, const Bytes* request,
                                                        Bytes* response) {
  return PassOn<v2::QueryOffsetRequest, v2::QueryOffsetResponse>(context, *request, *response,
                                                                 "QueryOffset");
}

grpc::ServerUnaryReactor* QueryServiceImpl::EndTransaction(Context* context, const Bytes* request,
                                                           Bytes* response) {
  return PassOn<v2::EndTransactionRequest, v2::EndTransactionResponse>(context, *request, *response,
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

grpc::ServerUnaryReactor* QueryServiceImpl::ChangeInvisibleDuration(Context* context,
                                                                    const Bytes* request,
                                                                    Bytes* response) {
  return PassOn<v2::ChangeInvisibleDurationRequest, v2::ChangeInvisibleDurationResponse>(
      context, *request, *response, "ChangeInvisibleDuration");
}

grpc::ServerUnaryReactor* QueryServiceImpl::RecallMessage(Context* context, const Bytes* request,
                                                          Bytes* response) {
  return PassOn<v2::RecallMessageRequest, v2::RecallMessageResponse>(context, *request, *response,
                                                                     "RecallMessage");
}

grpc::ServerUnaryReactor* QueryServiceImpl::SyncLiteSubscription(Context* /*context*/,
                                                                 const Bytes* request,
                                                                 Bytes* response) {
  return Refuse<v2::SyncLiteSubscriptionRequest, v2::SyncLiteSubscriptionResponse>(
      *request, *response, "SyncLiteSubscription");
}

}  // namespace dunlin::nameservice
