// WorkQueue: the keys of objects that somebody has to look at.
//
// A key waits once however often it is added, and is with one worker at a time: added again
// meanwhile, it comes again after. So memory is bounded by the number of objects there are. A key
// that failed comes back after a time that doubles with each failure. Thread-safe.

#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>

#include "operator/k8s/object.h"
#include "operator/k8s/retry.h"
#include "services/base/clock.h"
#include "services/base/mutex.h"

namespace dunlin::k8s {

class WorkQueue {
 public:
  struct Stats {
    size_t depth = 0;    // ready
    size_t delayed = 0;  // to come
    uint64_t adds = 0;
    uint64_t retries = 0;
    uint64_t taken = 0;
    // How long those that were taken had been ready, together.
    std::chrono::milliseconds waited{0};
  };

  // `clock` outlives this. No jitter: keys that failed together did so one after the other.
  explicit WorkQueue(const Clock& clock,
                     Backoff backoff = {.first = std::chrono::milliseconds(5),
                                        .max = std::chrono::milliseconds(60'000)});

  void Add(const ObjectKey& key) ABSL_LOCKS_EXCLUDED(mutex_);
  // The earliest of all its times counts.
  void AddAfter(const ObjectKey& key, std::chrono::milliseconds delay) ABSL_LOCKS_EXCLUDED(mutex_);
  // After a failure.
  void AddFailed(const ObjectKey& key) ABSL_LOCKS_EXCLUDED(mutex_);
  // After a success: the next failure is the first again.
  void Forget(const ObjectKey& key) ABSL_LOCKS_EXCLUDED(mutex_);

  // The next key that is due, which is the caller's until Done. nullopt: there is none.
  std::optional<ObjectKey> TryTake() ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for one. nullopt: Stop was called.
  std::optional<ObjectKey> Take() ABSL_LOCKS_EXCLUDED(mutex_);
  // REQUIRES: taken by the caller.
  void Done(const ObjectKey& key) ABSL_LOCKS_EXCLUDED(mutex_);

  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);
  Stats CurrentStats() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void AddReady(const ObjectKey& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddLater(const ObjectKey& key, std::chrono::milliseconds delay)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<ObjectKey> Next() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock& clock_;
  const Backoff backoff_;
  mutable Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  struct Ready {
    ObjectKey key;
    Timestamp since;
  };
  std::deque<Ready> ready_ ABSL_GUARDED_BY(mutex_);
  std::set<ObjectKey> dirty_ ABSL_GUARDED_BY(mutex_);  // in ready_, or to go there at Done
  std::set<ObjectKey> taken_ ABSL_GUARDED_BY(mutex_);
  std::map<ObjectKey, Timestamp> due_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<Timestamp, ObjectKey>> by_time_ ABSL_GUARDED_BY(mutex_);  // of due_
  std::map<ObjectKey, int> failures_ ABSL_GUARDED_BY(mutex_);
  uint64_t adds_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t retries_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t takes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::chrono::milliseconds waited_ ABSL_GUARDED_BY(mutex_){0};
};

}  // namespace dunlin::k8s
