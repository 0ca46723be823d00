// TimerIndex: which parked messages wait for their due time, and who ends a timer.
//
// A timer ends by a record in the log: DELIVERY or RECALL. Who appends it takes the timer first:
// then nobody else gets it before that record has been applied, or the timer was given back. Made
// from the log by the dispatcher; a crash takes nothing of it that the log does not bring back.
//
// Thread-safe; taking may read the disk. One thread takes what is due.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/store/index/timer.h"

namespace dunlin::store {

class TimerIndex {
 public:
  virtual ~TimerIndex() = default;

  struct Due {
    std::vector<Timer> timers;  // ascending by key
    // When the next one is due; none: no timer is pending that is not in somebody's hands.
    std::optional<Timestamp> next;
    // As many are in somebody's hands as may be: more are given out when some have ended.
    bool full = false;
    uint64_t seen = 0;  // for Wait
  };
  // Takes timers due at `now` or before, at most `limit`. DATA_LOSS: the index is damaged.
  virtual absl::StatusOr<Due> TakeDue(Timestamp now, size_t limit) = 0;

  // Takes one timer. Errors: NOT_FOUND (it ended by delivery, or never was), ALREADY_EXISTS (it was
  // recalled), ABORTED (it is in somebody's hands: ask again when `dispatched` has moved),
  // DATA_LOSS.
  virtual absl::StatusOr<Timer> Take(TimerKey key) = 0;

  // Nothing was appended for them.
  virtual void GiveBack(std::span<const Timer> timers) = 0;

  // Returns when `timeout` has passed, or something has happened since `seen` that could make
  // TakeDue give more: an earlier timer, one given back, room, Interrupt.
  virtual void Wait(uint64_t seen, std::chrono::milliseconds timeout) const = 0;
  virtual void Interrupt() const = 0;

  // Timers that have not ended, as of `dispatched`.
  virtual uint64_t Pending(QueueKey queue) const = 0;
  virtual uint64_t Pending() const = 0;
};

}  // namespace dunlin::store
