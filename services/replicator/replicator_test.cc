// The whole of a member's replicator, before strangers.

#include "services/replicator/replicator.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "proto/dunlin/replication/v1/replication.grpc.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::replicator {
namespace {

namespace v1 = dunlin::replication::v1;

class ReplicatorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_.set_data_dir(directory_.path());
    config_.mutable_server()->mutable_tls()->set_mode(config::v1::TlsConfig::OFF);
    config::v1::ReplicationConfig& replication = *config_.mutable_replication();
    replication.set_member("a");
    replication.set_members("a=127.0.0.1:1, b=127.0.0.1:2");
    replication.set_coordinator(config::v1::ReplicationConfig::STATIC);
    replication.set_master("b");
    replication.set_listen_address("127.0.0.1:0");
    auto started = Replicator::Start(config_, RealFiles(), clock_, [] {});
    ASSERT_OK(started);
    replicator_ = *std::move(started);
    stub_ = v1::ReplicationService::NewStub(grpc::CreateChannel(
        fmt::format("127.0.0.1:{}", replicator_->port()), grpc::InsecureChannelCredentials()));
  }
  // How a stream ends that begins with this hello.
  grpc::Status EndOf(const v1::FollowRequest& hello) {
    grpc::ClientContext context;
    const auto stream = stub_->Follow(&context);
    stream->Write(hello);
    v1::FollowResponse answer;
    while (stream->Read(&answer)) continue;
    return stream->Finish();
  }

  TempDir directory_;
  SystemClock clock_;
  config::v1::DunlinConfig config_;
  std::unique_ptr<Replicator> replicator_;
  std::unique_ptr<v1::ReplicationService::Stub> stub_;
};

TEST_F(ReplicatorTest, AHelloOfAStrangerIsNoLargerThanAnyMemberNeeds) {
  v1::FollowRequest request;
  request.mutable_hello()->set_member(std::string(2u << 20, 'x'));
  EXPECT_EQ(EndOf(request).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  // One of a log of many epochs is heard, and then refused for what it says.
  request.mutable_hello()->set_member("nobody");
  for (uint32_t epoch = 1; epoch < 20'000; ++epoch) {
    v1::EpochStart& start = *request.mutable_hello()->add_epochs();
    start.set_epoch(epoch);
    start.set_start(uint64_t{epoch} << 30);
  }
  EXPECT_EQ(EndOf(request).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  request.mutable_hello()->set_group(config_.broker().broker_name());
  EXPECT_EQ(EndOf(request).error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

}  // namespace
}  // namespace dunlin::replicator
