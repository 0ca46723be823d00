#include "operator/program/operator_metrics.h"

#include <utility>

namespace dunlin::op {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::map<std::string, std::string>;

// From a plan that finds nothing to do to one that makes a whole group on a slow API server.
prometheus::Histogram::BucketBoundaries Seconds() {
  return {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
}

prometheus::Family<prometheus::Counter>& Reconciles(prometheus::Registry& registry) {
  return prometheus::BuildCounter()
      .Name("dunlin_operator_reconciles_total")
      .Help("How often resources were looked at, by kind and result (ok, error).")
      .Register(registry);
}

class Family {
 public:
  Family(MetricType type, const char* name, const char* help) {
    family_.name = std::string("dunlin_operator_") + name;
    family_.help = help;
    family_.type = type;
  }
  Family& Add(double value, const Labels& labels = {}) {
    prometheus::ClientMetric& metric = family_.metric.emplace_back();
    for (const auto& [label, text] : labels) metric.label.push_back({label, text});
    (family_.type == MetricType::Gauge ? metric.gauge.value : metric.counter.value) = value;
    return *this;
  }
  MetricFamily Take() { return std::move(family_); }

 private:
  MetricFamily family_;
};

void AddQueues(const OperatorMetrics::Values& now, std::vector<MetricFamily>& families) {
  Family depth(MetricType::Gauge, "queue_depth", "Resources that wait for a worker.");
  Family delayed(MetricType::Gauge, "queue_delayed", "Resources that are looked at later.");
  Family adds(MetricType::Counter, "queue_adds_total", "Looks that were asked for.");
  Family retries(MetricType::Counter, "queue_retries_total", "Of those, after a failure.");
  Family taken(MetricType::Counter, "queue_takes_total", "Looks that were begun.");
  Family waited(MetricType::Counter, "queue_wait_seconds_total",
                "How long they had waited for a worker, together.");
  for (const auto& [kind, stats] : now.queues) {
    const Labels labels = {{"kind", kind}};
    depth.Add(static_cast<double>(stats.depth), labels);
    delayed.Add(static_cast<double>(stats.delayed), labels);
    adds.Add(static_cast<double>(stats.adds), labels);
    retries.Add(static_cast<double>(stats.retries), labels);
    taken.Add(static_cast<double>(stats.taken), labels);
    waited.Add(std::chrono::duration<double>(stats.waited).count(), labels);
  }
  for (Family* const family : {&depth, &delayed, &adds, &retries, &taken, &waited}) {
    families.push_back(family->Take());
  }
}

// `namespace` is what Prometheus calls the operator's own.
void AddReplicas(const OperatorMetrics::Values& now, std::vector<MetricFamily>& families) {
  Family replicas(MetricType::Gauge, "replicas",
                  "Pods of a resource, by state: wanted by its spec, ready by its status.");
  for (const OperatorMetrics::Replicas& of : now.replicas) {
    Labels labels = {
        {"kind", of.kind}, {"resource_namespace", of.key.space}, {"resource", of.key.name}};
    labels["state"] = "wanted";
    replicas.Add(static_cast<double>(of.wanted), labels);
    labels["state"] = "ready";
    replicas.Add(static_cast<double>(of.ready), labels);
  }
  families.push_back(replicas.Take());
}

void AddWatches(const OperatorMetrics::Values& now, std::vector<MetricFamily>& families) {
  Family lists(MetricType::Counter, "lists_total", "Lists that were begun, by kind.");
  Family watches(MetricType::Counter, "watches_total",
                 "Watches that were begun, the first included, by kind.");
  Family expired(MetricType::Counter, "watches_expired_total",
                 "Watches that the API server could not go on with (410), by kind.");
  Family idle(MetricType::Counter, "watches_idle_total",
              "Watches that were given up because nothing came, by kind.");
  Family failing(MetricType::Gauge, "watch_failing", "1 while it cannot be watched, by kind.");
  std::map<std::string, k8s::Reflector::State> by_kind;  // of all namespaces
  for (const auto& [kind, state] : now.watches) {
    k8s::Reflector::State& sum = by_kind[kind];
    sum.lists += state.lists;
    sum.watches += state.watches;
    sum.expirations += state.expirations;
    sum.idle_ends += state.idle_ends;
    if (!state.error.empty()) sum.error = state.error;
  }
  for (const auto& [kind, state] : by_kind) {
    const Labels labels = {{"kind", kind}};
    lists.Add(static_cast<double>(state.lists), labels);
    watches.Add(static_cast<double>(state.watches), labels);
    expired.Add(static_cast<double>(state.expirations), labels);
    idle.Add(static_cast<double>(state.idle_ends), labels);
    failing.Add(state.error.empty() ? 0 : 1, labels);
  }
  for (Family* const family : {&lists, &watches, &expired, &idle, &failing}) {
    families.push_back(family->Take());
  }
}

}  // namespace

ReconcileMetrics::ReconcileMetrics(prometheus::Registry& registry, const std::string& kind)
    : succeeded_(Reconciles(registry).Add({{"kind", kind}, {"result", "ok"}})),
      failed_(Reconciles(registry).Add({{"kind", kind}, {"result", "error"}})),
      duration_(prometheus::BuildHistogram()
                    .Name("dunlin_operator_reconcile_duration_seconds")
                    .Help("How long a look at a resource took, with all that was done, by kind.")
                    .Register(registry)
                    .Add({{"kind", kind}}, Seconds())) {}

void ReconcileMetrics::Observe(bool ok, std::chrono::nanoseconds duration) {
  (ok ? succeeded_ : failed_).Increment();
  duration_.Observe(std::chrono::duration<double>(duration).count());
}

std::vector<MetricFamily> OperatorMetrics::Collect() const {
  const Values now = read_();
  std::vector<MetricFamily> families;
  families.push_back(Family(MetricType::Gauge, "leader", "1 while this operator leads.")
                         .Add(now.leader ? 1 : 0)
                         .Take());
  families.push_back(
      Family(MetricType::Gauge, "synced", "1 once all that is watched has been listed.")
          .Add(now.synced ? 1 : 0)
          .Take());
  Family objects(MetricType::Gauge, "objects", "Resources there are, by kind and phase.");
  for (const auto& [kind, phases] : now.objects) {
    for (const auto& [phase, count] : phases) {
      objects.Add(static_cast<double>(count), {{"kind", kind}, {"phase", phase}});
    }
  }
  families.push_back(objects.Take());
  AddReplicas(now, families);
  AddQueues(now, families);
  AddWatches(now, families);
  return families;
}

}  // namespace dunlin::op
