#include "operator/controller/cluster_resource_controller.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "operator/k8s/api_call.h"
#include "operator/k8s/conditions.h"
#include "operator/k8s/retry.h"
#include "operator/planner/coordination.h"
#include "operator/planner/credentials.h"
#include "operator/planner/resource_types.h"
#include "operator/planner/spec.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using std::chrono::milliseconds;

// So long somebody's change at a broker stays unseen.
constexpr milliseconds kLookAgain{60'000};
constexpr k8s::Backoff kPatience{.first = milliseconds(1'000), .max = kLookAgain};

k8s::ObjectKey NameServiceOf(const Json& resource) {
  return {k8s::KeyOf(resource).space,
          std::string(k8s::StringAt(resource, {"spec", "nameServiceRef", "name"}))};
}

absl::Status NoMaster() {
  return absl::UnavailableError("no member is master: what there is stays as it is");
}

std::string NamesOf(const std::vector<Kept>& kept) {
  std::string names;
  for (const Kept& at : kept) names += (names.empty() ? "" : ", ") + at.group;
  return names;
}

k8s::Event Told(k8s::EventType type, std::string reason, std::string action, std::string note) {
  return {.type = type,
          .reason = std::move(reason),
          .action = std::move(action),
          .note = std::move(note)};
}

}  // namespace

absl::StatusOr<milliseconds> ClusterResourceController::Reconcile(const k8s::ObjectKey& key) {
  const k8s::Object resource = around_.caches.Get(around_.keeper.Type(), key);
  if (resource == nullptr) {
    MutexLock lock(mutex_);
    unwell_.erase(key);
    return milliseconds(0);
  }
  return k8s::IsBeingDeleted(*resource) ? Remove(*resource) : Keep(*resource);
}

std::vector<BrokerGroupSight> ClusterResourceController::Groups(const Json& resource) const {
  std::vector<BrokerGroupSight> sights;
  for (const k8s::Object& group :
       around_.caches.Referring(BrokerGroupType(), NameServiceOf(resource))) {
    sights.push_back(SightOf(group));
  }
  return sights;
}

BrokerGroupSight ClusterResourceController::SightOf(const k8s::Object& group) const {
  const BrokerGroupSpec spec(*group);
  BrokerGroupSight sight{.group = group, .master = "", .master_ip = ""};
  if (spec.coordinator == BrokerGroupSpec::Coordinator::kKubernetes) {
    const k8s::Object lease = around_.caches.Get(LeaseType(), {spec.space, spec.lease});
    const auto said = lease == nullptr ? std::nullopt : CoordinationOf(*lease);
    if (said.has_value()) sight.master = said->master;
  } else {
    // What its members said last.
    sight.master = k8s::StringAt(*group, {"status", "master"});
  }
  const k8s::Object pod = around_.caches.Get(PodType(), {spec.space, sight.master});
  if (pod != nullptr) sight.master_ip = k8s::StringAt(*pod, {"status", "podIP"});
  // Also where access control is off by now: members that run may not know yet.
  if (!spec.super_user_secret.empty()) {
    const k8s::Object secret =
        around_.caches.Get(SecretType(), {spec.space, spec.super_user_secret});
    sight.credentials = CredentialsOf(secret.get(), spec.super_user_secret);
  }
  return sight;
}

std::string ClusterResourceController::Rival(const Json& resource) const {
  return RivalOf(resource,
                 around_.caches.Referring(around_.keeper.Type(), NameServiceOf(resource)));
}

absl::Status ClusterResourceController::KeepFinalizer(const Json& resource, bool wanted) const {
  const Json patch = wanted ? k8s::AddFinalizerPatch(resource, kDataFinalizer)
                            : k8s::RemoveFinalizerPatch(resource, kDataFinalizer);
  if (patch.is_null()) return absl::OkStatus();
  const absl::Status patched =
      around_.writer.Write(k8s::JsonPatch(around_.keeper.Type(), k8s::KeyOf(resource), patch))
          .status();
  if (absl::IsNotFound(patched)) return absl::OkStatus();  // it is gone
  return patched;
}

absl::StatusOr<milliseconds> ClusterResourceController::Remove(const Json& resource) {
  if (!k8s::HasFinalizer(resource, kDataFinalizer)) return milliseconds(0);
  ResourceOutcome outcome;
  bool all_gone = true;
  // What another resource keeps is that one's.
  if (IsDataToGo(resource) && Rival(resource).empty()) {
    const std::vector<k8s::Object> others =
        around_.caches.Referring(around_.keeper.Type(), NameServiceOf(resource));
    for (const BrokerAt& at : PlacementOf(resource, Groups(resource)).brokers) {
      if (const std::string heir = HeirOf(resource, others, at.group); !heir.empty()) {
        around_.events.Record(
            resource,
            Told(k8s::EventType::kNormal, "HandedOver", "Delete",
                 fmt::format("{} stays at {}: {} '{}' keeps it from now on",
                             ClusterNameOf(resource), at.group, around_.keeper.Type().kind, heir)));
        continue;
      }
      RETURN_IF_ERROR(around_.writer.MayWrite());
      Kept kept{.group = at.group,
                .found = {},
                .status = at.address.empty() ? NoMaster() : around_.keeper.Delete(at, resource)};
      all_gone = all_gone && kept.status.ok();
      outcome.kept.push_back(std::move(kept));
    }
  }
  if (!all_gone) return WriteStatus(resource, outcome);
  if (!outcome.kept.empty()) {
    around_.events.Record(
        resource,
        Told(k8s::EventType::kNormal, "Deleted", "Delete",
             fmt::format("{} is deleted at {}{}", ClusterNameOf(resource), NamesOf(outcome.kept),
                         IsUser(resource) ? "" : ", with all that was in it")));
  }
  RETURN_IF_ERROR(KeepFinalizer(resource, false));
  return milliseconds(0);
}

absl::StatusOr<milliseconds> ClusterResourceController::Keep(const Json& resource) {
  RETURN_IF_ERROR(KeepFinalizer(resource, IsDataToGo(resource)));
  ResourceOutcome outcome;
  if (const std::string rival = Rival(resource); !rival.empty()) {
    outcome.obstacle.reason = "KeptByAnother";
    outcome.obstacle.message =
        fmt::format("{} '{}' is older and keeps {} already: delete one of the two",
                    around_.keeper.Type().kind, rival, ClusterNameOf(resource));
    return WriteStatus(resource, outcome);
  }
  ASSIGN_OR_RETURN(outcome.obstacle, around_.keeper.Prepare(resource));
  if (!outcome.obstacle.reason.empty()) return WriteStatus(resource, outcome);
  Placement placement = PlacementOf(resource, Groups(resource));
  outcome.missing = std::move(placement.missing);
  for (const BrokerAt& at : placement.brokers) outcome.kept.push_back(KeepAt(at, resource));
  return WriteStatus(resource, outcome);
}

Kept ClusterResourceController::KeepAt(const BrokerAt& at, const Json& resource) const {
  Kept kept{.group = at.group, .found = {}, .status = absl::OkStatus()};
  if (at.address.empty()) {
    kept.status = NoMaster();
    return kept;
  }
  absl::StatusOr<Found> found = around_.keeper.Look(at, resource);
  if (!found.ok()) {
    kept.status = found.status();
    return kept;
  }
  kept.found = *std::move(found);
  const Step step = NextStep(kept.found);
  if (step == Step::kNone) return kept;
  kept.status = around_.writer.MayWrite();
  if (!kept.status.ok()) return kept;
  absl::StatusOr<Found> after = step == Step::kCreate ? around_.keeper.Create(at, resource)
                                                      : around_.keeper.Update(at, resource);
  if (after.ok() && !after->differences.empty()) {
    // It would be asked for again and again.
    after = absl::InvalidArgumentError(
        fmt::format("the broker does not take over {}", fmt::join(after->differences, "; ")));
  }
  if (after.ok()) {
    around_.events.Record(resource, EventOf(resource, at.group, kept.found));
    kept.found.exists = true;
    kept.found.differences.clear();
    kept.found.read_queues = after->read_queues;
    return kept;
  }
  kept.status = after.status();
  if (!absl::IsUnavailable(kept.status) && !absl::IsDeadlineExceeded(kept.status)) {
    around_.events.Record(
        resource,
        Told(k8s::EventType::kWarning, "Refused", step == Step::kCreate ? "Create" : "Update",
             fmt::format("{}: {}", at.group, FromAbsl(kept.status.message()))));
  }
  return kept;
}

absl::StatusOr<milliseconds> ClusterResourceController::WriteStatus(
    const Json& resource, const ResourceOutcome& outcome) {
  const Json status = StatusOfResource(resource, outcome, around_.clock.Now());
  Written written;
  RETURN_IF_ERROR(around_.writer.WriteStatus(around_.keeper.Type(), resource, status, written));
  return Pause(k8s::KeyOf(resource), k8s::IsConditionTrue(status["conditions"], "Ready"));
}

milliseconds ClusterResourceController::Pause(const k8s::ObjectKey& key, bool well) {
  MutexLock lock(mutex_);
  if (well) {
    unwell_.erase(key);
    return kLookAgain;
  }
  return kPatience.DelayAfter(++unwell_[key], 0);
}

}  // namespace dunlin::op
