// ClusterResourceController: keeps the resources of one kind, Topics, ConsumerGroups or Users, at
// the masters of their cluster as their specs say.
//
// A look asks each master, plans (planner/cluster_resource.h), creates or updates there, and writes
// the status. One that is as it should be is looked at now and then, since brokers tell nobody of
// changes; one that waits for a master, less and less often, and at once when there is another one.
// What is in brokers goes only with resources whose deletionPolicy is Delete: those carry a
// finalizer.
//
// What it remembers between two looks is never needed. Thread-safe; one thread at a time for a key.

#pragma once

#include <chrono>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "operator/controller/caches.h"
#include "operator/controller/keeper.h"
#include "operator/controller/writer.h"
#include "operator/k8s/event_recorder.h"
#include "operator/k8s/object.h"
#include "operator/planner/cluster_resource.h"
#include "services/base/clock.h"
#include "services/base/mutex.h"

namespace dunlin::op {

class ClusterResourceController {
 public:
  // All outlive this.
  struct Surroundings {
    const Caches& caches;
    k8s::EventRecorder& events;
    const Writer& writer;
    Keeper& keeper;
    const Clock& clock;
  };

  explicit ClusterResourceController(Surroundings surroundings) : around_(surroundings) {}
  ClusterResourceController(const ClusterResourceController&) = delete;
  ClusterResourceController& operator=(const ClusterResourceController&) = delete;

  // As BrokerGroupController::Reconcile.
  absl::StatusOr<std::chrono::milliseconds> Reconcile(const k8s::ObjectKey& key)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  std::vector<BrokerGroupSight> Groups(const k8s::Json& resource) const;
  BrokerGroupSight SightOf(const k8s::Object& group) const;
  std::string Rival(const k8s::Json& resource) const;
  absl::Status KeepFinalizer(const k8s::Json& resource, bool wanted) const;

  // The steps of a look: it goes, or it stays.
  absl::StatusOr<std::chrono::milliseconds> Remove(const k8s::Json& resource)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::chrono::milliseconds> Keep(const k8s::Json& resource)
      ABSL_LOCKS_EXCLUDED(mutex_);
  Kept KeepAt(const BrokerAt& at, const k8s::Json& resource) const;

  absl::StatusOr<std::chrono::milliseconds> WriteStatus(const k8s::Json& resource,
                                                        const ResourceOutcome& outcome)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Longer with each look in a row that found it not as it should be.
  std::chrono::milliseconds Pause(const k8s::ObjectKey& key, bool well) ABSL_LOCKS_EXCLUDED(mutex_);

  const Surroundings around_;
  Mutex mutex_;
  std::map<k8s::ObjectKey, int> unwell_ ABSL_GUARDED_BY(mutex_);  // looks in a row
};

}  // namespace dunlin::op
