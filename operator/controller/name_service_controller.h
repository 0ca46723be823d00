// NameServiceController: brings one NameService to where its spec says: objects by server-side
// apply, larger volumes, and the status. Its instances are replaced by the StatefulSet's own
// controller.
//
// One that is as it should be costs no request. Thread-safe; one thread at a time for a key.

#pragma once

#include <chrono>
#include <map>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "operator/controller/caches.h"
#include "operator/controller/volume_growth.h"
#include "operator/controller/writer.h"
#include "operator/k8s/event_recorder.h"
#include "operator/k8s/object.h"
#include "operator/planner/objects.h"
#include "services/base/clock.h"
#include "services/base/mutex.h"

namespace dunlin::op {

class NameServiceController {
 public:
  // All outlive this.
  NameServiceController(const Caches& caches, const Writer& writer, k8s::EventRecorder& events,
                        const Clock& clock, Defaults defaults)
      : caches_(caches),
        writer_(writer),
        events_(events),
        clock_(clock),
        defaults_(std::move(defaults)) {}
  NameServiceController(const NameServiceController&) = delete;
  NameServiceController& operator=(const NameServiceController&) = delete;

  // As BrokerGroupController::Reconcile.
  absl::StatusOr<std::chrono::milliseconds> Reconcile(const k8s::ObjectKey& key)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // What was done last for a NameService.
  struct Memory {
    Written written;
    VolumeGrowth growth;
  };
  struct Round;

  std::shared_ptr<Memory> MemoryOf(const k8s::Json& resource) ABSL_LOCKS_EXCLUDED(mutex_);
  void Observe(Round& round) const;
  absl::Status CarryOut(Round& round);

  const Caches& caches_;
  const Writer& writer_;
  k8s::EventRecorder& events_;
  const Clock& clock_;
  const Defaults defaults_;
  Mutex mutex_;
  std::map<k8s::ObjectKey, std::shared_ptr<Memory>> memories_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::op
