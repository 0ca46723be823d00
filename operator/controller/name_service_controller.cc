#include "operator/controller/name_service_controller.h"

#include "operator/planner/name_service.h"
#include "operator/planner/resource_types.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::op {
namespace {

// Between two looks whether a name is free.
constexpr std::chrono::seconds kPatience{10};

}  // namespace

absl::StatusOr<std::chrono::milliseconds> NameServiceController::Reconcile(
    const k8s::ObjectKey& key) {
  ObservedNameService observed;
  observed.resource = caches_.Get(NameServiceType(), key);
  if (observed.resource == nullptr) {
    MutexLock lock(mutex_);
    written_.erase(key);
    return std::chrono::milliseconds(0);
  }
  const std::shared_ptr<Written> written = WrittenOf(*observed.resource);
  observed.stateful_set = caches_.Get(StatefulSetType(), key);
  for (const k8s::Object& service : caches_.OfNameService(ServiceType(), key)) {
    if (k8s::KeyOf(*service).name == key.name + "-outside") observed.outside_service = service;
  }
  observed.broker_groups = static_cast<int>(caches_.Referring(BrokerGroupType(), key).size());
  for (const k8s::ResourceType& type :
       {ConfigMapType(), ServiceType(), PodDisruptionBudgetType(), StatefulSetType()}) {
    AddObserved(type, caches_.OfNameService(type, key), *written, observed.applied, observed.live);
  }
  Plan plan = PlanNameService(observed, defaults_, clock_.Now());
  absl::Status applied = absl::OkStatus();
  for (const Plan::Apply& apply : plan.applies) {
    applied = writer_.Apply(*observed.resource, apply, observed.applied, *written);
    if (!applied.ok()) break;
  }
  for (const Plan::Removal& removal : plan.removals) {
    if (applied.ok()) applied = writer_.Remove(removal);
  }
  if (absl::IsAlreadyExists(applied)) {
    // Nobody tells us when it goes: that is found out by looking again.
    observed.taken = FromAbsl(applied.message());
    plan.status = PlanNameService(observed, defaults_, clock_.Now()).status;
    plan.look_again = kPatience;
    applied = absl::OkStatus();
  }
  // People see what is the case also when not all could be done.
  RETURN_IF_ERROR(
      writer_.WriteStatus(NameServiceType(), *observed.resource, plan.status, *written));
  RETURN_IF_ERROR(applied);
  return plan.look_again;
}

std::shared_ptr<Written> NameServiceController::WrittenOf(const k8s::Json& resource) {
  MutexLock lock(mutex_);
  std::shared_ptr<Written>& written = written_[k8s::KeyOf(resource)];
  // One that was deleted and made again is another one.
  if (written == nullptr || written->uid != k8s::UidOf(resource)) {
    written = std::make_shared<Written>();
    written->uid = k8s::UidOf(resource);
  }
  return written;
}

}  // namespace dunlin::op
