#include "services/replicator/driver/member_metrics.h"

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <utility>

namespace dunlin::replicator {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Gauge(const std::string& name, const std::string& help, double value) {
  MetricFamily family{.name = name, .help = help, .type = MetricType::Gauge, .metric = {}};
  family.metric.emplace_back().gauge.value = value;
  return family;
}

}  // namespace

std::vector<MetricFamily> MemberMetrics::Collect() const {
  auto promise = std::make_shared<std::promise<v1::GetMemberResponse>>();
  std::future<v1::GetMemberResponse> answer = promise->get_future();
  {
    MutexLock lock(mutex_);
    if (driver_ == nullptr) return {};
    driver_->Describe(
        [promise](const v1::GetMemberResponse& member) { promise->set_value(member); });
  }
  if (answer.wait_for(std::chrono::seconds(1)) != std::future_status::ready) return {};
  const v1::GetMemberResponse member = answer.get();

  std::vector<MetricFamily> families;
  families.push_back(Gauge("dunlin_replicator_role",
                           "The member's role: 0 none, 1 slave, 2 master.",
                           static_cast<double>(member.role())));
  families.push_back(Gauge("dunlin_replicator_epoch", "The epoch of the role.", member.epoch()));
  families.push_back(Gauge("dunlin_replicator_in_sync_members",
                           "Members in the in-sync set, as the coordinator has it.",
                           member.in_sync_size()));
  families.push_back(Gauge("dunlin_replicator_accepting",
                           "Whether new messages are taken here: 0 or 1.", member.accepting()));
  families.push_back(Gauge("dunlin_replicator_by_pledges",
                           "Whether the master goes on by the pledges of all others, because the "
                           "coordinator is away: 0 or 1.",
                           member.by_pledges()));
  families.push_back(
      Gauge("dunlin_replicator_end_bytes", "End of the log.", static_cast<double>(member.end())));
  families.push_back(Gauge("dunlin_replicator_confirm_bytes",
                           "What is below this offset of the log is confirmed.",
                           static_cast<double>(member.confirm())));
  MetricFamily elections{.name = "dunlin_replicator_elections_total",
                         .help = "How often the member became master.",
                         .type = MetricType::Counter,
                         .metric = {}};
  elections.metric.emplace_back().counter.value = static_cast<double>(member.elections());
  families.push_back(std::move(elections));
  MetricFamily lag{.name = "dunlin_replicator_lag_bytes",
                   .help = "Bytes of the master's log that a slave does not have yet.",
                   .type = MetricType::Gauge,
                   .metric = {}};
  for (const v1::SlaveStatus& slave : member.slaves()) {
    ClientMetric& metric = lag.metric.emplace_back();
    metric.label.push_back({"member", slave.member()});
    metric.gauge.value = static_cast<double>(slave.lag_bytes());
  }
  families.push_back(std::move(lag));
  return families;
}

void MemberMetrics::Close() {
  MutexLock lock(mutex_);
  driver_ = nullptr;
}

}  // namespace dunlin::replicator
