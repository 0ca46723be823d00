#include "services/relay/relay.h"

#include <grpcpp/generic/async_generic_service.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>

namespace dunlin {
namespace {

using Ended = std::future<grpc::Status>;

constexpr char kMethod[] = "/any.Service/Method";

Ended Pass(Relay& relay, const std::string& address, size_t bytes) {
  const grpc::Slice slice(std::string(bytes, 'x'));
  Relay::Caller caller;
  caller.deadline = std::chrono::system_clock::time_point::max();
  auto ended = std::make_shared<std::promise<grpc::Status>>();
  relay.Pass(
      address, kMethod, caller, grpc::ByteBuffer(&slice, 1),
      [ended](const grpc::Status& status, const grpc::ByteBuffer&) { ended->set_value(status); });
  return ended->get_future();
}

// Takes calls and answers none.
class Silent final : public grpc::CallbackGenericService {
 public:
  Silent() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
  }
  ~Silent() override { server_->Shutdown(std::chrono::system_clock::now()); }
  std::string Address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  class Waiting final : public grpc::ServerGenericBidiReactor {
   public:
    void OnCancel() override { Finish(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }
  };
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* /*context*/) override {
    return new Waiting;
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST(RelayTest, BytesOnTheirWayAreBounded) {
  const Silent broker;
  Relay relay({.bytes = 1000});
  Ended large = Pass(relay, broker.Address(), 2000);  // alone
  EXPECT_EQ(Pass(relay, broker.Address(), 10).get().error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  relay.Cancel();
  EXPECT_EQ(large.get().error_code(), grpc::StatusCode::CANCELLED);
}

TEST(RelayTest, CallsAtATimeAreBounded) {
  const Silent broker;
  Relay relay({.calls = 2});
  Ended first = Pass(relay, broker.Address(), 1);
  Ended second = Pass(relay, broker.Address(), 1);
  EXPECT_EQ(Pass(relay, broker.Address(), 1).get().error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  relay.Cancel();
  first.wait();
  second.wait();
}

TEST(RelayTest, AddressesOfOldMakeRoomForNewOnes) {
  const Silent broker;
  Relay relay({.channels = 3});
  Ended under_way = Pass(relay, broker.Address(), 1);
  // Nobody listens there.
  for (int port = 1; port <= 20; ++port) {
    EXPECT_EQ(Pass(relay, "127.0.0.1:" + std::to_string(port), 1).get().error_code(),
              grpc::StatusCode::UNAVAILABLE);
  }
  relay.Cancel();
  EXPECT_EQ(under_way.get().error_code(), grpc::StatusCode::CANCELLED);
}

}  // namespace
}  // namespace dunlin
