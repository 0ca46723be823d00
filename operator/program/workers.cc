#include "operator/program/workers.h"

#include <pthread.h>

#include <utility>

#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/strings.h"

namespace dunlin::op {

Workers::Workers(std::string kind, k8s::WorkQueue& queue, ReconcileMetrics& metrics, Work work)
    : kind_(std::move(kind)), queue_(queue), metrics_(metrics), work_(std::move(work)) {}

void Workers::Start(int threads) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] {
      pthread_setname_np(pthread_self(), "reconcile");
      Run();
    });
  }
}

void Workers::Stop() {
  queue_.Stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Workers::Run() {
  while (const std::optional<k8s::ObjectKey> key = queue_.Take()) WorkOn(*key);
}

void Workers::WorkOn(const k8s::ObjectKey& key) {
  const std::chrono::nanoseconds begun = BootTime();
  const absl::StatusOr<std::chrono::milliseconds> again = work_(key);
  metrics_.Observe(again.ok(), BootTime() - begun);
  if (!again.ok()) {
    log::Warning("{} {}: {}; it is tried again", kind_, key.ToString(),
                 FromAbsl(again.status().message()));
    queue_.AddFailed(key);
  } else {
    queue_.Forget(key);
    if (again->count() > 0) queue_.AddAfter(key, *again);
  }
  queue_.Done(key);
}

}  // namespace dunlin::op
