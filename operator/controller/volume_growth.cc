#include "operator/controller/volume_growth.h"

#include <fmt/format.h>

#include <chrono>

#include "absl/status/status.h"

#include "operator/k8s/api_call.h"
#include "operator/k8s/api_error.h"
#include "operator/planner/resource_types.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::op {
namespace {

using k8s::Json;

// Between two requests, of which the first was refused.
constexpr std::chrono::minutes kPatience{5};

}  // namespace

std::string VolumeGrowth::RefusalOf(const Json& resource, Timestamp now) const {
  const Json* const size = k8s::Find(resource, {"spec", "storage", "size"});
  return size != nullptr && refused_ == *size && now - at_ < kPatience ? why_ : "";
}

absl::StatusOr<bool> VolumeGrowth::Ask(const Json& resource,
                                       const std::vector<Plan::Growth>& growths,
                                       const Writer& writer, k8s::EventRecorder& events,
                                       Timestamp now) {
  for (const Plan::Growth& growth : growths) {
    const std::string size =
        growth.size.is_string() ? growth.size.get<std::string>() : growth.size.dump();
    Json patch;
    patch["metadata"]["resourceVersion"] = growth.version;
    patch["spec"]["resources"]["requests"]["storage"] = growth.size;
    const absl::Status grown =
        writer.Write(k8s::MergePatch(PersistentVolumeClaimType(), growth.claim, patch)).status();
    k8s::Event event{.type = k8s::EventType::kNormal,
                     .reason = "GrowingVolume",
                     .action = "Resize",
                     .note = fmt::format("{} is to have {}", growth.claim.name, size)};
    if (absl::IsPermissionDenied(grown) || absl::IsInvalidArgument(grown)) {
      // Asking for the others would lead to the same.
      refused_ = growth.size;
      why_ = FromAbsl(grown.message());
      at_ = now;
      event.type = k8s::EventType::kWarning;
      event.reason = "VolumeGrowthRefused";
      event.note += ": " + why_;
      events.Record(resource, event);
      return false;
    }
    if (absl::IsNotFound(grown) || k8s::IsConflict(grown)) continue;  // the next look is of that
    RETURN_IF_ERROR(grown);
    events.Record(resource, event);
  }
  return true;
}

}  // namespace dunlin::op
