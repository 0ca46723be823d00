#include "operator/planner/preference.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "operator/k8s/object.h"
#include "operator/k8s/rfc3339.h"

namespace dunlin::op {
namespace {

// Why it could not take over. Empty: it could.
std::string WhyUnable(const Member& member) {
  if (member.object == nullptr) return "it has no pod";
  if (!member.is_serving()) return "it is not ready";
  if (!member.in_sync) return "it is not in sync";
  return "";
}

// What is not in the status yet is of this moment.
bool IsMasterNew(const Observed& observed, const BrokerGroupSpec& spec, Timestamp now) {
  const k8s::Json& group = *observed.group;
  const int64_t known = k8s::IntAt(group, {"status", "lastRoleChange", "epoch"});
  if (known != observed.coordination->epoch) return spec.min_switchover_interval.count() > 0;
  // Times of this form are in order as texts.
  return k8s::StringAt(group, {"status", "lastRoleChange", "noticedAt"}) >
         k8s::FormatTime(now - spec.min_switchover_interval);
}

}  // namespace

PreferenceStep NextPreferenceStep(const Observed& observed, const BrokerGroupSpec& spec,
                                  const std::vector<Member>& members, Timestamp now) {
  const std::string& preferred = spec.preferred_master;
  if (preferred.empty()) return {};
  const auto waits = [&](std::string reason, std::string why) {
    return PreferenceStep{.handover = "", .reason = std::move(reason), .why = std::move(why)};
  };
  const auto found = std::find_if(members.begin(), members.end(),
                                  [&](const Member& member) { return member.pod == preferred; });
  if (found != members.end() && found->master) return waits("IsMaster", "");
  const bool has_master =
      std::any_of(members.begin(), members.end(), [](const Member& m) { return m.master; });
  if (!has_master) return waits("NoMaster", "nobody is master who could hand over");
  std::string unable = found == members.end() ? "it is no member" : WhyUnable(*found);
  if (!unable.empty()) {
    return waits("NotAble", fmt::format("{} cannot take over: {}", preferred, unable));
  }
  if (found->leaving) {
    return waits("NodeLeaves", fmt::format("the node of {} is to be emptied", preferred));
  }
  if (IsMasterNew(observed, spec, now)) {
    return waits("TooSoon",
                 fmt::format("the master changed less than {} s ago (failover.minIntervalSeconds)",
                             spec.min_switchover_interval.count()));
  }
  return {.handover = preferred,
          .reason = "HandingOver",
          .why = fmt::format("failover.preferredMaster is {}", preferred)};
}

}  // namespace dunlin::op
