// ManualClock: time that moves only when a test says so. Thread-safe.

#pragma once

#include <atomic>

#include "services/base/clock.h"

namespace dunlin {

class ManualClock final : public Clock {
 public:
  explicit ManualClock(Timestamp start = FromUnixMillis(1'700'000'000'000)) : now_(start) {}

  Timestamp Now() const override { return now_.load(); }
  void Advance(std::chrono::milliseconds step) { now_.store(now_.load() + step); }

 private:
  std::atomic<Timestamp> now_;
};

}  // namespace dunlin
