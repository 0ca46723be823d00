#include "services/base/mutex.h"

#include <gtest/gtest.h>

#include <thread>

namespace dunlin {
namespace {

class Counter {
 public:
  void Add() ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    ++value_;
    changed_.SignalAll();
  }
  void AwaitAtLeast(int value) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    while (value_ < value) changed_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int value_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Its worth is under --config=tsan: the sanitizer must understand this Mutex.
TEST(MutexTest, GuardsAgainstConcurrentUse) {
  Counter counter;
  auto work = [&counter] {
    for (int i = 0; i < 10000; ++i) counter.Add();
  };
  std::thread a(work);
  std::thread b(work);
  counter.AwaitAtLeast(20000);
  a.join();
  b.join();
}

}  // namespace
}  // namespace dunlin
