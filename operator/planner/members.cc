#include "operator/planner/members.h"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <optional>

#include "operator/k8s/conditions.h"

namespace dunlin::op {
namespace {

// Of "group-3": 3. nullopt for pods that are not of the StatefulSet.
std::optional<int> OrdinalOf(std::string_view pod, const std::string& group) {
  const std::string prefix = group + "-";
  if (!pod.starts_with(prefix)) return std::nullopt;
  pod.remove_prefix(prefix.size());
  int ordinal = -1;
  const auto read = std::from_chars(pod.data(), pod.data() + pod.size(), ordinal);
  if (read.ec != std::errc() || read.ptr != pod.data() + pod.size() || ordinal < 0) {
    return std::nullopt;
  }
  return ordinal;
}

// By what the coordinator says, which for groups without a record says nothing of it.
std::optional<Seat> SeatOf(const Observed& observed, const std::string& pod) {
  if (!observed.coordination.has_value() || observed.coordination->members.empty()) {
    return Seat::kVoter;
  }
  const auto found = observed.coordination->members.find(pod);
  if (found == observed.coordination->members.end()) return std::nullopt;
  return found->second;
}

}  // namespace

std::vector<Member> MembersOf(const Observed& observed, const BrokerGroupSpec& spec, int replicas) {
  std::map<int, k8s::Object> pods;
  for (int i = 0; i < replicas; ++i) pods[i] = nullptr;
  for (const k8s::Object& pod : observed.pods) {
    if (const auto ordinal = OrdinalOf(k8s::KeyOf(*pod).name, spec.name); ordinal.has_value()) {
      pods[*ordinal] = pod;
    }
  }
  // Members of the record whose pods went before they were removed. The list of a configuration
  // names such, too, until its member starts with the next one.
  if (observed.coordination.has_value() && spec.HasRecord()) {
    for (const auto& [name, seat] : observed.coordination->members) {
      if (const auto ordinal = OrdinalOf(name, spec.name)) pods.try_emplace(*ordinal, nullptr);
    }
  }
  std::string newest;
  if (IsRevisionKnown(observed)) {
    newest = k8s::StringAt(*observed.stateful_set, {"status", "updateRevision"});
  }
  std::vector<Member> members;
  for (const auto& [ordinal, pod] : pods) {
    Member member{
        .ordinal = ordinal, .pod = fmt::format("{}-{}", spec.name, ordinal), .object = pod};
    member.seat = SeatOf(observed, member.pod);
    if (pod != nullptr) {
      member.running = k8s::StringAt(*pod, {"status", "phase"}) == "Running";
      const k8s::Json* const conditions = k8s::Find(*pod, {"status", "conditions"});
      member.ready = conditions != nullptr && k8s::IsConditionTrue(*conditions, "Ready");
      member.terminating = k8s::IsBeingDeleted(*pod);
      member.leaving =
          observed.emptied_nodes.contains(std::string(k8s::StringAt(*pod, {"spec", "nodeName"})));
      member.outdated = !newest.empty() && k8s::LabelOf(*pod, "controller-revision-hash") != newest;
    }
    if (observed.coordination.has_value()) {
      member.in_sync = observed.coordination->in_sync.contains(member.pod);
      member.master = observed.coordination->master == member.pod;
    }
    members.push_back(std::move(member));
  }
  return members;
}

bool IsRevisionKnown(const Observed& observed) {
  if (observed.stateful_set == nullptr) return false;
  return k8s::IntAt(*observed.stateful_set, {"status", "observedGeneration"}) ==
             k8s::GenerationOf(*observed.stateful_set) &&
         !k8s::StringAt(*observed.stateful_set, {"status", "updateRevision"}).empty();
}

}  // namespace dunlin::op
