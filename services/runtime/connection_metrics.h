// ConnectionMetrics: a listener's counts (acceptor.h) for Prometheus. Thread-safe.

#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <functional>
#include <utility>
#include <vector>

#include "services/runtime/acceptor.h"

namespace dunlin {

class ConnectionMetrics final : public prometheus::Collectable {
 public:
  explicit ConnectionMetrics(std::function<AcceptorCounts()> counter)
      : counter_(std::move(counter)) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::function<AcceptorCounts()> counter_;
};

}  // namespace dunlin
