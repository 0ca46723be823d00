#include "services/base/latency_histogram.h"

#include <gtest/gtest.h>

#include <chrono>

namespace dunlin {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST(LatencyHistogramTest, BoundsAreInclusive) {
  LatencyHistogram histogram;
  histogram.Record(nanoseconds(0));
  histogram.Record(microseconds(100));
  histogram.Record(nanoseconds(100'001));
  histogram.Record(seconds(10));
  histogram.Record(seconds(10) + nanoseconds(1));
  const LatencyHistogram::Snapshot read = histogram.Read();
  EXPECT_EQ(read.counts[0], 2);
  EXPECT_EQ(read.counts[1], 1);
  EXPECT_EQ(read.counts[15], 1);
  EXPECT_EQ(read.counts[16], 1);
  EXPECT_EQ(read.sum, seconds(20) + nanoseconds(200'002));
}

}  // namespace
}  // namespace dunlin
