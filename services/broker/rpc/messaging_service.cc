#include "services/broker/rpc/messaging_service.h"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>

#include "services/broker/codes/public_code.h"
#include "services/broker/registration/cluster_routes.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/client_calls.h"
#include "services/broker/rpc/destination.h"
#include "services/broker/rpc/endpoints.h"
#include "services/broker/rpc/lease_calls.h"
#include "services/broker/rpc/lite_calls.h"
#include "services/broker/rpc/offset_calls.h"
#include "services/broker/rpc/other_brokers.h"
#include "services/broker/rpc/passed_on_stream.h"
#include "services/broker/rpc/pull_call.h"
#include "services/broker/rpc/recall_call.h"
#include "services/broker/rpc/receive_call.h"
#include "services/broker/rpc/resources.h"
#include "services/broker/rpc/route_calls.h"
#include "services/broker/rpc/send_call.h"
#include "services/broker/rpc/telemetry_call.h"
#include "services/broker/rpc/transaction_call.h"
#include "services/broker/rpc/unary_call.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

template <typename Request, typename Response>
grpc::ServerUnaryReactor* NotServed(const grpc::ByteBuffer& request, grpc::ByteBuffer& response,
                                    const char* what) {
  return AnswerUnary<Request, Response>(request, response, [&](auto& call) {
    call.Done(PublicError(PublicCode::kNotImplemented, what));
  });
}

using Landed = OtherBrokers::Request;

// The end of a call that had this outcome here: one that is refused, and is for another broker, is
// passed on there.
template <typename Call>
void End(const ServiceContext& services, const Landed& request, Call& call,
         const absl::Status& status) {
  if (status.ok()) return call.Done(status);
  Destination to = DestinationOf(call.request());
  const CallContext caller = ReadCallContext(services.access, request.context);
  if (!IsForAnother(services, caller, to)) return call.Done(status);
  services.others->Pass(request, std::move(to), status,
                        [&call](const absl::Status& refused, const grpc::ByteBuffer& answer) {
                          if (!refused.ok()) return call.Done(refused);
                          call.Answer(answer);
                        });
}

// A read that is for another broker is passed on there; null: it is served here.
template <typename Request>
grpc::ServerWriteReactor<grpc::ByteBuffer>* PassOnRead(const ServiceContext& services,
                                                       const Landed& landed) {
  using Call = PassedOnStream<grpc::ServerWriteReactor<grpc::ByteBuffer>>;
  Request request;
  if (services.others == nullptr || !CheckRequestSize(landed.bytes).ok() ||
      !Parse(landed.bytes, request).ok()) {
    return nullptr;
  }
  const CallContext caller = ReadCallContext(services.access, landed.context);
  Destination to = DestinationOf(request);
  if (!IsForAnother(services, caller, to)) return nullptr;
  absl::Status refusal = CheckBroker(services, request.message_queue());
  if (refusal.ok()) refusal = NoTopic(to.topic.name());
  auto call = std::make_shared<Call>();
  services.others->PassStream(landed, std::move(to), refusal, call);
  return Call::Start(std::move(call));
}

// `Request` has a topic and says how the client reached us.
template <typename Request>
void AskCluster(const ServiceContext& services, const CallContext& caller, const Request& request,
                ClusterRoutes::Then then) {
  v2::Resource topic = request.topic();
  topic.set_resource_namespace(std::string(NamespaceOf(caller, topic)));
  services.others->routes().Query(
      topic, {caller.zone, ReachedFromOutside(services, request.endpoints())}, std::move(then));
}

using RouteCall = UnaryCall<v2::QueryRouteRequest, v2::QueryRouteResponse>;

void AnswerRoute(const ServiceContext& services, RouteCall& call,
                 const absl::StatusOr<std::shared_ptr<const Topic>>& topic) {
  if (topic.ok()) FillRoute(services, **topic, call.request(), call.response());
  call.Done(topic.status());
}

// As the name services tell it; when they do not, what is here, which may be newer.
void AnswerRouteOfCluster(const ServiceContext& services, const CallContext& caller,
                          RouteCall& call) {
  AskCluster(services, caller, call.request(),
             [&services, caller, &call](absl::StatusOr<ClusterRoutes::Route> route) {
               if (!route.ok() || route->message_queues().empty()) {
                 return AnswerRoute(
                     services, call,
                     FindTopic(services, caller, call.request().topic(), kToPubOrSub));
               }
               call.response() = *std::move(route);
               for (v2::MessageQueue& queue : *call.response().mutable_message_queues()) {
                 *queue.mutable_topic() = call.request().topic();
               }
               call.Done(absl::OkStatus());
             });
}

}  // namespace

