#include "operator/controller/name_service_controller.h"

#include "operator/planner/name_service.h"
#include "operator/planner/plan.h"
#include "operator/planner/resource_types.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::op {
namespace {

// Between two looks whether a name is free.
constexpr std::chrono::seconds kPatience{10};
// When something was refused that the next look shows.
constexpr std::chrono::seconds kSoon{1};

}  // namespace

struct NameServiceController::Round {
  ObservedNameService observed;
  Plan plan;
  std::shared_ptr<Memory> memory;
};

absl::StatusOr<std::chrono::milliseconds> NameServiceController::Reconcile(
    const k8s::ObjectKey& key) {
  Round round;
  round.observed.resource = caches_.Get(NameServiceType(), key);
  if (round.observed.resource == nullptr) {
    MutexLock lock(mutex_);
    memories_.erase(key);
    return std::chrono::milliseconds(0);
  }
  round.memory = MemoryOf(*round.observed.resource);
  Observe(round);
  round.plan = PlanNameService(round.observed, defaults_, clock_.Now());
  absl::Status done = CarryOut(round);
  if (absl::IsAlreadyExists(done)) {
    // Nobody tells us when it goes: that is found out by looking again.
    round.observed.taken = FromAbsl(done.message());
    round.plan.status = PlanNameService(round.observed, defaults_, clock_.Now()).status;
    round.plan.look_again = kPatience;
    done = absl::OkStatus();
  }
  // People see what is the case also when not all could be done.
  RETURN_IF_ERROR(writer_.WriteStatus(NameServiceType(), *round.observed.resource,
                                      round.plan.status, round.memory->written));
  RETURN_IF_ERROR(done);
  return round.plan.look_again;
}

void NameServiceController::Observe(Round& round) const {
  ObservedNameService& observed = round.observed;
  const k8s::ObjectKey key = k8s::KeyOf(*observed.resource);
  observed.stateful_set = caches_.Get(StatefulSetType(), key);
  for (const k8s::Object& service : caches_.OfNameService(ServiceType(), key)) {
    if (k8s::KeyOf(*service).name == key.name + "-outside") observed.outside_service = service;
  }
  observed.claims = caches_.OfNameService(PersistentVolumeClaimType(), key);
  observed.growth_refused = round.memory->growth.RefusalOf(*observed.resource, clock_.Now());
  observed.broker_groups = static_cast<int>(caches_.Referring(BrokerGroupType(), key).size());
  for (const k8s::ResourceType& type :
       {ConfigMapType(), ServiceType(), PodDisruptionBudgetType(), StatefulSetType()}) {
    AddObserved(type, caches_.OfNameService(type, key), round.memory->written, observed.applied,
                observed.live);
  }
}

absl::Status NameServiceController::CarryOut(Round& round) {
  const k8s::Json& resource = *round.observed.resource;
  for (const Plan::Apply& apply : round.plan.applies) {
    RETURN_IF_ERROR(writer_.Apply(resource, apply, round.observed.applied, round.memory->written));
  }
  for (const Plan::Removal& removal : round.plan.removals) {
    RETURN_IF_ERROR(writer_.Remove(removal));
  }
  ASSIGN_OR_RETURN(const bool asked, round.memory->growth.Ask(resource, round.plan.growths, writer_,
                                                              events_, clock_.Now()));
  if (!asked) round.plan.look_again = kSoon;
  for (const k8s::Event& event : round.plan.events) events_.Record(resource, event);
  return absl::OkStatus();
}

std::shared_ptr<NameServiceController::Memory> NameServiceController::MemoryOf(
    const k8s::Json& resource) {
  MutexLock lock(mutex_);
  std::shared_ptr<Memory>& memory = memories_[k8s::KeyOf(resource)];
  // One that was deleted and made again is another one.
  if (memory == nullptr || memory->written.uid != k8s::UidOf(resource)) {
    memory = std::make_shared<Memory>();
    memory->written.uid = k8s::UidOf(resource);
  }
  return memory;
}

}  // namespace dunlin::op
