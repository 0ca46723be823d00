#include "services/broker/topics/rate_limit.h"

#include <gtest/gtest.h>

#include "services/base/testing/manual_clock.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class RateLimitTest : public ::testing::Test {
 protected:
  ManualClock clock_;
};

TEST_F(RateLimitTest, ASecondsWorthIsThereAtOnce) {
  RateLimit limit({.messages = 10}, clock_);
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(limit.Take(1, 1'000'000).has_value()) << i;
  EXPECT_TRUE(limit.Take(1, 1).has_value());
  clock_.Advance(milliseconds(100));
  EXPECT_FALSE(limit.Take(1, 1).has_value());
  EXPECT_TRUE(limit.Take(1, 1).has_value());
}

TEST_F(RateLimitTest, NoMoreThanASecondsWorthCollects) {
  RateLimit limit({.messages = 10}, clock_);
  clock_.Advance(std::chrono::hours(1));
  EXPECT_EQ(limit.Now().messages, 10u);
}

TEST_F(RateLimitTest, WhatIsTakenBeyondTheRestIsMadeUpFor) {
  RateLimit limit({.bytes = 1000}, clock_);
  EXPECT_FALSE(limit.Take(1, 5000).has_value());
  EXPECT_EQ(limit.Now().messages, 0u);
  clock_.Advance(seconds(4));
  EXPECT_TRUE(limit.Take(1, 1).has_value());
  clock_.Advance(milliseconds(1));
  EXPECT_FALSE(limit.Take(1, 1).has_value());
}

TEST_F(RateLimitTest, TheRateHoldsInTheLongRun) {
  RateLimit limit({.messages = 100, .bytes = 1'000'000}, clock_);
  int taken = 0;
  for (int i = 0; i < 10'000; ++i) {
    if (!limit.Take(7, 10).has_value()) taken += 7;
    clock_.Advance(milliseconds(10));
  }
  EXPECT_NEAR(taken, 10'100, 10);
}

TEST_F(RateLimitTest, TheHintIsWhenThereIsRoom) {
  RateLimit limit({.messages = 2}, clock_);
  limit.Charge(4, 0);
  // Two are owed, and one must be there.
  const auto wait = limit.Take(1, 1);
  ASSERT_TRUE(wait.has_value());
  EXPECT_EQ(*wait, milliseconds(1500));
  // The next one comes a little later.
  EXPECT_GT(*limit.Take(1, 1), *wait);
  clock_.Advance(*wait);
  EXPECT_FALSE(limit.Take(1, 1).has_value());
}

TEST_F(RateLimitTest, HintsAreNeitherTooShortNorTooLong) {
  RateLimit fast({.messages = 1'000'000}, clock_);
  fast.Charge(1'000'000, 0);
  EXPECT_EQ(fast.Take(1, 1), milliseconds(20));
  RateLimit slow({.bytes = 1}, clock_);
  slow.Charge(1, 1'000'000);
  EXPECT_EQ(slow.Take(1, 1), milliseconds(10'000));
}

TEST_F(RateLimitTest, AClockThatIsSetBackGivesNothing) {
  RateLimit limit({.messages = 1}, clock_);
  limit.Charge(1, 0);
  clock_.Advance(-seconds(60));
  EXPECT_TRUE(limit.Take(1, 1).has_value());
  clock_.Advance(seconds(61));
  EXPECT_FALSE(limit.Take(1, 1).has_value());
}

TEST_F(RateLimitTest, OneOfTheSameRateIsKept) {
  const Rate rate{.messages = 5};
  const auto first = LimitOf(rate, nullptr, clock_);
  EXPECT_EQ(LimitOf(rate, first, clock_), first);
  EXPECT_NE(LimitOf({.messages = 6}, first, clock_), first);
  EXPECT_EQ(LimitOf({}, first, clock_), nullptr);
}

}  // namespace
}  // namespace dunlin::broker
