// Timer: a parked message that waits for its due time, and the key that names it.

#pragma once

#include <compare>
#include <cstdint>

#include "services/base/clock.h"
#include "services/base/strong_int.h"

namespace dunlin::store {

// Timers are in the order of their keys: by due time, then by age.
struct TimerKey {
  Timestamp due;
  LogOffset id;  // where the message was parked first; it may have been moved since

  friend constexpr auto operator<=>(const TimerKey&, const TimerKey&) = default;
};

struct Timer {
  TimerKey key;
  LogOffset place;  // of the record that holds the message now
  QueueKey queue;   // where it is to be delivered
  uint32_t tag_hash = 0;

  friend bool operator==(const Timer&, const Timer&) = default;
};

}  // namespace dunlin::store
