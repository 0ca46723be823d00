#include "operator/planner/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "operator/k8s/conditions.h"
#include "operator/planner/config_text.h"
#include "operator/planner/drain.h"
#include "operator/planner/members.h"
#include "operator/planner/preference.h"
#include "operator/planner/resource_types.h"
#include "operator/planner/rollout.h"
#include "operator/planner/spec.h"
#include "operator/planner/status.h"
#include "operator/planner/volumes.h"
#include "services/base/strings.h"

namespace dunlin::op {
namespace {

// While something is under way that nobody tells us of.
constexpr std::chrono::seconds kSoon{2};
constexpr char kSwitchoverTo[] = "dunlin.dev/switchover-to";

k8s::Event Tell(k8s::EventType type, std::string reason, std::string action, std::string note) {
  return {.type = type,
          .reason = std::move(reason),
          .action = std::move(action),
          .note = std::move(note)};
}

void PlanSwitchover(const Observed& observed, std::string to, std::string_view why, Plan& plan) {
  plan.events.push_back(
      Tell(k8s::EventType::kNormal, "SwitchingOver", "Switchover",
           fmt::format("{} hands over to {}: {}", observed.coordination->master, to, why)));
  plan.switchover = Plan::Switchover{.to = std::move(to), .epoch = observed.coordination->epoch};
}

// What somebody asked for by annotation: once, whatever comes of it.
void PlanRequestedSwitchover(const Observed& observed, const BrokerGroupSpec& spec,
                             const std::vector<Member>& members, Plan& plan) {
  if (!observed.coordination.has_value() || observed.coordination->master.empty()) return;
  plan.answered.emplace_back(kSwitchoverTo);
  std::string to = spec.switchover_to;
  if (to == "any") to = BestSuccessor(members, std::numeric_limits<int>::max());
  if (to == observed.coordination->master) return;
  const auto found = std::find_if(members.begin(), members.end(),
                                  [&](const Member& member) { return member.pod == to; });
  if (found == members.end() || !found->is_serving() || !found->in_sync) {
    plan.events.push_back(
        Tell(k8s::EventType::kWarning, "SwitchoverRefused", "Switchover",
             fmt::format("'{}' cannot take over: it must be a member that is ready and in sync",
                         spec.switchover_to)));
    return;
  }
  PlanSwitchover(observed, std::move(to), "it was asked for", plan);
}

// "any" lets a supervised update go on. Where nobody takes over from the master that is its
// restart.
bool GoesOnWithMaster(const BrokerGroupSpec& spec, const Observed& observed,
                      const RolloutStep& rollout) {
  return spec.supervised && spec.switchover_to == "any" &&
         rollout.kind == RolloutStep::Kind::kDelete && observed.coordination.has_value() &&
         rollout.pod == observed.coordination->master;
}

// Whom nobody can take over from is told of once, and shown as long as it is so.
void TellBlockedDrain(const Observed& observed, const DrainStep& drain, Plan& plan) {
  if (drain.reason.empty() || !drain.handover.empty()) return;
  const k8s::Json* const before = k8s::Find(*observed.group, {"status", "conditions"});
  const k8s::Json* const told =
      before == nullptr ? nullptr : k8s::FindCondition(*before, "Draining");
  if (told != nullptr && k8s::StringAt(*told, {"reason"}) == drain.reason) return;
  plan.events.push_back(Tell(k8s::EventType::kWarning, "DrainBlocked", "Switchover", drain.why));
}

void PlanMemberChange(const Observed& observed, const BrokerGroupSpec& spec, const ScaleStep& scale,
                      Plan& plan) {
  const bool adds = !scale.add.empty();
  Plan::MemberChange change{.member = adds ? scale.add : scale.remove,
                            .address = "",
                            .epoch = observed.coordination->epoch};
  if (adds) change.address = fmt::format("{}:{}", HostOf(spec, change.member), kReplicatorPort);
  plan.events.push_back(
      Tell(k8s::EventType::kNormal, adds ? "AddingMember" : "RemovingMember", "Scale", scale.why));
  plan.member_change = std::move(change);
}

// At most one disturbance at a time: a switchover, or another member, or a pod that goes.
void PlanDisturbance(const Observed& observed, const BrokerGroupSpec& spec,
                     const std::vector<Member>& members, const Outcome& outcome, Plan& plan) {
  // Those who go need not be updated first; one that does not serve is what scaling may wait for.
  const bool scaling_in = static_cast<int>(members.size()) > spec.replicas;
  if (!outcome.scale.handover.empty()) {
    PlanSwitchover(observed, outcome.scale.handover, outcome.scale.why, plan);
  } else if (!spec.switchover_to.empty() && !GoesOnWithMaster(spec, observed, outcome.rollout)) {
    PlanRequestedSwitchover(observed, spec, members, plan);
  } else if (!outcome.drain.handover.empty()) {
    PlanSwitchover(observed, outcome.drain.handover, outcome.drain.why, plan);
  } else if (!outcome.scale.add.empty() || !outcome.scale.remove.empty()) {
    PlanMemberChange(observed, spec, outcome.scale, plan);
  } else if (outcome.rollout.kind == RolloutStep::Kind::kSwitchover) {
    if (!scaling_in) PlanSwitchover(observed, outcome.rollout.pod, outcome.rollout.why, plan);
  } else if (outcome.rollout.kind == RolloutStep::Kind::kDelete) {
    const auto found = std::find_if(members.begin(), members.end(), [&](const Member& member) {
      return member.pod == outcome.rollout.pod;
    });
    if (scaling_in && found->is_serving()) return;
    if (!spec.switchover_to.empty()) plan.answered.emplace_back(kSwitchoverTo);
    plan.deletion = Plan::Deletion{.pod = k8s::KeyOf(*found->object),
                                   .uid = std::string(k8s::UidOf(*found->object))};
    plan.events.push_back(Tell(k8s::EventType::kNormal, "ReplacingMember", "Update",
                               fmt::format("{} is replaced: {}", found->pod, outcome.rollout.why)));
  } else if (outcome.rollout.kind == RolloutStep::Kind::kDone && outcome.scale.why.empty() &&
             !scaling_in) {
    if (outcome.volumes.renews_set) {
      PlanRenewal(*observed.stateful_set, plan);
    } else if (!outcome.preference.handover.empty()) {
      PlanSwitchover(observed, outcome.preference.handover, outcome.preference.why, plan);
    }
  }
}

int CurrentReplicas(const Observed& observed) {
  if (observed.stateful_set == nullptr) return 0;
  return static_cast<int>(k8s::IntAt(*observed.stateful_set, {"spec", "replicas"}));
}

// Of the objects those that are not as they are to be. Returns whether there are none, so that it
// is known which pods are outdated.
bool PlanObjects(const Observed& observed, std::vector<Plan::Apply> objects, Outcome& outcome,
                 Plan& plan) {
  if (observed.stateful_set != nullptr && k8s::IsBeingDeleted(*observed.stateful_set)) {
    outcome.revision_known = false;
    outcome.rollout = {
        .kind = RolloutStep::Kind::kWait, .pod = "", .why = "the StatefulSet is made anew"};
    return false;
  }
  bool same = true;
  for (Plan::Apply& apply : objects) {
    if (IsApplied(apply, observed.applied, observed.live)) continue;
    same = false;
    if (apply.type == StatefulSetType()) {
      outcome.revision_known = false;
      outcome.rollout = {
          .kind = RolloutStep::Kind::kWait, .pod = "", .why = "the StatefulSet changes"};
    }
    plan.applies.push_back(std::move(apply));
  }
  return same;
}

// What runs goes on as it is, and out of the way of a drain.
void PlanStalled(const Observed& observed, const absl::Status& why, Outcome& outcome, Plan& plan) {
  outcome.stalled_reason = "InvalidSpec";
  if (absl::IsFailedPrecondition(why)) outcome.stalled_reason = "NameServiceMissing";
  if (absl::IsUnauthenticated(why)) outcome.stalled_reason = "SuperUserSecretInvalid";
  outcome.stalled_message = FromAbsl(why.message());
  if (!outcome.drain.handover.empty()) {
    PlanSwitchover(observed, outcome.drain.handover, outcome.drain.why, plan);
  }
}

// Of a spec that makes sense, with the objects that follow from it.
void PlanGroup(const Observed& observed, const BrokerGroupSpec& spec,
               const std::vector<Member>& members, std::vector<Plan::Apply> objects,
               Outcome& outcome, Plan& plan) {
  if (!observed.taken.empty()) {
    outcome.stalled_reason = "NameTaken";
    outcome.stalled_message = observed.taken;
  }
  plan.removals = Removals(observed, spec, outcome.scale.replicas);
  plan.growths = outcome.volumes.growths;
  plan.secret = MemberSecret(*observed.group, spec);
  outcome.rollout =
      NextRolloutStep(spec, members, outcome.revision_known, observed.coordination.has_value());
  if (!PlanObjects(observed, std::move(objects), outcome, plan)) return;
  PlanDisturbance(observed, spec, members, outcome, plan);
  const bool all_there = std::all_of(members.begin(), members.end(), [](const Member& member) {
    return member.object != nullptr && !member.terminating;
  });
  if (outcome.rollout.kind != RolloutStep::Kind::kDone || !all_there) return;
  for (Plan::Removal& removal : FormerFiles(observed, spec, outcome.config_hash)) {
    plan.removals.push_back(std::move(removal));
  }
}

}  // namespace

Plan PlanBrokerGroup(const Observed& observed, const Defaults& defaults, Timestamp now) {
  const BrokerGroupSpec spec(*observed.group);
  const int current = CurrentReplicas(observed);
  const std::vector<Member> members =
      MembersOf(observed, spec, current == 0 ? spec.replicas : current);

  Plan plan;
  Outcome outcome;
  outcome.image = spec.image.empty() ? defaults.image : spec.image;
  outcome.scale.replicas = std::max(current, spec.replicas);
  outcome.revision_known = IsRevisionKnown(observed);
  outcome.drain = NextDrainStep(spec, members);
  outcome.volumes = NextVolumesStep({.resource = *observed.group,
                                     .replicas = spec.replicas,
                                     .stateful_set = observed.stateful_set,
                                     .claims = observed.claims,
                                     .growth_refused = observed.growth_refused});
  outcome.preference = NextPreferenceStep(observed, spec, members, now);
  const bool hands_off = spec.paused || k8s::IsBeingDeleted(*observed.group);
  // They are the group's own doing, which others are to see.
  if (!k8s::IsBeingDeleted(*observed.group)) plan.applies = RoleLabels(observed);
  if (!hands_off) {
    TellBlockedDrain(observed, outcome.drain, plan);
    ScaleStep scale = NextScaleStep(spec, members, current, observed.coordination.has_value());
    const absl::StatusOr<std::string> config =
        ConfigText(observed, spec, ListedMembers(observed, spec, scale.replicas));
    if (config.ok()) {
      outcome.scale = std::move(scale);
      outcome.config_hash = Fingerprint(*config);
      PlanGroup(observed, spec, members,
                ObjectsOf(observed, spec, defaults, *config, outcome.scale.replicas), outcome,
                plan);
    } else {
      PlanStalled(observed, config.status(), outcome, plan);
    }
  }
  plan.status = StatusOf(observed, spec, members, outcome, now);
  const k8s::Json* const conditions = k8s::Find(plan.status, {"conditions"});
  if (!hands_off && !k8s::IsConditionTrue(*conditions, "Ready")) plan.look_again = kSoon;
  return plan;
}

}  // namespace dunlin::op
