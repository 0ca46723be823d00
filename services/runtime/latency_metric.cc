#include "services/runtime/latency_metric.h"

#include <chrono>
#include <cstdint>
#include <limits>

namespace dunlin {

prometheus::ClientMetric LatencyMetric(const LatencyHistogram::Snapshot& read) {
  using Seconds = std::chrono::duration<double>;
  prometheus::ClientMetric metric;
  uint64_t below = 0;
  for (size_t i = 0; i < read.counts.size(); ++i) {
    below += read.counts[i];
    const double bound = i < LatencyHistogram::kBounds.size()
                             ? Seconds(LatencyHistogram::kBounds[i]).count()
                             : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back({.cumulative_count = below, .upper_bound = bound});
  }
  metric.histogram.sample_count = below;
  metric.histogram.sample_sum = Seconds(read.sum).count();
  return metric;
}

}  // namespace dunlin
