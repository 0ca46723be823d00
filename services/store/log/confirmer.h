// Confirmer: tells appenders of a replicated log that what they appended is safe, and moves the
// log's confirmed watermark.
//
// An append is confirmed when it is durable here, by the log's flush mode, and when the replicator
// has said on the control page that the replicas have it (`replicated`). It is told of only while
// this log is the master's: the page still wants our epoch for master, and the lease has not run
// out. Each look reads `replicated` first, then the orders and the clock: what had been replicated
// while we were the master stays so.
//
//   waiting    durable, not replicated, or the lease is over: nobody is told anything, since an
//              extension of the lease may make it good, and a change of role bad
//   told OK    in the order of the log; those of one batch of the appender together
//   over       role or epoch are no longer ours, or Close: whoever waits, and whoever comes
//              later, is told UNAVAILABLE; whether the message is in the log of the next master
//              is for the sender to find out, by sending it again. Final.
//
// Who makes something durable looks by itself: when nothing has to be waited for, nobody is woken.
// A thread, `confirmer`, waits on the page for the rest.

#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <thread>

#include "absl/status/status.h"

#include "services/base/mutex.h"
#include "services/base/strong_int.h"
#include "services/store/log/commit_log.h"
#include "services/store/log/control_page.h"
#include "services/store/log/watermark.h"

namespace dunlin::store {

class Confirmer {
 public:
  struct Options {
    Epoch epoch;  // in which this log is the master's
    // What the lease is compared with: BootTime, or a test's.
    std::function<std::chrono::nanoseconds()> boot_time;
    LogOffset end;  // all below is durable at first
  };

  // `page` and `confirmed` must outlive the confirmer.
  Confirmer(Options options, ControlPage& page, Watermark& confirmed);
  ~Confirmer() { Close(); }

  // Everything below `end` is durable here, for which the chain `waiters` (perhaps empty) waits.
  // May tell them, and others, before it returns. In the order of the log; one thread at a time.
  void OnDurable(LogOffset end, CommitWaiter* waiters) ABSL_LOCKS_EXCLUDED(mutex_);

  bool over() const { return is_over_.load(std::memory_order_acquire); }
  // OK, or UNAVAILABLE once it is over.
  absl::Status health() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Whoever still waits is told that it is over; stops the thread. Idempotent.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Waiting {
    LogOffset end;
    CommitWaiter* waiters = nullptr;
  };

  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  // Looks at the page and tells whoever may be told, unless somebody else is telling: then that one
  // looks again.
  void Look() ABSL_LOCKS_EXCLUDED(mutex_);
  // How far is confirmed by what the page says now; sets over_.
  LogOffset ConfirmedNow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(absl::Status why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  ControlPage& page_;
  Watermark& confirmed_;

  mutable Mutex mutex_;
  LogOffset durable_ ABSL_GUARDED_BY(mutex_);
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);  // by end
  bool telling_ ABSL_GUARDED_BY(mutex_) = false;         // somebody is, in order, without the lock
  bool look_again_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status over_ ABSL_GUARDED_BY(mutex_);
  std::atomic<bool> is_over_{false};
  std::thread thread_;
};

}  // namespace dunlin::store
