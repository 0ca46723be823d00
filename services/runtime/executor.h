// Executor: one named thread and a bounded queue, for work that may wait for a disk and so must not
// run on an RPC thread (changes of topics and groups, dead letters, admin queries).
//
// Thread-safe. Tasks run one at a time, in order. Stop() runs what was accepted, then joins.

#pragma once

#include <deque>
#include <string>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "services/base/mutex.h"

namespace dunlin {

class Executor {
 public:
  using Task = absl::AnyInvocable<void()>;

  // `name`: at most 15 characters, seen in top and in logs. `capacity`: tasks that may wait.
  Executor(const std::string& name, size_t capacity);
  ~Executor();

  // RESOURCE_EXHAUSTED when the queue is full, UNAVAILABLE after Stop(); the task is then dropped.
  absl::Status Run(Task task) ABSL_LOCKS_EXCLUDED(mutex_);

  // Idempotent. REQUIRES: not called from a task.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string name_;
  const size_t capacity_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dunlin
