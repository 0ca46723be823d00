// StreamServiceImpl: dunlin.broker.v1.StreamService over the broker's rooms; raw on both sides.

#pragma once

#include <grpcpp/grpcpp.h>

#include "proto/dunlin/broker/v1/streams.grpc.pb.h"
#include "services/broker/rpc/open_streams.h"
#include "services/broker/rpc/publish_call.h"
#include "services/broker/rpc/service_context.h"
#include "services/broker/rpc/subscribe_call.h"

namespace dunlin::broker {

class StreamServiceImpl
    : public v1::StreamService::WithRawCallbackMethod_Publish<
          v1::StreamService::WithRawCallbackMethod_Subscribe<v1::StreamService::Service>> {
 public:
  // `services` must outlive the server this is registered with.
  explicit StreamServiceImpl(ServiceContext& services) : services_(services) {}

  using Stream = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

  Stream* Publish(grpc::CallbackServerContext* context) override {
    return PublishCall::Start(services_, open_, *context);
  }
  Stream* Subscribe(grpc::CallbackServerContext* context) override {
    return SubscribeCall::Start(services_, open_, *context);
  }

  // Ends the streams that are open, and those that come.
  void Stop() { open_.Stop(); }

 private:
  ServiceContext& services_;
  OpenStreams open_;
};

}  // namespace dunlin::broker
