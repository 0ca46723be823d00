#include "services/store/log/segment_preparer.h"

#include <pthread.h>

#include <utility>

#include "services/base/log.h"

namespace dunlin::store {
namespace {

// The next segment is begun when half of the current one is left: made so many times faster than
// that fills, and a bit, it is there in time, without more of the disk than it needs.
constexpr uint64_t kShare = 2;
constexpr double kBytesPerSecond = 128.0 * (1u << 20);

}  // namespace

SegmentPreparer::SegmentPreparer(SegmentSet& segments, std::function<Place()> place,
                                 const char* name)
    : segments_(segments), place_(std::move(place)) {
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), name);
}

void SegmentPreparer::Look() {
  MutexLock lock(mutex_);
  look_ = true;
  changed_.SignalAll();
}

void SegmentPreparer::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

bool SegmentPreparer::Rest(std::chrono::milliseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  MutexLock lock(mutex_);
  while (!stopping_ && std::chrono::steady_clock::now() < until) changed_.WaitUntil(mutex_, until);
  return !stopping_;
}

void SegmentPreparer::Pace(LogOffset from, std::chrono::steady_clock::time_point begun,
                           uint64_t done_bytes) {
  for (;;) {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begun;
    const auto idle = static_cast<uint64_t>(passed.count() * kBytesPerSecond);
    if (done_bytes <= idle + kShare * (place_().end - from)) return;
    if (!Rest(std::chrono::milliseconds(2))) return;
  }
}

void SegmentPreparer::Loop() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      while (!stopping_ && !look_) changed_.Wait(mutex_);
      if (stopping_) return;
      look_ = false;
    }
    const Place place = place_();
    if (!place.PastHalf() || segments_.Find(place.segment_end) != nullptr) continue;
    const auto begun = std::chrono::steady_clock::now();
    const absl::Status prepared =
        segments_.Prepare(place.segment_end, place.next_size,
                          [&](uint64_t done_bytes) { Pace(place.end, begun, done_bytes); });
    if (prepared.ok()) continue;
    log::Warning("the next segment could not be made ahead of need, trying again in a second: {}",
                 prepared.ToString());
    if (Rest(std::chrono::seconds(1))) Look();
  }
}

}  // namespace dunlin::store
