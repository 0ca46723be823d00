#include "operator/planner/rollout.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

namespace dunlin::op {
namespace {

using Kind = RolloutStep::Kind;

RolloutStep Wait(std::string why) {
  return {.kind = Kind::kWait, .pod = "", .why = std::move(why)};
}

RolloutStep WaitForPerson(std::string why) {
  RolloutStep step = Wait(std::move(why));
  step.by_choice = true;
  return step;
}

const Member* MasterOf(const std::vector<Member>& members) {
  const auto found =
      std::find_if(members.begin(), members.end(), [](const Member& m) { return m.master; });
  return found == members.end() ? nullptr : &*found;
}

// Of those that are members. Empty when everybody but `except` serves and is in sync;
// otherwise who does not.
std::string WhoIsMissing(const std::vector<Member>& members, const Member* except) {
  for (const Member& member : members) {
    if (&member == except || !member.seat.has_value()) continue;
    if (member.object == nullptr) return fmt::format("{} is not there yet", member.pod);
    if (member.terminating) return fmt::format("{} is going", member.pod);
    if (!member.ready) return fmt::format("{} is not ready", member.pod);
    if (!member.in_sync) return fmt::format("{} is not in sync", member.pod);
  }
  return "";
}

int KnownMembers(const std::vector<Member>& members) {
  return static_cast<int>(std::count_if(members.begin(), members.end(),
                                        [](const Member& m) { return m.seat.has_value(); }));
}

RolloutStep UpdateMaster(const BrokerGroupSpec& spec, const std::vector<Member>& members,
                         const Member& master) {
  if (std::string missing = WhoIsMissing(members, &master); !missing.empty()) {
    return Wait(std::move(missing));
  }
  // One that does not serve disturbs nobody by going.
  if (spec.supervised && spec.switchover_to.empty() && master.ready) {
    return WaitForPerson(
        fmt::format("the slaves are updated; to go on with the master {}, annotate the group with "
                    "dunlin.dev/switchover-to=any",
                    master.pod));
  }
  if (!spec.hand_over_before_update || KnownMembers(members) == 1) {
    return {.kind = Kind::kDelete, .pod = master.pod, .why = "the master is updated by a restart"};
  }
  std::string successor = BestSuccessor(members, std::numeric_limits<int>::max());
  if (successor.empty()) return Wait("no slave could take over from the master");
  return {.kind = Kind::kSwitchover, .pod = std::move(successor), .why = "to update the master"};
}

// Whether `member` may go without sends being refused for it. With as few members as sends need
// updating them means to refuse some for a moment; waiting would not help.
bool IsSpare(const BrokerGroupSpec& spec, const std::vector<Member>& members,
             const Member& member) {
  if (KnownMembers(members) <= spec.min_in_sync) return true;
  const auto in_sync =
      std::count_if(members.begin(), members.end(), [](const Member& m) { return m.in_sync; });
  return in_sync - (member.in_sync ? 1 : 0) >= spec.min_in_sync;
}

RolloutStep WaitForSpare(const BrokerGroupSpec& spec, const Member& member) {
  return Wait(fmt::format("fewer than {} members would be in sync without {}", spec.min_in_sync,
                          member.pod));
}

// Slaves that do not serve as they are: nobody waits for them to be ready, which may need the
// newest revision. One whose broker fails may be in sync nevertheless, by its replicator: it goes
// when its copy can be spared, and when those of the newest revision have shown that they serve.
std::optional<RolloutStep> ReplaceBroken(const BrokerGroupSpec& spec,
                                         const std::vector<Member>& members, const Member* master) {
  const auto broken = [](const Member& m) { return m.outdated && !m.master && !m.ready; };
  const Member* in_sync = nullptr;
  for (auto member = members.rbegin(); member != members.rend(); ++member) {
    if (!broken(*member)) continue;
    if (!member->in_sync) {
      return RolloutStep{.kind = Kind::kDelete,
                         .pod = member->pod,
                         .why = "it is not ready, and of an older revision"};
    }
    if (in_sync == nullptr) in_sync = &*member;
  }
  if (in_sync == nullptr) return std::nullopt;
  for (const Member& member : members) {
    if (member.seat.has_value() && !member.outdated && !member.ready) {
      return Wait(fmt::format("{} is not ready", member.pod));
    }
  }
  // Without a master that serves there are no sends that could be refused.
  if (master != nullptr && master->ready && !IsSpare(spec, members, *in_sync)) {
    return WaitForSpare(spec, *in_sync);
  }
  return RolloutStep{.kind = Kind::kDelete,
                     .pod = in_sync->pod,
                     .why = "it is in sync, but not ready, and of an older revision"};
}

// The next one that is to be a member and runs; else `why` is what those that are to be wait for.
void AddMembers(const BrokerGroupSpec& spec, const std::vector<Member>& members, ScaleStep& step) {
  for (const Member& member : members) {
    if (member.ordinal >= spec.replicas || member.seat == Seat::kVoter) continue;
    if (member.seat == Seat::kJoining) {
      step.why = fmt::format("{} joins: it catches up", member.pod);
    } else if (member.running && !member.terminating) {
      step.add = member.pod;
      step.why = fmt::format("{} is added to the group", member.pod);
      return;
    } else {
      step.why = fmt::format("{} does not run yet", member.pod);
    }
  }
}

// Whose pod went before it was removed: nobody brings it back.
void RemoveLost(const std::vector<Member>& members, ScaleStep& step) {
  const Member& last = members.back();
  if (last.ordinal < step.replicas || last.object != nullptr) return;
  step.remove = last.pod;
  step.why = fmt::format("{} is gone, and is removed from the group", last.pod);
}

void ScaleIn(const BrokerGroupSpec& spec, const std::vector<Member>& members, int current,
             ScaleStep& step) {
  const int victim = current - 1;
  std::vector<Member> staying;
  const Member* going = nullptr;
  for (const Member& member : members) {
    if (member.ordinal < victim) staying.push_back(member);
    if (member.ordinal == victim) going = &member;
    if (member.ordinal > victim && member.object != nullptr) {
      step.why = fmt::format("{} is going", member.pod);
      return;
    }
  }
  step.why = WhoIsMissing(staying, nullptr);
  if (!step.why.empty()) return;
  const Member* const master = MasterOf(members);
  if (master == nullptr) {
    step.why = "there is no master";
  } else if (master->ordinal >= spec.replicas) {
    step.handover = BestSuccessor(members, spec.replicas);
    step.why = fmt::format("the master {} hands over before it goes", master->pod);
  } else if (spec.HasRecord() && going != nullptr && going->seat.has_value()) {
    step.remove = going->pod;
    step.why = fmt::format("{} is removed from the group before it goes", going->pod);
  } else {
    step.replicas = victim;
    step.why = victim > spec.replicas ? "one at a time" : "";
  }
}

}  // namespace

RolloutStep NextRolloutStep(const BrokerGroupSpec& spec, const std::vector<Member>& members,
                            bool revision_known, bool coordinated) {
  if (!revision_known) return Wait("the StatefulSet's controller has not seen its newest spec");
  const bool any = std::any_of(members.begin(), members.end(),
                               [](const Member& m) { return m.object != nullptr && m.outdated; });
  if (!any) return {};
  if (spec.update_type == BrokerGroupSpec::UpdateType::kOnDelete) {
    return WaitForPerson("update.type is OnDelete: pods are updated when somebody deletes them");
  }
  if (!coordinated) return Wait("nobody can be asked who is master");
  // A going pod is on its way to the newest revision; another one at the same time is too many.
  for (const Member& member : members) {
    if (member.terminating) return Wait(fmt::format("{} is going", member.pod));
    if (member.object == nullptr && member.seat.has_value()) {
      return Wait(fmt::format("{} is not there yet", member.pod));
    }
  }
  const Member* const master = MasterOf(members);
  if (std::optional<RolloutStep> step = ReplaceBroken(spec, members, master)) return *step;
  if (master == nullptr) return Wait("there is no master");
  // All slaves wait for a master that does not serve.
  if (master->outdated && !master->ready) return UpdateMaster(spec, members, *master);
  for (auto member = members.rbegin(); member != members.rend(); ++member) {
    if (!member->outdated || member->master) continue;
    if (std::string missing = WhoIsMissing(members, &*member); !missing.empty()) {
      return Wait(std::move(missing));
    }
    if (!IsSpare(spec, members, *member)) return WaitForSpare(spec, *member);
    return {.kind = Kind::kDelete, .pod = member->pod, .why = "it is of an older revision"};
  }
  return UpdateMaster(spec, members, *master);
}

ScaleStep NextScaleStep(const BrokerGroupSpec& spec, const std::vector<Member>& members,
                        int current, bool coordinated) {
  ScaleStep step;
  step.replicas = std::max(current, spec.replicas);
  if (current == 0) {
    // Volumes and the record of a former group: its members are needed to elect one. Or pods of a
    // StatefulSet that is made anew.
    for (const Member& member : members) {
      step.replicas = std::max(step.replicas, member.ordinal + 1);
    }
  }
  if (!coordinated) {
    if (current > spec.replicas) step.why = "nobody can be asked who is master";
    return step;
  }
  if (spec.HasRecord() && MasterOf(members) != nullptr) {
    AddMembers(spec, members, step);
    if (!step.add.empty()) return step;
    RemoveLost(members, step);
    if (!step.remove.empty()) return step;
  }
  if (current > spec.replicas) ScaleIn(spec, members, current, step);
  return step;
}

std::string BestSuccessor(const std::vector<Member>& members, int below_ordinal) {
  const Member* best = nullptr;
  for (const Member& member : members) {
    const bool able = member.is_serving() && member.in_sync && !member.master;
    if (!able || member.ordinal >= below_ordinal) continue;
    const auto drawback = [](const Member& m) { return std::pair(m.leaving, m.outdated); };
    if (best == nullptr || drawback(member) < drawback(*best)) best = &member;
  }
  return best == nullptr ? "" : best->pod;
}

}  // namespace dunlin::op
