// RouteServiceImpl: dunlin.nameservice.v1.RouteService over the broker's topics; raw on both sides.

#pragma once

#include <grpcpp/grpcpp.h>

#include "proto/dunlin/nameservice/v1/routes.grpc.pb.h"
#include "services/broker/rpc/open_streams.h"
#include "services/broker/rpc/service_context.h"
#include "services/broker/rpc/watch_routes_call.h"

namespace dunlin::broker {

class RouteServiceImpl final
    : public nameservice::v1::RouteService::WithRawCallbackMethod_WatchRoutes<
          nameservice::v1::RouteService::Service> {
 public:
  // `services` must outlive the server this is registered with.
  explicit RouteServiceImpl(ServiceContext& services) : services_(services) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* WatchRoutes(
      grpc::CallbackServerContext* context) override {
    return WatchRoutesCall::Start(services_, open_, *context);
  }

  // Ends the streams that are open, and those that come.
  void Stop() { open_.Stop(); }

 private:
  ServiceContext& services_;
  OpenStreams open_;
};

}  // namespace dunlin::broker
