// A cluster in the test's own process: a name service that tells of broker groups a, b and c, each
// served by a fake of the test.

#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "clients/cli/connection.h"
#include "proto/dunlin/nameservice/v1/registry.grpc.pb.h"

namespace dunlin::cli {

class FakeNames final : public nameservice::v1::RegistryService::Service {
 public:
  grpc::Status ListBrokerGroups(grpc::ServerContext* /*context*/,
                                const nameservice::v1::ListBrokerGroupsRequest* /*request*/,
                                nameservice::v1::ListBrokerGroupsResponse* response) override {
    for (const auto& [name, port] : ports) {
      nameservice::v1::GroupState& group = *response->add_groups();
      group.set_name(name);
      if (port == 0) continue;
      auto& address = *group.add_members()->mutable_endpoints()->add_addresses();
      address.set_host("127.0.0.1");
      address.set_port(port);
    }
    return grpc::Status::OK;
  }

  grpc::Status ListClusters(grpc::ServerContext* /*context*/,
                            const nameservice::v1::ListClustersRequest* /*request*/,
                            nameservice::v1::ListClustersResponse* response) override {
    if (!awaited.empty()) response->add_awaited_groups(awaited);
    return grpc::Status::OK;
  }

  std::string awaited;
  // 0: all members of the group have gone.
  std::map<std::string, int> ports;
};

template <typename FakeBroker>
class ClusterTest : public ::testing::Test {
 protected:
  ClusterTest() {
    for (const char* name : {"a", "b", "c"}) {
      servers_[name] = Serve(brokers_[name], names_.ports[name]);
    }
    int port = 0;
    servers_["names"] = Serve(names_, port);
    options_.endpoint = "127.0.0.1:" + std::to_string(port);
    Connect();
  }

  // With the options as they are.
  void Connect() { connection_ = std::make_unique<Connection>(options_); }
  // The exit status; what it said is in `said_`.
  template <typename Command>
  int Run(const Command& command) {
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int exit = command();
    said_ = ::testing::internal::GetCapturedStderr() + ::testing::internal::GetCapturedStdout();
    return exit;
  }
  std::string EndpointOf(const std::string& broker) {
    return "127.0.0.1:" + std::to_string(names_.ports[broker]);
  }

  std::map<std::string, FakeBroker> brokers_;
  FakeNames names_;
  std::map<std::string, std::unique_ptr<grpc::Server>> servers_;
  GlobalOptions options_;
  std::unique_ptr<Connection> connection_;
  std::string said_;

 private:
  static std::unique_ptr<grpc::Server> Serve(grpc::Service& service, int& port) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    return builder.BuildAndStart();
  }
};

}  // namespace dunlin::cli
