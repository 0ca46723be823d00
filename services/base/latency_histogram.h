// LatencyHistogram: how long something took, counted in the buckets that Prometheus shows.
//
// Thread-safe, and cheap enough for each call and each sync: two relaxed additions. The buckets
// reach from what memory takes to what nobody waits for.

#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace dunlin {

class LatencyHistogram {
 public:
  // Upper ends of the buckets, inclusive; one more bucket takes what is above the last.
  static constexpr std::array<std::chrono::microseconds, 16> kBounds = {
      std::chrono::microseconds(100),  std::chrono::microseconds(250),
      std::chrono::microseconds(500),  std::chrono::milliseconds(1),
      std::chrono::microseconds(2500), std::chrono::milliseconds(5),
      std::chrono::milliseconds(10),   std::chrono::milliseconds(25),
      std::chrono::milliseconds(50),   std::chrono::milliseconds(100),
      std::chrono::milliseconds(250),  std::chrono::milliseconds(500),
      std::chrono::seconds(1),         std::chrono::milliseconds(2500),
      std::chrono::seconds(5),         std::chrono::seconds(10)};

  struct Snapshot {
    std::array<uint64_t, kBounds.size() + 1> counts = {};  // of each bucket alone
    std::chrono::nanoseconds sum{0};
  };

  void Record(std::chrono::nanoseconds took) {
    const auto* const bound = std::lower_bound(kBounds.begin(), kBounds.end(), took);
    const auto bucket = static_cast<size_t>(bound - kBounds.begin());
    counts_[bucket].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(took.count(), std::memory_order_relaxed);
  }

  // Counts that are being made may be in it or not, each by itself.
  Snapshot Read() const {
    Snapshot read;
    for (size_t i = 0; i < counts_.size(); ++i) {
      read.counts[i] = counts_[i].load(std::memory_order_relaxed);
    }
    read.sum = std::chrono::nanoseconds(sum_.load(std::memory_order_relaxed));
    return read;
  }

 private:
  std::array<std::atomic<uint64_t>, kBounds.size() + 1> counts_ = {};
  std::atomic<int64_t> sum_ = 0;
};

}  // namespace dunlin
