// GrpcLoop: one named thread that runs everything a gRPC client does: completions, timers, tasks.
//
// Post may be called from any thread; all else belongs to the loop's own thread, which therefore
// needs no locks. What was posted before Stop() returned has run by then, with stopping() true if
// it came late; after it nothing runs any more.

#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <set>
#include <string>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "grpcpp/alarm.h"

#include "services/base/mutex.h"
#include "services/replicator/coordinator/instant.h"

namespace dunlin::replicator {

class GrpcLoop {
 public:
  using Task = absl::AnyInvocable<void()>;
  // What a completion queue hands back.
  class Event {
   public:
    virtual ~Event() = default;
    virtual void Proceed(bool ok) = 0;
  };

  // `name`: at most 15 characters.
  explicit GrpcLoop(const std::string& name);
  ~GrpcLoop();

  // In order. Dropped once Stop() has returned.
  void Post(Task task) ABSL_LOCKS_EXCLUDED(mutex_);
  // Dropped when Stop() comes first.
  void After(Duration delay, Task task);

  grpc::CompletionQueue* queue() { return &queue_; }
  // True from Stop() on: nothing more may be started on the queue.
  bool stopping() const { return stopping_; }

  // Runs `last` on the loop, which cancels what is under way, waits for the completions of that,
  // and joins. Idempotent. REQUIRES: not called on the loop.
  void Stop(Task last) ABSL_LOCKS_EXCLUDED(mutex_);

  static gpr_timespec Deadline(Duration from_now);

 private:
  class Timer;
  class Wake;

  void Loop();
  void RunPosted() ABSL_LOCKS_EXCLUDED(mutex_);
  void Shutdown() ABSL_LOCKS_EXCLUDED(mutex_);
  // False: there was nothing, and nothing comes any more.
  bool RunLate() ABSL_LOCKS_EXCLUDED(mutex_);

  grpc::CompletionQueue queue_;
  bool stopping_ = false;  // of the loop's thread
  std::set<Timer*> timers_;

  Mutex mutex_;
  bool shut_ ABSL_GUARDED_BY(mutex_) = false;    // the queue takes no more
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;  // the thread ends
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;   // a Wake is on the queue
  std::deque<Task> posted_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace dunlin::replicator
