#include "services/runtime/connection_metrics.h"

#include <array>
#include <cstdint>
#include <utility>

namespace dunlin {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

}  // namespace

std::vector<MetricFamily> ConnectionMetrics::Collect() const {
  const AcceptorCounts counts = counter_();

  MetricFamily open{.name = "dunlin_runtime_connections",
                    .help = "Open connections.",
                    .type = MetricType::Gauge,
                    .metric = {}};
  open.metric.emplace_back().gauge.value = static_cast<double>(counts.open);

  MetricFamily accepted{.name = "dunlin_runtime_connections_accepted_total",
                        .help = "Connections accepted from the kernel.",
                        .type = MetricType::Counter,
                        .metric = {}};
  accepted.metric.emplace_back().counter.value = static_cast<double>(counts.accepted);

  MetricFamily closed{.name = "dunlin_runtime_connections_turned_away_total",
                      .help = "Connections closed before gRPC saw them.",
                      .type = MetricType::Counter,
                      .metric = {}};
  const std::array<std::pair<const char*, uint64_t>, 5> reasons = {{
      {"limit", counts.over_limit},
      {"peer_limit", counts.over_peer_limit},
      {"descriptors", counts.out_of_descriptors},
      {"silent", counts.silent},
      {"protocol", counts.unknown_protocol},
  }};
  for (const auto& [reason, count] : reasons) {
    ClientMetric& metric = closed.metric.emplace_back();
    metric.label.push_back({"reason", reason});
    metric.counter.value = static_cast<double>(count);
  }
  return {std::move(open), std::move(accepted), std::move(closed)};
}

}  // namespace dunlin
