// The replicator as a stranger meets it, who knows no secret.
#include "services/replicator/replicator.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "proto/dunlin/config/v1/config.pb.h"
#include "proto/dunlin/replication/v1/replication.grpc.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::replicator {
namespace {

namespace v1 = dunlin::replication::v1;

// What a broker's port takes, 128 MiB and more, is not for this one.
TEST(ReplicatorTest, LongRequestsAreRefusedBeforeAnybodyParsesThem) {
  const TempDir directory;
  const SystemClock clock;
  config::v1::DunlinConfig config;
  config.set_data_dir(directory.path());
  config.mutable_broker()->set_broker_name("orders");
  config::v1::ReplicationConfig& replication = *config.mutable_replication();
  replication.set_member("a");
  replication.set_members("a=127.0.0.1:1, b=127.0.0.1:2");
  replication.set_master("b");
  replication.set_listen_address("127.0.0.1:0");
  const absl::StatusOr<std::unique_ptr<Replicator>> replicator =
      Replicator::Start(config, RealFiles(), clock, [] {});
  ASSERT_OK(replicator);

  const auto stub = v1::ReplicationService::NewStub(grpc::CreateChannel(
      fmt::format("127.0.0.1:{}", (*replicator)->port()), grpc::InsecureChannelCredentials()));
  v1::ChangeMembersRequest request;
  request.set_group(std::string(2 << 20, 'x'));
  v1::ChangeMembersResponse response;
  grpc::ClientContext unary;
  EXPECT_EQ(stub->ChangeMembers(&unary, request, &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);

  grpc::ClientContext context;
  const auto stream = stub->Follow(&context);
  v1::FollowRequest hello;
  hello.mutable_hello()->set_group(std::string(2 << 20, 'x'));
  stream->Write(hello);
  stream->WritesDone();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace dunlin::replicator
