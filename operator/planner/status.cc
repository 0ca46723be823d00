#include "operator/planner/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "operator/k8s/conditions.h"
#include "operator/k8s/rfc3339.h"
#include "operator/planner/objects.h"
#include "operator/planner/outside.h"

namespace dunlin::op {
namespace {

using k8s::Condition;
using k8s::ConditionStatus;
using k8s::Json;

// How many members are so.
template <typename Predicate>
int Count(const std::vector<Member>& members, Predicate predicate) {
  return static_cast<int>(std::count_if(members.begin(), members.end(), predicate));
}

Condition Is(std::string type, bool status, std::string reason, std::string message) {
  return {.type = std::move(type),
          .status = status ? ConditionStatus::kTrue : ConditionStatus::kFalse,
          .reason = std::move(reason),
          .message = std::move(message)};
}

// What is looked at for more than one condition.
struct Sight {
  int there = 0;
  int ready = 0;
  int updated = 0;
  int in_sync = 0;
  bool has_master = false;  // that serves
  bool scaling = false;
  bool updating = false;
  std::string under_way;  // empty: nothing
};

Sight Look(const BrokerGroupSpec& spec, const std::vector<Member>& members,
           const Outcome& outcome) {
  Sight sight;
  sight.there = Count(members, [](const Member& m) { return m.object != nullptr; });
  sight.ready = Count(members, [](const Member& m) { return m.is_serving(); });
  if (outcome.revision_known) {
    sight.updated =
        Count(members, [](const Member& m) { return m.object != nullptr && !m.outdated; });
  }
  sight.in_sync = Count(members, [](const Member& m) { return m.in_sync; });
  // Who holds the Lease may have been dead for as long as nobody else could take it.
  sight.has_master = std::any_of(members.begin(), members.end(), [](const Member& m) {
    return m.master && m.object != nullptr && m.ready;
  });
  sight.updating = outcome.rollout.kind != RolloutStep::Kind::kDone;
  sight.scaling = static_cast<int>(members.size()) != spec.replicas || !outcome.scale.why.empty();
  if (sight.scaling) {
    sight.under_way =
        fmt::format("scaling from {} to {} members{}{}", members.size(), spec.replicas,
                    outcome.scale.why.empty() ? "" : ": ", outcome.scale.why);
  } else if (sight.updating) {
    sight.under_way = fmt::format("{} of {} members are of the newest revision: {}", sight.updated,
                                  members.size(), outcome.rollout.why);
  }
  return sight;
}

Condition Available(const Observed& observed, const BrokerGroupSpec& spec, const Sight& sight) {
  if (!observed.coordination.has_value()) {
    return {"Available", ConditionStatus::kUnknown, "NotAsked",
            "nobody could be asked who is master"};
  }
  if (!sight.has_master && observed.coordination->master.empty()) {
    return Is("Available", false, "NoMaster", "no member is master");
  }
  if (!sight.has_master) {
    return Is("Available", false, "MasterNotReady",
              fmt::format("{} is master, but its pod is not ready, and nobody else has taken over",
                          observed.coordination->master));
  }
  if (sight.in_sync < spec.min_in_sync) {
    return Is("Available", false, "NotEnoughInSync",
              fmt::format("{} members are in sync, replication.minInSyncReplicas is {}: sends are "
                          "refused",
                          sight.in_sync, spec.min_in_sync));
  }
  return Is("Available", true, "MasterServes",
            fmt::format("{} is master", observed.coordination->master));
}

Condition InSync(const Observed& observed, const std::vector<Member>& members, const Sight& sight) {
  if (!observed.coordination.has_value()) {
    return {"InSync", ConditionStatus::kUnknown, "NotAsked", "nobody could be asked"};
  }
  std::string behind;
  for (const Member& member : members) {
    if (!member.in_sync) behind += (behind.empty() ? "" : ", ") + member.pod;
  }
  if (behind.empty()) return Is("InSync", true, "AllInSync", "");
  const bool missing = sight.there < static_cast<int>(members.size());
  return Is("InSync", false, missing ? "SlaveMissing" : "SlaveLagging",
            fmt::format("not in sync: {}", behind));
}

Condition Ready(const BrokerGroupSpec& spec, const Condition& available, const Sight& sight,
                const Outcome& outcome) {
  if (!outcome.stalled_reason.empty()) {
    return Is("Ready", false, "Stalled", outcome.stalled_message);
  }
  if (spec.paused) return Is("Ready", false, "Paused", "the group is paused");
  if (available.status != ConditionStatus::kTrue) {
    return {"Ready", available.status, available.reason, available.message};
  }
  if (sight.scaling) return Is("Ready", false, "Scaling", sight.under_way);
  if (sight.updating) return Is("Ready", false, "Updating", sight.under_way);
  const std::string of = fmt::format("{} of {} members are ready", sight.ready, spec.replicas);
  if (sight.ready < spec.replicas) return Is("Ready", false, "MembersNotReady", of);
  if (sight.in_sync < spec.replicas) {
    return Is("Ready", false, "NotInSync",
              fmt::format("{} of {} members are in sync", sight.in_sync, spec.replicas));
  }
  return Is("Ready", true, "AllMembersReady", of);
}

std::string_view PhaseOf(const Observed& observed, const BrokerGroupSpec& spec,
                         const Condition& ready, const Sight& sight, const Outcome& outcome) {
  if (k8s::IsBeingDeleted(*observed.group)) return "Deleting";
  if (!outcome.stalled_reason.empty()) return "Stalled";
  // Or it is made anew, around pods that run.
  if (observed.stateful_set == nullptr && sight.there == 0) return "Creating";
  if (observed.coordination.has_value() && !sight.has_master) {
    return observed.coordination->epoch == 0 ? "Creating" : "FailingOver";
  }
  if (sight.scaling) {
    return sight.there > spec.replicas ? "ScalingIn" : "ScalingOut";
  }
  if (sight.updating) return "Updating";
  return ready.status == ConditionStatus::kTrue ? "Healthy" : "Degraded";
}

Json MembersStatus(const Observed& observed, const std::vector<Member>& members) {
  Json list = Json::array();
  for (const Member& member : members) {
    if (member.object == nullptr) continue;
    Json entry = {{"pod", member.pod},
                  {"role", member.master ? "Master" : "Slave"},
                  {"state", member.terminating ? "Terminating"
                            : member.ready     ? "Ready"
                                               : "NotReady"},
                  {"inSync", member.in_sync}};
    if (const auto node = k8s::StringAt(*member.object, {"spec", "nodeName"}); !node.empty()) {
      entry["node"] = node;
    }
    if (const auto revision = k8s::LabelOf(*member.object, "controller-revision-hash");
        !revision.empty()) {
      entry["revision"] = revision;
    }
    if (std::string outside = OutsideAddressOf(observed, member.pod); !outside.empty()) {
      entry["externalAddress"] = std::move(outside);
    }
    if (std::string size = VolumeSizeOf(observed.claims, member.pod); !size.empty()) {
      entry["volumeSize"] = std::move(size);
    }
    list.push_back(std::move(entry));
  }
  return list;
}

// What is under way, and until when it is to get on. Each step forward makes it another deadline.
Json OperationOf(const Observed& observed, const BrokerGroupSpec& spec, const Sight& sight,
                 const Json& status, Timestamp now) {
  const std::string_view growing = sight.there > spec.replicas ? "ScaleIn" : "ScaleOut";
  const std::string_view type = sight.scaling ? growing : "Update";
  Json operation = {{"type", type}, {"deadline", k8s::FormatTime(now + spec.progress_deadline)}};
  const Json* const before = k8s::Find(*observed.group, {"status"});
  if (before == nullptr || k8s::StringAt(*before, {"operation", "type"}) != type) return operation;
  // Where a member starts again and again it comes to be in sync again and again.
  std::vector<std::string_view> steps = {"observedGeneration", "replicas", "updatedReplicas",
                                         "updateRevision", "configHash"};
  if (sight.scaling) steps.emplace_back("inSyncReplicas");
  for (const std::string_view name : steps) {
    const Json* const is = k8s::Find(status, {name});
    const Json* const was = k8s::Find(*before, {name});
    if ((is == nullptr) != (was == nullptr)) return operation;
    if (is != nullptr && *is != *was) return operation;
  }
  operation["deadline"] = k8s::StringAt(*before, {"operation", "deadline"});
  return operation;
}

// Those who look at the conditions of one group alone are told, too.
void AddAccessDiffers(const Observed& observed, std::vector<Condition>& made) {
  if (observed.others_access.empty()) return;
  constexpr size_t kTold = 10;
  const size_t told = std::min(observed.others_access.size(), kTold);
  made.push_back(
      Is("AccessDiffers", true, "OtherGroups",
         fmt::format(
             "access is another one at {} of the same cluster{}: who may do something here may "
             "be refused there; set it alike",
             fmt::join(observed.others_access.begin(),
                       observed.others_access.begin() + static_cast<std::ptrdiff_t>(told), ", "),
             told < observed.others_access.size() ? ", and more," : "")));
}

// While a member has no address clients outside do not reach it; those inside do.
void AddExposed(const Observed& observed, const std::vector<Member>& members,
                std::vector<Condition>& made) {
  if (!IsExposed(*observed.group)) return;
  std::string unknown;
  for (const Member& member : members) {
    if (!OutsideAddressOf(observed, member.pod).empty()) continue;
    unknown += (unknown.empty() ? "" : ", ") + member.pod;
  }
  made.push_back(
      Is("Exposed", unknown.empty(), unknown.empty() ? "AddressesKnown" : "AddressesMissing",
         unknown.empty()
             ? ""
             : fmt::format("no address outside is known yet of {}: their Services (POD-outside) "
                           "have no address of a load balancer, or their pods no node",
                           unknown)));
}

// The newest change of the master that was seen; null: none was yet. A master that comes back in
// another epoch is one, too.
Json RoleChangeOf(const Observed& observed, const Sight& sight, Timestamp now) {
  const Json* const before = k8s::Find(*observed.group, {"status"});
  const Json* const last = before == nullptr ? nullptr : k8s::Find(*before, {"lastRoleChange"});
  if (!sight.has_master) return last == nullptr ? Json() : *last;
  const int64_t epoch = observed.coordination->epoch;
  if (last != nullptr && k8s::IntAt(*last, {"epoch"}) == epoch) return *last;
  Json change = {
      {"to", observed.coordination->master}, {"epoch", epoch}, {"noticedAt", k8s::FormatTime(now)}};
  if (last != nullptr) change["from"] = k8s::StringAt(*last, {"to"});
  return change;
}

// Ours only: other managers' conditions are theirs to apply.
Json ConditionsOf(const Json& group, const std::vector<Condition>& made, Timestamp now) {
  Json known = Json::array();
  if (const Json* const before = k8s::Find(group, {"status", "conditions"})) known = *before;
  Json ours = Json::array();
  for (const Condition& condition : made) {
    k8s::SetCondition(known, condition, k8s::GenerationOf(group), now);
    ours.push_back(*k8s::FindCondition(known, condition.type));
  }
  return ours;
}

}  // namespace

Json StatusOf(const Observed& observed, const BrokerGroupSpec& spec,
              const std::vector<Member>& members, const Outcome& outcome, Timestamp now) {
  const Sight sight = Look(spec, members, outcome);
  Json status = {{"observedGeneration", k8s::GenerationOf(*observed.group)},
                 {"replicas", sight.there},
                 {"readyReplicas", sight.ready},
                 {"updatedReplicas", sight.updated},
                 {"inSyncReplicas", sight.in_sync},
                 {"selector", SelectorOf(spec)},
                 {"image", outcome.image},
                 {"configHash", outcome.config_hash},
                 {"members", MembersStatus(observed, members)}};
  if (observed.coordination.has_value()) {
    status["master"] = sight.has_master ? observed.coordination->master : "";
    status["epoch"] = observed.coordination->epoch;
  }
  if (Json change = RoleChangeOf(observed, sight, now); !change.is_null()) {
    status["lastRoleChange"] = std::move(change);
  }
  if (observed.stateful_set != nullptr) {
    for (const std::string name : {"currentRevision", "updateRevision"}) {
      const auto revision = k8s::StringAt(*observed.stateful_set, {"status", name});
      if (!revision.empty()) status[name] = revision;
    }
  }

  Outcome judged = outcome;
  const bool is_to_move = !sight.under_way.empty() && outcome.stalled_reason.empty() &&
                          !outcome.rollout.by_choice && !spec.paused &&
                          !k8s::IsBeingDeleted(*observed.group);
  if (is_to_move) {
    status["operation"] = OperationOf(observed, spec, sight, status, now);
    // Times of this form are in order as texts.
    if (k8s::FormatTime(now) > status["operation"]["deadline"].get<std::string>()) {
      judged.stalled_reason = "ProgressDeadlineExceeded";
      judged.stalled_message =
          fmt::format("no progress for {} s (update.progressDeadlineSeconds): {}",
                      spec.progress_deadline.count(), sight.under_way);
    }
  }
  const Condition available = Available(observed, spec, sight);
  const Condition ready = Ready(spec, available, sight, judged);
  const bool stalled = !judged.stalled_reason.empty();
  const bool moving = !sight.under_way.empty() && !stalled && !spec.paused;
  status["phase"] = PhaseOf(observed, spec, ready, sight, judged);
  std::vector<Condition> made = {
      ready,
      available,
      InSync(observed, members, sight),
      Is("Progressing", moving, moving ? "UnderWay" : "Nothing", sight.under_way),
      Is("Reconciling", ready.status != ConditionStatus::kTrue && !stalled && !spec.paused,
         ready.reason, ready.message),
      Is("Stalled", stalled, stalled ? judged.stalled_reason : "Nothing", judged.stalled_message),
      Is("Paused", spec.paused, spec.paused ? "Annotation" : "Nothing", "")};
  if (const VolumesStep& volumes = outcome.volumes; !volumes.reason.empty()) {
    made.push_back(Is("StorageReady", volumes.is_ready(), volumes.reason, volumes.why));
  }
  if (!outcome.drain.reason.empty()) {
    made.push_back(
        Is("Draining", true, spec.paused ? "Paused" : outcome.drain.reason, outcome.drain.why));
  }
  AddExposed(observed, members, made);
  AddAccessDiffers(observed, made);
  if (const PreferenceStep& preference = outcome.preference; !preference.reason.empty()) {
    made.push_back(Is("PreferredMaster", preference.is_met(), preference.reason, preference.why));
  }
  status["conditions"] = ConditionsOf(*observed.group, made, now);
  return status;
}

}  // namespace dunlin::op
