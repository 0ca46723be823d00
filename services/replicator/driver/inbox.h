// Inbox: what happens elsewhere, on its way to the one thread of a driver.
//
// Others put in what the driver shall do, and ring; the driver takes everything at once.
// Thread-safe. Bounded by those who put in: streams by their credit, calls that need the secret by
// their number, GetMember, which everybody may call, by one that answers all.

#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"

#include "services/base/mutex.h"

namespace dunlin::replicator {

class Inbox {
 public:
  using Input = absl::AnyInvocable<void()>;

  // `ring` wakes the driver; called without a lock.
  explicit Inbox(std::function<void()> ring) : ring_(std::move(ring)) {}

  void Put(Input input) ABSL_LOCKS_EXCLUDED(mutex_) {
    bool first = false;
    {
      MutexLock lock(mutex_);
      if (closed_) return;
      first = inputs_.empty();
      inputs_.push_back(std::move(input));
    }
    if (first) ring_();
  }

  std::vector<Input> Take() ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    return std::exchange(inputs_, {});
  }

  // Nothing is taken any more; what waits is dropped.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_) {
    std::vector<Input> dropped;
    MutexLock lock(mutex_);
    closed_ = true;
    dropped.swap(inputs_);
  }

 private:
  const std::function<void()> ring_;
  Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Input> inputs_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::replicator