grpc::ServerUnaryReactor* MessagingServiceImpl::QueryRoute(Context* context, const Bytes* request,
                                                           Bytes* response) {
  return AnswerUnary<v2::QueryRouteRequest, v2::QueryRouteResponse>(
      *request, *response, [&](auto& call) {
        const CallContext caller = ReadCallContext(services_.access, *context);
        absl::Status status = CheckCaller(caller);
        if (status.ok()) status = CheckEndpoints(call.request().endpoints());
        if (status.ok()) {
          status = CheckTopic(services_, caller, call.request().topic(), kToPubOrSub);
        }
        if (!status.ok()) return call.Done(status);
        // A slave does not know who is master, nor whether anybody is.
        if (services_.read_only && services_.others != nullptr) {
          return AnswerRouteOfCluster(services_, caller, call);
        }
        FindOrCreateTopic(
            services_, caller, call.request().topic(), kToPubOrSub,
            [this, caller, &call](absl::StatusOr<std::shared_ptr<const Topic>> topic) {
              if (services_.others != nullptr &&
                  CodeOf(topic.status()) == PublicCode::kTopicNotFound) {
                return AnswerRouteOfCluster(services_, caller, call);
              }
              AnswerRoute(services_, call, topic);
            });
      });
}

grpc::ServerUnaryReactor* MessagingServiceImpl::Heartbeat(Context* context, const Bytes* request,
                                                          Bytes* response) {
  return AnswerUnary<v2::HeartbeatRequest, v2::HeartbeatResponse>(
      *request, *response, [&](auto& call) {
        call.Done(broker::Heartbeat(services_, ReadCallContext(services_.access, *context),
                                    call.request()));
      });
}

grpc::ServerUnaryReactor* MessagingServiceImpl::SendMessage(Context* context, const Bytes* request,
                                                            Bytes* response) {
  return SendCall::Start(services_, *context, *request, *response);
}

