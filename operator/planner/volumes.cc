#include "operator/planner/volumes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

#include "operator/k8s/conditions.h"
#include "operator/k8s/json.h"
#include "operator/k8s/object.h"
#include "operator/planner/amounts.h"
#include "operator/planner/resource_types.h"

namespace dunlin::op {
namespace {

using k8s::Json;

// 0: it is not there, or not a size.
uint64_t SizeAt(const Json& object, k8s::JsonPath path) {
  const Json* const quantity = k8s::Find(object, path);
  if (quantity == nullptr) return 0;
  const absl::StatusOr<uint64_t> bytes = BytesOf(*quantity);
  return bytes.ok() ? *bytes : 0;
}

std::string TextAt(const Json& object, k8s::JsonPath path) {
  const Json* const quantity = k8s::Find(object, path);
  if (quantity == nullptr) return "";
  return quantity->is_string() ? quantity->get<std::string>() : quantity->dump();
}

std::string ClaimOf(std::string_view pod) { return fmt::format("data-{}", pod); }

bool HasCondition(const Json& claim, std::string_view type) {
  const Json* const conditions = k8s::Find(claim, {"status", "conditions"});
  return conditions != nullptr && k8s::IsConditionTrue(*conditions, type);
}

// Whether the storage has said that this size cannot be.
bool IsInfeasible(const Json& claim) {
  const std::string_view said =
      k8s::StringAt(claim, {"status", "allocatedResourceStatuses", "storage"});
  return said.ends_with("Infeasible");
}

// Why this claim has not got what it asks for. Empty: it has.
void Judge(const Json& claim, VolumesStep& step) {
  const std::string name = k8s::KeyOf(claim).name;
  const std::string asks = TextAt(claim, {"spec", "resources", "requests", "storage"});
  if (IsInfeasible(claim)) {
    step.reason = "ResizeInfeasible";
    step.why = fmt::format(
        "the storage cannot make {} as large as {}: `kubectl describe pvc {}` "
        "has its words",
        name, asks, name);
  } else if (HasCondition(claim, "FileSystemResizePending")) {
    step.reason = "FileSystemResizePending";
    step.why = fmt::format(
        "{} is of {}, its file system not yet: where that takes a start of the "
        "pod, delete the pod",
        name, asks);
  } else if (const uint64_t has = SizeAt(claim, {"status", "capacity", "storage"});
             has > 0 && has < SizeAt(claim, {"spec", "resources", "requests", "storage"})) {
    step.reason = "Resizing";
    step.why = fmt::format("{} grows from {} to {}", name,
                           TextAt(claim, {"status", "capacity", "storage"}), asks);
  }
}

// Of the pods there are to be.
std::vector<k8s::Object> ClaimsOf(const VolumesSight& sight) {
  const std::string owner = k8s::KeyOf(sight.resource).name;
  std::vector<k8s::Object> claims;
  for (int i = 0; i < sight.replicas; ++i) {
    const std::string name = ClaimOf(fmt::format("{}-{}", owner, i));
    const auto found =
        std::find_if(sight.claims.begin(), sight.claims.end(),
                     [&](const k8s::Object& claim) { return k8s::KeyOf(*claim).name == name; });
    if (found != sight.claims.end()) claims.push_back(*found);
  }
  return claims;
}

}  // namespace

VolumesStep NextVolumesStep(const VolumesSight& sight) {
  VolumesStep step;
  const Json* const size = k8s::Find(sight.resource, {"spec", "storage", "size"});
  const uint64_t wanted = SizeAt(sight.resource, {"spec", "storage", "size"});
  if (size == nullptr || wanted == 0) return step;
  bool unbound = false;
  const std::vector<k8s::Object> claims = ClaimsOf(sight);
  for (const k8s::Object& claim : claims) {
    if (SizeAt(*claim, {"spec", "resources", "requests", "storage"}) >= wanted) {
      if (step.why.empty() && k8s::StringAt(*claim, {"status", "phase"}) == "Bound") {
        Judge(*claim, step);
      }
    } else if (k8s::StringAt(*claim, {"status", "phase"}) == "Bound") {
      step.growths.push_back({.claim = k8s::KeyOf(*claim),
                              .version = std::string(k8s::ResourceVersionOf(*claim)),
                              .size = *size});
    } else {
      unbound = true;  // before there is a volume nobody can change its size
    }
  }
  if (!sight.growth_refused.empty()) {
    step.growths.clear();
    step.reason = "Refused";
    step.why = fmt::format(
        "volumes are not let grow: {} (a StorageClass allows it by "
        "allowVolumeExpansion: true)",
        sight.growth_refused);
    return step;
  }
  const bool asked_for_all = step.growths.empty() && !unbound;
  if (!asked_for_all && step.why.empty()) {
    step.reason = "Resizing";
    step.why = unbound ? "a claim waits for its volume before it can grow" : "volumes are to grow";
  }
  if (sight.stateful_set != nullptr) {
    const Json* const templates = k8s::Find(*sight.stateful_set, {"spec", "volumeClaimTemplates"});
    step.renews_set =
        asked_for_all && templates != nullptr && templates->is_array() && !templates->empty() &&
        SizeAt(templates->at(0), {"spec", "resources", "requests", "storage"}) < wanted;
  }
  if (step.why.empty() && !claims.empty()) step.reason = "AsAsked";
  return step;
}

void PlanRenewal(const Json& stateful_set, Plan& plan) {
  plan.removals.push_back({.type = StatefulSetType(),
                           .object = k8s::KeyOf(stateful_set),
                           .version = std::string(k8s::ResourceVersionOf(stateful_set)),
                           .orphans = true});
  plan.events.push_back({.type = k8s::EventType::kNormal,
                         .reason = "RenewingStatefulSet",
                         .action = "Resize",
                         .note = "the StatefulSet is made anew without its pods, so that new ones "
                                 "get volumes of storage.size"});
}

std::string VolumeSizeOf(const std::vector<k8s::Object>& claims, const std::string& pod) {
  for (const k8s::Object& claim : claims) {
    if (k8s::KeyOf(*claim).name == ClaimOf(pod)) {
      return TextAt(*claim, {"status", "capacity", "storage"});
    }
  }
  return "";
}

}  // namespace dunlin::op
