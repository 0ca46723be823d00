#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "clients/load/histogram.h"
#include "clients/load/ledger.h"

namespace dunlin::load {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;
using ::testing::HasSubstr;

TEST(HistogramTest, QuantilesAreRightToThreeDigits) {
  Histogram histogram;
  EXPECT_EQ(histogram.Quantile(0.5).count(), 0);
  for (int i = 1; i <= 100'000; ++i) histogram.Add(microseconds(i));
  EXPECT_EQ(histogram.count(), 100'000u);
  for (double share : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    const double expected = share * 100'000 * 1000;
    EXPECT_NEAR(static_cast<double>(histogram.Quantile(share).count()), expected, expected * 2e-3);
  }
  EXPECT_EQ(histogram.Quantile(1), microseconds(100'000));
  EXPECT_EQ(histogram.max(), microseconds(100'000));
}

TEST(HistogramTest, SmallOnesAreExactAndMergeAdds) {
  Histogram first;
  first.Add(nanoseconds(7), 99);
  first.Add(nanoseconds(-5));
  Histogram second;
  second.Add(std::chrono::hours(10));
  first.Merge(second);
  EXPECT_EQ(first.count(), 101u);
  EXPECT_EQ(first.Quantile(0.5), nanoseconds(7));
  EXPECT_EQ(first.max(), std::chrono::hours(10));
}

class LedgerTest : public ::testing::Test {
 protected:
  static std::string Make(uint64_t number, size_t size = 61, uint64_t run = 5) {
    std::string body(size, '\0');
    WriteBody(run, number, Clock::time_point(nanoseconds(77)), body.data(), body.size());
    return body;
  }
  absl::Status Enter(const std::string& body, uint32_t queue = 0) {
    return ledger_.Enter(queue, body, body_);
  }

  Ledger ledger_{5, 3, /*ordered=*/true};
  Body body_;
};

TEST_F(LedgerTest, WhatWasRefusedMustNotBeThere) {
  Outcomes outcomes;
  outcomes.Set(4, Outcomes::kStored);
  outcomes.Set(1, Outcomes::kStored);
  outcomes.Set(2, Outcomes::kUnknown);
  EXPECT_EQ(outcomes.size(), 5u);
  EXPECT_EQ(outcomes.Count(Outcomes::kNotStored), 2u);
  Ledger ledger(5, outcomes, /*ordered=*/false);
  EXPECT_TRUE(ledger.Enter(0, Make(4), body_).ok());
  EXPECT_TRUE(ledger.Enter(0, Make(2), body_).ok());
  EXPECT_FALSE(ledger.complete());
  EXPECT_THAT(std::string(ledger.CheckComplete().message()), HasSubstr("the first is message 1"));
  EXPECT_THAT(std::string(ledger.Enter(0, Make(3), body_).message()), HasSubstr("was refused"));
  EXPECT_THAT(std::string(ledger.Enter(0, Make(5), body_).message()), HasSubstr("never sent"));
  EXPECT_TRUE(ledger.Enter(0, Make(1), body_).ok());
  EXPECT_TRUE(ledger.complete());
  EXPECT_TRUE(ledger.CheckComplete().ok());
}

TEST_F(LedgerTest, IsCompleteWhenEachCameOnce) {
  EXPECT_TRUE(Enter(Make(0)).ok());
  EXPECT_EQ(body_.due, Clock::time_point(nanoseconds(77)));
  EXPECT_TRUE(Enter(Make(7, 61, /*run=*/6)).ok());  // another run's
  EXPECT_NE(body_.run, 5u);
  EXPECT_TRUE(Enter("first message").ok());  // and no load's at all
  EXPECT_NE(body_.run, 5u);
  EXPECT_TRUE(Enter(Make(2)).ok());
  EXPECT_THAT(std::string(ledger_.CheckComplete().message()), HasSubstr("the first is message 1"));
  EXPECT_TRUE(Enter(Make(1), 1).ok());
  EXPECT_TRUE(ledger_.complete());
  EXPECT_TRUE(ledger_.CheckComplete().ok());
}

TEST_F(LedgerTest, NoticesWhatIsWrong) {
  EXPECT_TRUE(Enter(Make(1)).ok());
  EXPECT_THAT(std::string(Enter(Make(1)).message()), HasSubstr("came twice"));
  EXPECT_THAT(std::string(Enter(Make(0)).message()), HasSubstr("came behind 1 in queue 0"));
  EXPECT_THAT(std::string(Enter(Make(3)).message()), HasSubstr("was never sent"));
  EXPECT_TRUE(absl::IsDataLoss(ReadBody("short", body_)));
  std::string changed = Make(2);
  changed.back() = static_cast<char>(changed.back() ^ 1);
  EXPECT_TRUE(absl::IsDataLoss(Enter(changed)));
}

TEST_F(LedgerTest, NoticesEveryFlippedBitBehindTheTime) {
  for (size_t size : {24, 25, 32, 61}) {
    const std::string body = Make(2, size);
    for (size_t bit = 8 * kMinBody; bit < 8 * size; ++bit) {
      std::string broken = body;
      broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ (1 << bit % 8));
      EXPECT_TRUE(absl::IsDataLoss(ReadBody(broken, body_))) << bit;
    }
  }
}

}  // namespace
}  // namespace dunlin::load
