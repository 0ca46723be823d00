// NameServiceController: brings one NameService to where its spec says: objects by server-side
// apply, and the status. Its instances are replaced by the StatefulSet's own controller.
//
// One that is as it should be costs no request. Thread-safe; one thread at a time for a key.

#pragma once

#include <chrono>
#include <map>
#include <memory>

#include "absl/status/statusor.h"

#include "operator/controller/caches.h"
#include "operator/controller/writer.h"
#include "operator/k8s/object.h"
#include "operator/planner/objects.h"
#include "services/base/clock.h"
#include "services/base/mutex.h"

namespace dunlin::op {

class NameServiceController {
 public:
  // All outlive this.
  NameServiceController(const Caches& caches, const Writer& writer, const Clock& clock,
                        Defaults defaults)
      : caches_(caches), writer_(writer), clock_(clock), defaults_(std::move(defaults)) {}
  NameServiceController(const NameServiceController&) = delete;
  NameServiceController& operator=(const NameServiceController&) = delete;

  // As BrokerGroupController::Reconcile.
  absl::StatusOr<std::chrono::milliseconds> Reconcile(const k8s::ObjectKey& key)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  std::shared_ptr<Written> WrittenOf(const k8s::Json& resource) ABSL_LOCKS_EXCLUDED(mutex_);

  const Caches& caches_;
  const Writer& writer_;
  const Clock& clock_;
  const Defaults defaults_;
  Mutex mutex_;
  std::map<k8s::ObjectKey, std::shared_ptr<Written>> written_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::op
