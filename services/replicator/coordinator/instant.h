// Instant: a moment of this machine's boot clock, which runs on while the machine is suspended.
//
// What leases are measured with: two instants are compared on one machine only, so clocks need not
// agree, only run at about the same rate. The same nanoseconds stand on the control page.

#pragma once

#include <time.h>

#include <chrono>
#include <functional>

namespace dunlin::replicator {

struct BootClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;
  static constexpr bool is_steady = true;

  static time_point now() {  // NOLINT(readability-identifier-naming): what the library asks for
    timespec time;
    clock_gettime(CLOCK_BOOTTIME, &time);
    return time_point(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
  }
};

using Instant = BootClock::time_point;
using Duration = BootClock::duration;
// Tests and the simulation give their own. Thread-safe.
using InstantSource = std::function<Instant()>;

inline constexpr Instant kNever = Instant::max();

}  // namespace dunlin::replicator