grpc::ServerUnaryReactor* MessagingServiceImpl::QueryAssignment(Context* context,
                                                                const Bytes* request,
                                                                Bytes* response) {
  return AnswerUnary<v2::QueryAssignmentRequest, v2::QueryAssignmentResponse>(
      *request, *response, [&](auto& call) {
        const CallContext caller = ReadCallContext(services_.access, *context);
        absl::Status status = CheckCaller(caller);
        if (status.ok())
          status = FillAssignments(services_, caller, call.request(), call.response());
        if (!status.ok() || services_.others == nullptr) return call.Done(status);
        // A client asks one broker and means all of them.
        AskCluster(
            services_, caller, call.request(),
            [this, &call](const absl::StatusOr<ClusterRoutes::Route>& route) {
              if (!route.ok()) {
                // A client takes a shorter answer for a change, and keeps what it has at an error.
                call.response().clear_assignments();
                return call.Done(PublicError(
                    PublicCode::kInternalServerError,
                    fmt::format("the queues of other brokers are not known now, since no name "
                                "service of broker.name_services tells them: {}",
                                std::string(route.status().message()))));
              }
              AddAssignments(services_, *route, call.request(), call.response());
              call.Done(absl::OkStatus());
            });
      });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* MessagingServiceImpl::ReceiveMessage(
    Context* context, const Bytes* request) {
  auto* const passed =
      PassOnRead<v2::ReceiveMessageRequest>(services_, {*context, *request, "ReceiveMessage"});
  return passed != nullptr ? passed : ReceiveCall::Start(services_, *context, *request);
}

grpc::ServerUnaryReactor* MessagingServiceImpl::AckMessage(Context* context, const Bytes* request,
                                                           Bytes* response) {
  return AnswerUnary<v2::AckMessageRequest, v2::AckMessageResponse>(
      *request, *response, [&](auto& call) {
        const absl::Status misplaced =
            AckMessages(services_, ReadCallContext(services_.access, *context), call.request(),
                        call.response());
        if (misplaced.ok()) return call.Done();
        services_.others->Pass(
            {*context, *request, "AckMessage"}, DestinationOf(call.request()), misplaced,
            [&call](const absl::Status& refused, const grpc::ByteBuffer& answer) {
              if (refused.ok()) return call.Answer(answer);
              RefuseAcks(refused, call.request(), call.response());
              call.Done();
            });
      });
}

grpc::ServerUnaryReactor* MessagingServiceImpl::ForwardMessageToDeadLetterQueue(
    Context* context, const Bytes* request, Bytes* response) {
  return AnswerUnary<v2::ForwardMessageToDeadLetterQueueRequest,
                     v2::ForwardMessageToDeadLetterQueueResponse>(
      *request, *response, [&](auto& call) {
        ForwardToDeadLetters(
            services_, ReadCallContext(services_.access, *context), call.request(),
            [this, call_of = Landed{*context, *request, "ForwardMessageToDeadLetterQueue"},
             &call](const absl::Status& status) { End(services_, call_of, call, status); });
      });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* MessagingServiceImpl::PullMessage(
    Context* context, const Bytes* request) {
  auto* const passed =
      PassOnRead<v2::PullMessageRequest>(services_, {*context, *request, "PullMessage"});
  return passed != nullptr ? passed : PullCall::Start(services_, *context, *request);
}

grpc::ServerUnaryReactor* MessagingServiceImpl::UpdateOffset(Context* context, const Bytes* request,
                                                             Bytes* response) {
  return AnswerUnary<v2::UpdateOffsetRequest, v2::UpdateOffsetResponse>(
      *request, *response, [&](auto& call) {
        broker::UpdateOffset(
            services_, ReadCallContext(services_.access, *context), call.request(),
            [this, call_of = Landed{*context, *request, "UpdateOffset"},
             &call](const absl::Status& status) { End(services_, call_of, call, status); });
      });
}

grpc::ServerUnaryReactor* MessagingServiceImpl::GetOffset(Context* context, const Bytes* request,
                                                          Bytes* response) {
  return AnswerUnary<v2::GetOffsetRequest, v2::GetOffsetResponse>(
      *request, *response, [&](auto& call) {
        const absl::StatusOr<int64_t> offset = broker::GetOffset(
            services_, ReadCallContext(services_.access, *context), call.request());
        if (offset.ok()) call.response().set_offset(*offset);
        End(services_, {*context, *request, "GetOffset"}, call, offset.status());
      });
}

grpc::ServerUnaryReactor* MessagingServiceImpl::QueryOffset(Context* context, const Bytes* request,
                                                            Bytes* response) {
  return AnswerUnary<v2::QueryOffsetRequest, v2::QueryOffsetResponse>(
      *request, *response, [&](auto& call) {
        const absl::StatusOr<int64_t> offset = broker::QueryOffset(
            services_, ReadCallContext(services_.access, *context), call.request());
        if (offset.ok()) call.response().set_offset(*offset);
        End(services_, {*context, *request, "QueryOffset"}, call, offset.status());
      });
}

grpc::ServerUnaryReactor* MessagingServiceImpl::EndTransaction(Context* context,
                                                               const Bytes* request,
                                                               Bytes* response) {
  return AnswerUnary<v2::EndTransactionRequest, v2::EndTransactionResponse>(
      *request, *response, [&](auto& call) {
        broker::EndTransaction(
            services_, ReadCallContext(services_.access, *context), call.request(),
            [this, call_of = Landed{*context, *request, "EndTransaction"},
             &call](const absl::Status& status) { End(services_, call_of, call, status); });
      });
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* MessagingServiceImpl::Telemetry(
    Context* context) {
  return new TelemetryCall(services_, *context);  // deletes itself
}

grpc::ServerUnaryReactor* MessagingServiceImpl::NotifyClientTermination(Context* context,
                                                                        const Bytes* request,
                                                                        Bytes* response) {
  return AnswerUnary<v2::NotifyClientTerminationRequest, v2::NotifyClientTerminationResponse>(
      *request, *response, [&](auto& call) {
        call.Done(
            Terminate(services_, ReadCallContext(services_.access, *context), call.request()));
      });
}

grpc::ServerUnaryReactor* MessagingServiceImpl::ChangeInvisibleDuration(Context* context,
                                                                        const Bytes* request,
                                                                        Bytes* response) {
  return AnswerUnary<v2::ChangeInvisibleDurationRequest, v2::ChangeInvisibleDurationResponse>(
      *request, *response, [&](auto& call) {
        End(services_, {*context, *request, "ChangeInvisibleDuration"}, call,
            ChangeInvisible(services_, ReadCallContext(services_.access, *context), call.request(),
                            call.response()));
      });
}

grpc::ServerUnaryReactor* MessagingServiceImpl::RecallMessage(Context* context,
                                                              const Bytes* request,
                                                              Bytes* response) {
  return AnswerUnary<v2::RecallMessageRequest, v2::RecallMessageResponse>(
      *request, *response, [&](auto& call) {
        broker::RecallMessage(services_, ReadCallContext(services_.access, *context),
                              call.request(),
                              [this, call_of = Landed{*context, *request, "RecallMessage"},
                               &call](const absl::StatusOr<std::string>& message_id) {
                                if (message_id.ok()) call.response().set_message_id(*message_id);
                                End(services_, call_of, call, message_id.status());
                              });
      });
}

grpc::ServerUnaryReactor* MessagingServiceImpl::SyncLiteSubscription(Context* context,
                                                                     const Bytes* request,
                                                                     Bytes* response) {
  return AnswerUnary<v2::SyncLiteSubscriptionRequest, v2::SyncLiteSubscriptionResponse>(
      *request, *response, [&](auto& call) {
        broker::SyncLiteSubscription(services_, ReadCallContext(services_.access, *context),
                                     call.request(),
                                     [&call](const absl::Status& status) { call.Done(status); });
      });
}

}  // namespace dunlin::broker
