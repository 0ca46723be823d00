// RateLimit: messages and bytes per second; two buckets that hold what a second allows.
//
// What is taken may be more than is left: then nothing may be taken until that is made up for. So
// the rate holds in the long run, and what is larger than a second's worth is not kept out for
// ever. Thread-safe; one short lock. Time is the clock's.

#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>

#include "services/base/clock.h"
#include "services/base/mutex.h"

namespace dunlin::broker {

// 0: no limit.
struct Rate {
  uint64_t messages = 0;  // per second
  uint64_t bytes = 0;

  bool IsNone() const { return messages == 0 && bytes == 0; }
  friend bool operator==(const Rate&, const Rate&) = default;
};

class RateLimit {
 public:
  // Full. `clock` must outlive the limit.
  RateLimit(const Rate& rate, const Clock& clock);

  const Rate& rate() const { return rate_; }

  // Takes if anything may be taken; else how long to wait, a little longer for each that is refused
  // in a row so that they do not come back together, and nothing was taken.
  std::optional<std::chrono::milliseconds> Take(uint64_t messages, uint64_t bytes)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // What may be taken now: zeros, or at least one message and a byte.
  struct Left {
    uint64_t messages = std::numeric_limits<uint64_t>::max();
    uint64_t bytes = std::numeric_limits<uint64_t>::max();

    bool IsNone() const { return messages == 0 || bytes == 0; }
  };
  Left Now() ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes, whatever is left.
  void Charge(uint64_t messages, uint64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  class Bucket {
   public:
    explicit Bucket(uint64_t per_second)
        : per_second_(static_cast<double>(per_second)), left_(per_second_) {}
    void Fill(double seconds);
    bool IsOpen() const { return per_second_ == 0 || left_ >= 1; }
    double SecondsUntilOpen() const { return IsOpen() ? 0 : (1 - left_) / per_second_; }
    uint64_t left() const;
    void Take(uint64_t amount);

   private:
    double per_second_;  // 0: no limit
    double left_;        // below 0: to be made up for
  };

  void Fill() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Rate rate_;
  const Clock& clock_;

  Mutex mutex_;
  Bucket messages_ ABSL_GUARDED_BY(mutex_);
  Bucket bytes_ ABSL_GUARDED_BY(mutex_);
  Timestamp filled_ ABSL_GUARDED_BY(mutex_);
  uint64_t refused_ ABSL_GUARDED_BY(mutex_) = 0;
};

// For `rate`: `old` when it has that, with what is left in it; null when there is none.
std::shared_ptr<RateLimit> LimitOf(const Rate& rate, std::shared_ptr<RateLimit> old,
                                   const Clock& clock);

}  // namespace dunlin::broker
