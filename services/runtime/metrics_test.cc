#include "services/runtime/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"

#include "services/base/testing/status_matchers.h"
#include "services/runtime/acceptor.h"
#include "services/runtime/connection_metrics.h"
#include "services/runtime/testing/raw_client.h"

namespace dunlin {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Get(uint16_t port, const std::string& path) {
  RawClient client(port);
  EXPECT_TRUE(client.connected());
  EXPECT_TRUE(client.Send("GET " + path + " HTTP/1.0\r\n\r\n"));
  return client.ReadAll(std::chrono::seconds(5));
}

TEST(MetricsTest, ServesTheRegistryAndTheProcess) {
  const absl::StatusOr<std::unique_ptr<Metrics>> metrics = Metrics::Start("127.0.0.1:0");
  ASSERT_OK(metrics);
  prometheus::BuildCounter()
      .Name("dunlin_test_messages_total")
      .Help("Messages.")
      .Register((*metrics)->registry())
      .Add({})
      .Increment(3);
  const std::string page = Get((*metrics)->port(), "/metrics");
  EXPECT_THAT(page, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(page, HasSubstr("dunlin_test_messages_total 3"));
  EXPECT_THAT(page, HasSubstr("process_resident_memory_bytes "));
  EXPECT_THAT(page, HasSubstr("process_open_fds "));
  EXPECT_THAT(Get((*metrics)->port(), "/other"), HasSubstr(" 404 Not Found"));
}

TEST(MetricsTest, ServesTheCountsOfAListener) {
  const absl::StatusOr<std::unique_ptr<Metrics>> metrics = Metrics::Start("127.0.0.1:0");
  ASSERT_OK(metrics);
  (*metrics)->Add(std::make_shared<ConnectionMetrics>(
      [] { return AcceptorCounts{.open = 5, .accepted = 7, .silent = 2}; }));
  const std::string page = Get((*metrics)->port(), "/metrics");
  EXPECT_THAT(page, HasSubstr("dunlin_runtime_connections 5"));
  EXPECT_THAT(page, HasSubstr("dunlin_runtime_connections_accepted_total 7"));
  EXPECT_THAT(page, HasSubstr("dunlin_runtime_connections_turned_away_total{reason=\"silent\"} 2"));
}

TEST(MetricsTest, WorksWithoutAnEndpoint) {
  const absl::StatusOr<std::unique_ptr<Metrics>> metrics = Metrics::Start("");
  ASSERT_OK(metrics);
  EXPECT_EQ((*metrics)->port(), 0);
  (*metrics)->Add(std::make_shared<ConnectionMetrics>([] { return AcceptorCounts{}; }));
  EXPECT_TRUE((*metrics)->registry().Collect().empty());
}

TEST(MetricsTest, SaysWhichAddressIsTaken) {
  const absl::StatusOr<std::unique_ptr<Metrics>> first = Metrics::Start("127.0.0.1:0");
  ASSERT_OK(first);
  const std::string taken = "127.0.0.1:" + std::to_string((*first)->port());
  EXPECT_THAT(Metrics::Start(taken), StatusIs(absl::StatusCode::kUnavailable, HasSubstr(taken)));
  EXPECT_FALSE(Metrics::Start("no address").ok());
}

}  // namespace
}  // namespace dunlin
