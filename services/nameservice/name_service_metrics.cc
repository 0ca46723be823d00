#include "services/nameservice/name_service_metrics.h"

#include <string>

namespace dunlin::nameservice {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Gauge(const char* name, const char* help, double value) {
  MetricFamily family{.name = std::string("dunlin_nameservice_") + name,
                      .help = help,
                      .type = MetricType::Gauge,
                      .metric = {}};
  family.metric.emplace_back().gauge.value = value;
  return family;
}

MetricFamily Counter(const char* name, const char* help, uint64_t value) {
  MetricFamily family{.name = std::string("dunlin_nameservice_") + name,
                      .help = help,
                      .type = MetricType::Counter,
                      .metric = {}};
  family.metric.emplace_back().counter.value = static_cast<double>(value);
  return family;
}

}  // namespace

std::vector<MetricFamily> NameServiceMetrics::Collect() const {
  const Values now = read_();
  const RouteTable::Counts& counts = now.counts;
  const auto count = [](size_t number) { return static_cast<double>(number); };
  return {
      Gauge("ready", "1 once routes are told after the start.", now.ready ? 1 : 0),
      Gauge("broker_groups", "Broker groups that are known.", count(counts.groups)),
      Gauge("members", "Members of broker groups that are registered.", count(counts.members)),
      Gauge("topics", "Names of topics.", count(counts.topics)),
      Gauge("topic_holdings", "Pairs of a topic and a broker group.", count(counts.queues)),
      Gauge("watches", "Topics that clients watch.", count(now.watches)),
      Counter("hellos_total", "Registrations that brokers have asked for.", counts.hellos),
      Counter("refused_hellos_total", "Of those, refused ones.", counts.refused),
      Counter("tables_requested_total", "Whole topic tables that brokers were asked for.",
              counts.tables_asked_for),
      Counter("tables_received_total", "Whole topic tables that brokers have sent.", counts.tables),
      Counter("topic_changes_total", "Messages with changes of topics.", counts.topic_changes),
      Counter("left_out_topics_total",
              "Topics left out of routes: they made no sense, or were too many.", counts.left_out),
      Counter("timed_out_sessions_total", "Sessions that were silent for too long.",
              counts.timed_out),
  };
}

}  // namespace dunlin::nameservice
