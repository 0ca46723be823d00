// MemberMetrics: what a member tells of itself, for Prometheus.

#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <vector>

#include "services/base/mutex.h"
#include "services/replicator/driver/member_driver.h"

namespace dunlin::replicator {

// Thread-safe. Collecting asks the driver's thread, and gives up after a second.
class MemberMetrics final : public prometheus::Collectable {
 public:
  // `driver` must live until Close.
  explicit MemberMetrics(MemberDriver& driver) : driver_(&driver) {}

  std::vector<prometheus::MetricFamily> Collect() const override ABSL_LOCKS_EXCLUDED(mutex_);
  // From now on there is nothing to collect.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable Mutex mutex_;
  MemberDriver* driver_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::replicator
