#include "services/runtime/rpc_metrics.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <prometheus/metric_family.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/runtime/grpc_server.h"
#include "services/runtime/testing/echo.h"

namespace dunlin {
namespace {

using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// All servers of the process count in one place: what was there before does not count.
class RpcMetricsTest : public ::testing::Test {
 protected:
  RpcMetricsTest() {
    config::v1::ServerConfig config;
    config.set_listen_address("127.0.0.1:0");
    auto started = GrpcServer::Start(config, dir_.path(), {.services = {}, .generic = &echo_});
    EXPECT_OK(started);
    server_ = *std::move(started);
    channel_ = OwnChannel("127.0.0.1:" + std::to_string(server_->port()),
                          grpc::InsecureChannelCredentials());
  }

  // By method and code. When gRPC has ended the calls: it may do so after its clients have heard.
  std::map<std::string, double> Ended() {
    channel_.reset();
    server_->Stop(std::chrono::seconds(5));
    std::map<std::string, double> ended;
    for (const auto& family : RpcMetrics::OfProcess()->Collect()) {
      for (const auto& metric : family.metric) {
        if (family.name == "dunlin_rpc_ended_total") {
          ended[metric.label[0].value + " " + metric.label[1].value] = metric.counter.value;
        } else if (family.name == "dunlin_rpc_in_flight") {
          EXPECT_EQ(metric.gauge.value, 0) << metric.label[0].value;
        } else if (family.name == "dunlin_rpc_duration_seconds") {
          durations_[metric.label[0].value] = metric.histogram.sample_count;
        }
      }
    }
    return ended;
  }

  const TempDir dir_;
  EchoService echo_;
  std::unique_ptr<GrpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::map<std::string, uint64_t> durations_;
};

TEST_F(RpcMetricsTest, CountsByMethodAndCode) {
  ASSERT_TRUE(Echo(channel_, "a").status.ok());
  ASSERT_TRUE(Call(channel_, "/no.such.Service/Method", "b").status.ok());
  // A HealthCheckRequest of a service that nobody has.
  ASSERT_TRUE(Call(channel_, "/grpc.health.v1.Health/Check", "").status.ok());
  const std::string unknown("\x0a\x04none");
  ASSERT_EQ(Call(channel_, "/grpc.health.v1.Health/Check", unknown).status.error_code(),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(Ended(),
              UnorderedElementsAre(Pair("other OK", 2), Pair("/grpc.health.v1.Health/Check OK", 1),
                                   Pair("/grpc.health.v1.Health/Check NOT_FOUND", 1)));
  EXPECT_THAT(durations_, UnorderedElementsAre(Pair("/grpc.health.v1.Health/Check", 2)));
}

}  // namespace
}  // namespace dunlin
