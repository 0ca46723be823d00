// Watermark: a monotone log offset with waiters; the only notification between rooms.
//
// "Tell me when X passed N." Thread-safe. Closing wakes everybody for good.

#pragma once

#include <atomic>
#include <chrono>

#include "services/base/mutex.h"
#include "services/base/strong_int.h"

namespace dunlin::store {

class Watermark {
 public:
  explicit Watermark(LogOffset start = LogOffset(0)) : value_(start.value()) {}

  LogOffset Get() const { return LogOffset(value_.load(std::memory_order_acquire)); }

  // Moves up to `offset` and wakes waiters; a lower offset is ignored.
  void Advance(LogOffset offset) ABSL_LOCKS_EXCLUDED(mutex_);

  // Returns when the watermark is above `seen`, was closed or interrupted, or `timeout` passed; the
  // value then.
  LogOffset WaitAbove(LogOffset seen, std::chrono::milliseconds timeout) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends the waits under way without moving: for a waiter that has other things to look at too.
  void Interrupt() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Returns when somebody waits, or `timeout` passed, or it was closed: for the one that advances
  // it, who may let work collect as long as nobody asks for the result.
  void AwaitWaiter(std::chrono::microseconds timeout) const ABSL_LOCKS_EXCLUDED(mutex_);

  // No more advances: every wait returns at once from now on.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);
  bool closed() const { return closed_.load(std::memory_order_acquire); }

 private:
  std::atomic<uint64_t> value_;
  std::atomic<bool> closed_{false};
  mutable std::atomic<int> waiting_{0};  // lets Advance skip the lock when nobody waits
  mutable Mutex mutex_;
  mutable CondVar changed_;
  mutable CondVar wanted_;
  mutable uint64_t interrupts_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace dunlin::store
