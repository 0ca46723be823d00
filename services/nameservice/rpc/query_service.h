// QueryServiceImpl: the part of apache.rocketmq.v2.MessagingService that a name service answers, so
// that any client may have it as its access point: where topics are. Requests about messages (send,
// receive, pull, acknowledge, extend, end a transaction, recall, offsets) it passes on to the
// broker they belong to, if that can be told. Everything else is refused with a word on where it
// belongs.

#pragma once

#include <grpcpp/grpcpp.h>

#include "proto/apache/rocketmq/v2/service.grpc.pb.h"
#include "services/nameservice/rpc/route_directory.h"
#include "services/relay/relay.h"

namespace dunlin::nameservice {

namespace internal {

using V2 = apache::rocketmq::v2::MessagingService;
using QueryRaw1 = V2::WithRawCallbackMethod_AckMessage<V2::WithRawCallbackMethod_ReceiveMessage<
    V2::WithRawCallbackMethod_QueryAssignment<V2::WithRawCallbackMethod_SendMessage<
        V2::WithRawCallbackMethod_Heartbeat<V2::WithRawCallbackMethod_QueryRoute<V2::Service>>>>>>;
using QueryRaw2 = V2::WithRawCallbackMethod_EndTransaction<
    V2::WithRawCallbackMethod_QueryOffset<V2::WithRawCallbackMethod_GetOffset<
        V2::WithRawCallbackMethod_UpdateOffset<V2::WithRawCallbackMethod_PullMessage<
            V2::WithRawCallbackMethod_ForwardMessageToDeadLetterQueue<QueryRaw1>>>>>>;
using QueryMethods = V2::WithRawCallbackMethod_SyncLiteSubscription<
    V2::WithRawCallbackMethod_RecallMessage<V2::WithRawCallbackMethod_ChangeInvisibleDuration<
        V2::WithRawCallbackMethod_NotifyClientTermination<
            V2::WithRawCallbackMethod_Telemetry<QueryRaw2>>>>>;

}  // namespace internal

class QueryServiceImpl final : public internal::QueryMethods {
 public:
  // Both must outlive the server this is registered with.
  QueryServiceImpl(RouteDirectory& directory, Relay& relay)
      : directory_(directory), relay_(relay) {}

  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;
  using Unary = grpc::ServerUnaryReactor;
  using Reads = grpc::ServerWriteReactor<Bytes>;

  Unary* QueryRoute(Context* context, const Bytes* request, Bytes* response) override;
  // One assignment per broker with queue id -1 ("any queue"), or one per queue of a topic that
  // takes FIFO messages: which groups there are and which of them are ordered is known to brokers
  // alone.
  Unary* QueryAssignment(Context* context, const Bytes* request, Bytes* response) override;

  Unary* Heartbeat(Context* context, const Bytes* request, Bytes* response) override;
  Unary* SendMessage(Context* context, const Bytes* request, Bytes* response) override;
  Reads* ReceiveMessage(Context* context, const Bytes* request) override;
  Unary* AckMessage(Context* context, const Bytes* request, Bytes* response) override;
  Unary* ForwardMessageToDeadLetterQueue(Context* context, const Bytes* request,
                                         Bytes* response) override;
  Reads* PullMessage(Context* context, const Bytes* request) override;
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
  // To the broker that the request names: to the only one that holds the topic when it names none.
  template <typename Request, typename Response>
  Unary* PassOn(Context* context, const Bytes& request, Bytes& response, const char* method);
  template <typename Request>
  Reads* PassOnReads(Context* context, const Bytes& bytes, const char* method);

  RouteDirectory& directory_;
  Relay& relay_;
};

}  // namespace dunlin::nameservice
