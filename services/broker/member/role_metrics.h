// RoleMetrics: the metrics of the role that is open at the time, for Prometheus: a change of role
// takes them away, and brings others. Thread-safe; may outlive the roles.

#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <memory>
#include <utility>
#include <vector>

#include "services/base/mutex.h"

namespace dunlin::broker {

class RoleMetrics final : public prometheus::Collectable {
 public:
  // Null: there are none.
  void Set(std::shared_ptr<const prometheus::Collectable> now) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    now_ = std::move(now);
  }

  std::vector<prometheus::MetricFamily> Collect() const override ABSL_LOCKS_EXCLUDED(mutex_) {
    std::shared_ptr<const prometheus::Collectable> now;
    {
      MutexLock lock(mutex_);
      now = now_;
    }
    return now == nullptr ? std::vector<prometheus::MetricFamily>() : now->Collect();
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const prometheus::Collectable> now_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::broker
