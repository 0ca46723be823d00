// Histogram: how often each latency came, to three significant digits, in fixed memory.
//
// Buckets as HdrHistogram's: 1024 of equal width up to 1024 ns, then 512 for each further power of
// two. Not thread-safe; those of several threads are merged.

#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace dunlin::load {

class Histogram {
 public:
  Histogram();

  // Below zero counts as zero.
  void Add(std::chrono::nanoseconds latency, uint64_t times = 1);
  void Merge(const Histogram& other);

  uint64_t count() const { return count_; }
  // `share` 0.99: at least so many latencies are at most this. Zero when there are none.
  std::chrono::nanoseconds Quantile(double share) const;
  std::chrono::nanoseconds max() const { return max_; }

 private:
  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
  std::chrono::nanoseconds max_{0};
};

}  // namespace dunlin::load
