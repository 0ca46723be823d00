// RpcMetrics: rate, errors and duration of each method of gRPC that this process answers.
//
// One for the process, like its Prometheus endpoint: servers come and go with the roles of a
// broker, and their counts go on. A method that no linked contract has counts as `other`, so that
// strangers cannot make series. What applications are refused in an answer with gRPC status OK
// (apache.rocketmq.v2) is not an error here: `dunlin_broker_refusals_total` has it.

#pragma once

#include <grpcpp/support/server_interceptor.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "services/base/latency_histogram.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"

namespace dunlin {

// Thread-safe.
class RpcMetrics final : public prometheus::Collectable,
                         public std::enable_shared_from_this<RpcMetrics> {
 public:
  static const std::shared_ptr<RpcMetrics>& OfProcess();

  // For a server; each call of it is counted.
  std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> NewFactory();

  std::vector<prometheus::MetricFamily> Collect() const override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  static constexpr size_t kCodes = 17;  // of gRPC

  class Call;
  class Factory;

  struct Method {
    std::atomic<int64_t> in_flight = 0;
    std::array<std::atomic<uint64_t>, kCodes> ended = {};
    // Of unary calls alone: a stream takes as long as its client likes.
    LatencyHistogram took;
  };

  // `name` as on the wire: /package.Service/Method. It lives as long as this.
  Method& Find(std::string_view name) ABSL_LOCKS_EXCLUDED(mutex_);

  mutable Mutex mutex_;
  StringMap<std::unique_ptr<Method>> methods_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin
