// OperatorMetrics: what the operator does, for Prometheus. Thread-safe.

#pragma once

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "operator/controller/caches.h"
#include "operator/k8s/object.h"
#include "operator/k8s/work_queue.h"

namespace dunlin::op {

// Of one kind of resources: how often and how long they were worked on.
class ReconcileMetrics {
 public:
  // `registry` outlives this.
  ReconcileMetrics(prometheus::Registry& registry, const std::string& kind);

  void Observe(bool ok, std::chrono::nanoseconds duration);

 private:
  prometheus::Counter& succeeded_;
  prometheus::Counter& failed_;
  prometheus::Histogram& duration_;
};

// What is read when Prometheus asks.
class OperatorMetrics final : public prometheus::Collectable {
 public:
  // Of one resource, by its spec and its status.
  struct Replicas {
    std::string kind;
    k8s::ObjectKey key;
    int64_t wanted = 0;
    int64_t ready = 0;
  };
  struct Values {
    bool leader = false;
    bool synced = false;
    std::map<std::string, k8s::WorkQueue::Stats> queues;           // by kind
    std::map<std::string, std::map<std::string, size_t>> objects;  // by kind and phase
    std::vector<Replicas> replicas;
    std::vector<Caches::Reflected> watches;
  };

  explicit OperatorMetrics(std::function<Values()> read) : read_(std::move(read)) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::function<Values()> read_;
};

}  // namespace dunlin::op
