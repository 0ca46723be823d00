// RouteServiceImpl: dunlin.nameservice.v1.RouteService over a RouteSource; raw on both sides.

#pragma once

#include <grpcpp/grpcpp.h>

#include "proto/dunlin/nameservice/v1/routes.grpc.pb.h"
#include "services/broker/rpc/open_streams.h"
#include "services/broker/rpc/route_source.h"
#include "services/broker/rpc/watch_routes_call.h"

namespace dunlin::broker {

class RouteServiceImpl final
    : public nameservice::v1::RouteService::WithRawCallbackMethod_WatchRoutes<
          nameservice::v1::RouteService::Service> {
 public:
  // `routes` must outlive the server this is registered with.
  explicit RouteServiceImpl(RouteSource& routes) : routes_(routes) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* WatchRoutes(
      grpc::CallbackServerContext* context) override {
    return WatchRoutesCall::Start(routes_, open_, *context);
  }

  // Ends the streams that are open, and those that come.
  void Stop() { open_.Stop(); }

 private:
  RouteSource& routes_;
  OpenStreams open_;
};

}  // namespace dunlin::broker
