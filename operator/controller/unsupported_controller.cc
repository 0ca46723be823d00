#include "operator/controller/unsupported_controller.h"

#include "operator/k8s/conditions.h"
#include "services/base/status_macros.h"

namespace dunlin::op {

using k8s::Json;

absl::StatusOr<std::chrono::milliseconds> UnsupportedController::Reconcile(
    const k8s::ObjectKey& key) {
  const k8s::Object resource = caches_.Get(type_, key);
  if (resource == nullptr || k8s::IsBeingDeleted(*resource)) return std::chrono::milliseconds(0);
  Json known = Json::array();
  if (const Json* const before = k8s::Find(*resource, {"status", "conditions"})) known = *before;
  Json ours = Json::array();
  for (const auto& [condition, status] : {std::pair("Ready", k8s::ConditionStatus::kFalse),
                                          std::pair("Stalled", k8s::ConditionStatus::kTrue)}) {
    k8s::SetCondition(
        known, {.type = condition, .status = status, .reason = "NotSupported", .message = way_out_},
        k8s::GenerationOf(*resource), clock_.Now());
    ours.push_back(*k8s::FindCondition(known, condition));
  }
  const Json status = {{"observedGeneration", k8s::GenerationOf(*resource)}, {"conditions", ours}};
  Written written;
  RETURN_IF_ERROR(writer_.WriteStatus(type_, *resource, status, written));
  return std::chrono::milliseconds(0);
}

}  // namespace dunlin::op
