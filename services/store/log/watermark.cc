#include "services/store/log/watermark.h"

namespace dunlin::store {

void Watermark::Advance(LogOffset offset) {
  uint64_t now = value_.load(std::memory_order_relaxed);
  do {
    if (offset.value() <= now) return;
  } while (!value_.compare_exchange_weak(now, offset.value(), std::memory_order_seq_cst));
  // A waiter announces itself before it looks at the value, we move the value before we look for
  // waiters: one of the two sees the other.
  if (waiting_.load(std::memory_order_seq_cst) > 0) Interrupt();
}

LogOffset Watermark::WaitAbove(LogOffset seen, std::chrono::milliseconds timeout) const {
  if (Get() > seen || timeout.count() <= 0) return Get();
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  waiting_.fetch_add(1, std::memory_order_seq_cst);
  wanted_.Signal();
  const uint64_t interrupts = interrupts_;
  while (value_.load(std::memory_order_seq_cst) <= seen.value() && interrupts_ == interrupts &&
         !closed()) {
    if (!changed_.WaitUntil(mutex_, deadline)) break;
  }
  waiting_.fetch_sub(1, std::memory_order_relaxed);
  return Get();
}

void Watermark::AwaitWaiter(std::chrono::microseconds timeout) const {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  while (waiting_.load(std::memory_order_relaxed) == 0 && !closed()) {
    if (!wanted_.WaitUntil(mutex_, deadline)) break;
  }
}

void Watermark::Interrupt() const {
  MutexLock lock(mutex_);
  ++interrupts_;
  changed_.SignalAll();
}

void Watermark::Close() {
  closed_.store(true, std::memory_order_release);
  Interrupt();
  MutexLock lock(mutex_);
  wanted_.SignalAll();
}

}  // namespace dunlin::store
