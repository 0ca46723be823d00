// NameServiceMetrics: what a name service knows and has been told, for Prometheus. Thread-safe.

#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "services/nameservice/routes/route_table.h"

namespace dunlin::nameservice {

class NameServiceMetrics final : public prometheus::Collectable {
 public:
  struct Values {
    RouteTable::Counts counts;
    size_t watches = 0;
    bool ready = false;
  };

  explicit NameServiceMetrics(std::function<Values()> read) : read_(std::move(read)) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::function<Values()> read_;
};

}  // namespace dunlin::nameservice
