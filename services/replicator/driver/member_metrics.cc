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

double Seconds(uint64_t millis) { return static_cast<double>(millis) / 1e3; }

// Of each slave that follows.
void AddLags(const v1::GetMemberResponse& member, std::vector<MetricFamily>& families) {
  MetricFamily bytes{.name = "dunlin_replicator_lag_bytes",
                     .help = "Bytes of the master's log that a slave does not have yet.",
                     .type = MetricType::Gauge,
                     .metric = {}};
  MetricFamily seconds{.name = "dunlin_replicator_lag_seconds",
                       .help =
                           "How long ago a slave last had all that the master had at that "
                           "time; 0: it has all there is.",
                       .type = MetricType::Gauge,
                       .metric = {}};
  for (const v1::SlaveStatus& slave : member.slaves()) {
    const auto add = [&slave](MetricFamily& family, double value) {
      ClientMetric& metric = family.metric.emplace_back();
      metric.label.push_back({"member", slave.member()});
      metric.gauge.value = value;
    };
    add(bytes, static_cast<double>(slave.lag_bytes()));
    add(seconds, Seconds(slave.lag_ms()));
  }
  families.push_back(std::move(bytes));
  families.push_back(std::move(seconds));
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
  if (member.min_in_sync() > 0) {
    families.push_back(Gauge("dunlin_replicator_min_in_sync",
                             "With fewer members in the in-sync set nothing new is taken.",
                             member.min_in_sync()));
  }
  if (member.has_lease_remaining_ms()) {
    families.push_back(Gauge("dunlin_replicator_lease_remaining_seconds",
                             "For how long the master may still acknowledge without a further word "
                             "of its coordinator or of all other members.",
                             Seconds(member.lease_remaining_ms())));
  }
  AddLags(member, families);
  return families;
}

void MemberMetrics::Close() {
  MutexLock lock(mutex_);
  driver_ = nullptr;
}

}  // namespace dunlin::replicator
