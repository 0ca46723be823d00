#include "clients/load/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace dunlin::load {
namespace {

constexpr int kBits = 10;  // of a value that are kept
constexpr uint64_t kHalf = uint64_t{1} << (kBits - 1);
constexpr uint64_t kLargest = uint64_t{1} << 43;  // two hours and a half
constexpr size_t kBuckets = (44 - kBits + 1) * kHalf + kHalf;

size_t BucketOf(uint64_t value) {
  value = std::min(value, kLargest);
  const int width = std::bit_width(value);
  if (width <= kBits) return value;
  const int shift = width - kBits;
  return static_cast<size_t>(shift) * kHalf + (value >> shift);
}

// The largest value of a bucket.
uint64_t ValueOf(size_t bucket) {
  if (bucket < 2 * kHalf) return bucket;
  const size_t shift = bucket / kHalf - 1;
  return ((bucket - shift * kHalf + 1) << shift) - 1;
}

}  // namespace

Histogram::Histogram() : buckets_(kBuckets) {}

void Histogram::Add(std::chrono::nanoseconds latency, uint64_t times) {
  latency = std::max(latency, std::chrono::nanoseconds(0));
  buckets_[BucketOf(static_cast<uint64_t>(latency.count()))] += times;
  count_ += times;
  max_ = std::max(max_, latency);
}

void Histogram::Merge(const Histogram& other) {
  for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
}

std::chrono::nanoseconds Histogram::Quantile(double share) const {
  const auto wanted = static_cast<uint64_t>(std::ceil(share * static_cast<double>(count_)));
  uint64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= wanted && seen > 0) {
      return std::min(std::chrono::nanoseconds(ValueOf(i)), max_);
    }
  }
  return max_;
}

}  // namespace dunlin::load
