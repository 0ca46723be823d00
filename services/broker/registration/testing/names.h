// Names: a name service in the process of a test, at a port of its own.
//
// It waits for nobody before it tells routes.

#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "proto/dunlin/config/v1/config.pb.h"
#include "proto/dunlin/nameservice/v1/registry.grpc.pb.h"
#include "proto/dunlin/nameservice/v1/routes.grpc.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/testing/temp_dir.h"
#include "services/nameservice/name_service.h"

namespace dunlin::broker {

class Names {
 public:
  explicit Names(int port = 0) {
    config_.set_start_grace_ms(0);
    service_ = *nameservice::NameService::Start(config_, {.data_dir = directory_.path()},
                                                RealFiles(), clock_);
    grpc::ServerBuilder builder;
    for (grpc::Service* service : service_->services()) builder.RegisterService(service);
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), grpc::InsecureServerCredentials(),
                             &port_);
    server_ = builder.BuildAndStart();
    EXPECT_NE(server_, nullptr);
    channel_ = server_->InProcessChannel({});
  }
  ~Names() {
    service_->Drain();
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    service_->Stop();
  }

  int Port() const { return port_; }
  std::string Address() const { return "127.0.0.1:" + std::to_string(port_); }
  std::unique_ptr<nameservice::v1::RegistryService::Stub> Registry() const {
    return nameservice::v1::RegistryService::NewStub(channel_);
  }
  std::unique_ptr<nameservice::v1::RouteService::Stub> Routes() const {
    return nameservice::v1::RouteService::NewStub(channel_);
  }
  // Returns once the route of `topic` is as `condition` wants it.
  template <typename Condition>
  bool Await(const std::string& topic, Condition condition) const {
    const auto stub = Routes();
    grpc::ClientContext context;
    context.AddMetadata("x-mq-client-id", "client");
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    const auto stream = stub->WatchRoutes(&context);
    nameservice::v1::WatchRoutesRequest request;
    request.add_watch()->mutable_topic()->set_name(topic);
    stream->Write(request);
    nameservice::v1::WatchRoutesResponse response;
    bool met = false;
    while (!met && stream->Read(&response)) {
      for (const nameservice::v1::Route& route : response.routes()) met = met || condition(route);
    }
    context.TryCancel();
    (void)stream->Finish();
    return met;
  }

 private:
  const TempDir directory_;
  const SystemClock clock_;
  config::v1::RegistryConfig config_;
  std::unique_ptr<nameservice::NameService> service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

inline bool Exists(const nameservice::v1::Route& route) {
  return route.status().code() == apache::rocketmq::v2::OK;
}
inline bool IsGone(const nameservice::v1::Route& route) {
  return route.status().code() == apache::rocketmq::v2::TOPIC_NOT_FOUND;
}

}  // namespace dunlin::broker
