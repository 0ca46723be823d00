#include "clients/load/pacer.h"

#include <algorithm>
#include <thread>

namespace dunlin::load {

Pacer::Pacer(double rate, const Extent& extent, const OnProgress& progress)
    : interval_ns_(rate > 0 ? 1e9 / rate : 0),
      extent_(extent),
      begin_(Clock::now()),
      due_(begin_),
      ticker_(begin_, progress) {}

Clock::time_point Pacer::DueOf(uint64_t number) const {
  return begin_ +
         std::chrono::nanoseconds(static_cast<int64_t>(interval_ns_ * static_cast<double>(number)));
}

uint64_t Pacer::FirstNotDue(uint64_t number) const {
  const std::chrono::nanoseconds elapsed = Clock::now() - begin_;
  const auto first = static_cast<uint64_t>(static_cast<double>(elapsed.count()) / interval_ns_) + 1;
  return std::max(first, number + 1);
}

Clock::time_point Pacer::Wait(uint64_t number) {
  Clock::time_point now = Clock::now();
  if (interval_ns_ == 0) {
    due_ = now;
    return now;
  }
  due_ = DueOf(number);
  while (now < due_) {
    std::this_thread::sleep_until(due_);
    now = Clock::now();
  }
  return now;
}

}  // namespace dunlin::load
