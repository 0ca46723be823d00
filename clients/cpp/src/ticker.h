// Ticker: wakes those who asked for it at a moment: pauses, reconnects, messages that time out.
//
// Owns one thread. Thread-safe.

#pragma once

#include <chrono>
#include <thread>
#include <vector>

#include "services/base/mutex.h"

namespace dunlin::internal {

using SteadyTime = std::chrono::steady_clock::time_point;
using std::chrono::steady_clock;

class Ticking {
 public:
  virtual ~Ticking() = default;
  // Called on the ticker's thread; may come more often than asked for.
  virtual void Tick(SteadyTime now) = 0;
};

class Ticker {
 public:
  Ticker();
  ~Ticker();

  // Calls Tick soon after `when`, unless `who` was forgotten by then.
  void WakeAt(SteadyTime when, Ticking* who);
  // No Tick of `who` is under way or comes afterwards. Not from a Tick, not under a lock that one
  // takes.
  void Forget(Ticking* who);

 private:
  struct Entry {
    SteadyTime when;
    Ticking* who;
  };

  static bool Later(const Entry& a, const Entry& b) { return a.when > b.when; }

  void Loop();

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Ticking* current_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::vector<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // a heap, the earliest in front
  std::thread thread_;
};

}  // namespace dunlin::internal
