// Pacer: when the next message is due, and when there is none any more. Ticker: progress.

#pragma once

#include <chrono>
#include <cstdint>

#include "clients/load/load.h"

namespace dunlin::load {

class Ticker {
 public:
  Ticker(Clock::time_point begin, const OnProgress& progress)
      : begin_(begin), next_(begin + std::chrono::seconds(1)), progress_(progress) {}

  void Tick(Clock::time_point now, uint64_t messages) {
    if (now < next_) return;
    next_ = now + std::chrono::seconds(1);
    if (!progress_) return;
    progress_({std::chrono::duration_cast<std::chrono::milliseconds>(now - begin_), messages});
  }

 private:
  const Clock::time_point begin_;
  Clock::time_point next_;
  const OnProgress& progress_;
};

class Pacer {
 public:
  // `rate` 0: always due. `progress` must outlive the pacer.
  Pacer(double rate, const Extent& extent, const OnProgress& progress);

  // Waits until message `number` is due; false when the load is over. `count` is asked for
  // progress.
  template <typename Count>
  bool Next(uint64_t number, Count count) {
    if (extent_.messages != 0 && number >= extent_.messages) return false;
    // Looking at the clock costs as much as a good part of a message.
    if (interval_ns_ == 0 && number % kLook != 0) return true;
    const Clock::time_point now = Wait(number);
    ticker_.Tick(now, count());
    return extent_.duration.count() == 0 || due_ - begin_ < extent_.duration;
  }
  // When the message was to be sent.
  Clock::time_point due() const { return due_; }
  // The same of any message of an open loop.
  Clock::time_point DueOf(uint64_t number) const;
  // The first message of an open loop behind `number`, which is due, that is not.
  uint64_t FirstNotDue(uint64_t number) const;

 private:
  static constexpr uint64_t kLook = 64;

  Clock::time_point Wait(uint64_t number);

  const double interval_ns_;
  const Extent extent_;
  const Clock::time_point begin_;
  Clock::time_point due_;
  Ticker ticker_;
};

}  // namespace dunlin::load
