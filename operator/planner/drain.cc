#include "operator/planner/drain.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <string_view>
#include <utility>

#include "operator/planner/rollout.h"

namespace dunlin::op {
namespace {

// Of Kubernetes for cordoned nodes, of its autoscaler, and of Karpenter (its versions 1 and 0).
constexpr std::array<std::string_view, 4> kTaints = {
    "node.kubernetes.io/unschedulable", "ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted",
    "karpenter.sh/disruption"};

}  // namespace

bool IsToBeEmptied(const k8s::Json& node) {
  if (k8s::BoolAt(node, {"spec", "unschedulable"}, false)) return true;
  const k8s::Json* const taints = k8s::Find(node, {"spec", "taints"});
  if (taints == nullptr || !taints->is_array()) return false;
  return std::any_of(taints->begin(), taints->end(), [](const k8s::Json& taint) {
    const std::string_view key = k8s::StringAt(taint, {"key"});
    return std::find(kTaints.begin(), kTaints.end(), key) != kTaints.end();
  });
}

DrainStep NextDrainStep(const BrokerGroupSpec& spec, const std::vector<Member>& members) {
  const auto master =
      std::find_if(members.begin(), members.end(), [](const Member& m) { return m.master; });
  if (master == members.end() || !master->leaving || master->terminating) return {};
  const auto blocked = [&](std::string reason, std::string_view why) {
    return DrainStep{
        .handover = "",
        .reason = std::move(reason),
        .why = fmt::format("the node of the master {} is to be emptied, but {}", master->pod, why)};
  };
  if (!spec.HasRecord()) {
    return blocked(
        "NobodyElse",
        "with the coordinator Static nobody takes over: delete the pod to have it moved, "
        "while which sends are refused");
  }
  const auto others = std::count_if(members.begin(), members.end(), [](const Member& m) {
    return m.seat.has_value() && !m.master;
  });
  if (others == 0) {
    return blocked("NobodyElse",
                   "a group of one has nobody to hand over to: raise replicas, or set "
                   "podDisruptionBudget.enabled to false for the time of the drain");
  }
  std::vector<Member> staying;
  std::copy_if(members.begin(), members.end(), std::back_inserter(staying),
               [](const Member& m) { return !m.leaving; });
  std::string successor = BestSuccessor(staying, std::numeric_limits<int>::max());
  if (successor.empty()) {
    return blocked("NoSuccessor",
                   "no other member that is ready and in sync is on a node that stays: it hands "
                   "over as soon as there is one");
  }
  return {.handover = std::move(successor),
          .reason = "HandingOver",
          .why = fmt::format("the node of the master {} is to be emptied", master->pod)};
}

}  // namespace dunlin::op
