// BrokerMetrics: what a broker tells Prometheus of itself, its topics and its consumer groups.
//
// Names of RocketMQ 5 where the meaning is the same. What is per topic and per group comes from
// masters alone, so that sums over a cluster count nothing twice.

#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "services/base/file.h"
#include "services/base/mutex.h"
#include "services/broker/admin/admin.h"
#include "services/broker/admin/admin_rooms.h"

namespace dunlin::broker {

// Outlives brokers: one that is closed and opened in another role shows itself here again.
// Thread-safe. Collecting reads indexes, and of each queue that is behind one message; Close cuts
// it short, so that no change of role waits for it.
class BrokerMetrics final : public prometheus::Collectable {
 public:
  // Most pairs of a topic and a group, and most topics, in one answer; how many are left out is
  // told, too.
  static constexpr size_t kSeriesMax = 10'000;

  // `directory`: whose disk is looked at. `files` must outlive it.
  BrokerMetrics(FileSystem& files, std::string directory)
      : files_(files), directory_(std::move(directory)) {}

  // From now on the broker of `admin`, which must live until Close.
  void Show(Admin& admin, bool slave) ABSL_LOCKS_EXCLUDED(mutex_);
  // From now on nothing.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

  std::vector<prometheus::MetricFamily> Collect() const override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  FileSystem& files_;
  const std::string directory_;
  std::atomic<bool> closing_ = false;
  mutable Mutex mutex_;
  Admin* admin_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool slave_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace dunlin::broker
