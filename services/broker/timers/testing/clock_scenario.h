// DeliverOnAJumpingClock: many delayed messages at all times of an hour, on a clock that jumps an
// hour forth and back, in a broker that crashes.
//
// The clock moves in ticks, and stands while the engine works: what is measured is when messages
// come on that clock, not how fast the machine is (`./dev bench timers-burst` shows that).

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "absl/status/status.h"

namespace dunlin::broker {

struct ClockOutcome {
  uint64_t stored = 0;
  uint64_t delivered = 0;
  uint64_t crashes = 0;
  uint64_t jumps = 0;
  // By the clock, from the due time, or from the jump that leapt over it, to the delivery.
  std::chrono::milliseconds late_p99{0};
  std::chrono::milliseconds latest{0};
};

// OK when each of `timers` messages came, none twice and none before the clock said its time;
// otherwise INTERNAL names the first that did not. `progress` is called after each crash.
absl::Status DeliverOnAJumpingClock(uint64_t seed, uint64_t timers, uint32_t crashes,
                                    ClockOutcome& outcome,
                                    const std::function<void(const ClockOutcome&)>& progress);

}  // namespace dunlin::broker
