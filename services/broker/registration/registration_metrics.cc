#include "services/broker/registration/registration_metrics.h"

#include <cstdint>
#include <string>
#include <utility>

namespace dunlin::broker {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

}  // namespace

std::vector<MetricFamily> RegistrationMetrics::Collect() const {
  MetricFamily registered{.name = "dunlin_registration_registered",
                          .help = "1 while the broker is registered with the name service.",
                          .type = MetricType::Gauge,
                          .metric = {}};
  for (const Registrar::Counts& session : sessions_) {
    ClientMetric& metric = registered.metric.emplace_back();
    metric.label.push_back({"name_service", session.name_service});
    metric.gauge.value = session.counts->registered ? 1 : 0;
  }
  std::vector<MetricFamily> families = {std::move(registered)};
  const auto counter = [&](const char* name, const char* help, auto member) {
    MetricFamily family{.name = std::string("dunlin_registration_") + name,
                        .help = help,
                        .type = MetricType::Counter,
                        .metric = {}};
    for (const Registrar::Counts& session : sessions_) {
      ClientMetric& metric = family.metric.emplace_back();
      metric.label.push_back({"name_service", session.name_service});
      metric.counter.value = static_cast<double>(((*session.counts).*member).load());
    }
    families.push_back(std::move(family));
  };
  counter("welcomes_total", "Sessions that the name service has accepted.",
          &RegistrationCounts::welcomes);
  counter("failures_total", "Sessions that ended, or never began.", &RegistrationCounts::failures);
  counter("tables_sent_total", "Times that all topics were sent.",
          &RegistrationCounts::tables_sent);
  counter("changes_sent_total", "Messages with changes of topics.",
          &RegistrationCounts::changes_sent);
  if (routes_ == nullptr) return families;
  const auto questions = [&](const char* name, const char* help, uint64_t value) {
    MetricFamily family{.name = name, .help = help, .type = MetricType::Counter, .metric = {}};
    family.metric.emplace_back().counter.value = static_cast<double>(value);
    families.push_back(std::move(family));
  };
  questions("dunlin_registration_routes_told_total",
            "Routes of other brokers that name services have told.", routes_->answered);
  questions("dunlin_registration_routes_failed_total",
            "Routes of other brokers that no name service told; what needed them was refused.",
            routes_->unanswered);
  return families;
}

}  // namespace dunlin::broker
