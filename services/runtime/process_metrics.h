// ProcessMetrics: memory, CPU time, threads and open files, under Prometheus' customary names.
//
// Read from /proc/self each time somebody asks. Thread-safe.

#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <vector>

namespace dunlin {

class ProcessMetrics final : public prometheus::Collectable {
 public:
  // What cannot be read is left out.
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace dunlin
