#include "services/base/clock.h"

#include <time.h>

namespace dunlin {
namespace {

std::chrono::nanoseconds Read(clockid_t id) {
  timespec time{};
  clock_gettime(id, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

std::chrono::nanoseconds BootTime() { return Read(CLOCK_BOOTTIME); }

SystemClock::SystemClock() : origin_(Read(CLOCK_REALTIME) - BootTime()) {}

Timestamp SystemClock::Now() const {
  return Timestamp(std::chrono::duration_cast<std::chrono::milliseconds>(origin_ + BootTime()));
}

}  // namespace dunlin
