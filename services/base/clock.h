// Clock: the only source of time. Rooms take one at construction, so that tests can turn it.

#pragma once

#include <chrono>

namespace dunlin {

// A moment of civil time in whole milliseconds: what is stored and what leaves the program.
using Timestamp = std::chrono::sys_time<std::chrono::milliseconds>;

constexpr int64_t ToUnixMillis(Timestamp time) { return time.time_since_epoch().count(); }
constexpr Timestamp FromUnixMillis(int64_t millis) {
  return Timestamp(std::chrono::milliseconds(millis));
}

// Time since the machine was started, suspended or not: what leases are measured in, since no one
// can set it. The same in every process of the machine.
std::chrono::nanoseconds BootTime();

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Never goes back within a process, even when the machine's clock is set back.
  virtual Timestamp Now() const = 0;
};

// Civil time at construction plus the time that has passed since, suspended or not.
class SystemClock final : public Clock {
 public:
  SystemClock();
  Timestamp Now() const override;

 private:
  const std::chrono::nanoseconds origin_;  // civil minus boot time
};

}  // namespace dunlin
