#include "services/broker/transactions/check_policy.h"

#include <gtest/gtest.h>

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Timestamp kNow = FromUnixMillis(1'700'000'000'000);

TEST(CheckPolicyTest, TheFirstCheckIsAtItsOwnTimeOrTheUsualOne) {
  const CheckPolicy policy;
  EXPECT_EQ(policy.FirstCheck(kNow, std::nullopt), kNow + seconds(6));
  EXPECT_EQ(policy.FirstCheck(kNow, milliseconds(1)), kNow + milliseconds(1));
  EXPECT_EQ(policy.FirstCheck(kNow, seconds(3600)), kNow + seconds(3600));
  EXPECT_EQ(policy.FirstCheck(kNow, seconds(0)), kNow + seconds(6));
  EXPECT_EQ(policy.FirstCheck(kNow, -seconds(1)), kNow + seconds(6));
}

TEST(CheckPolicyTest, FifteenChecksHalfAMinuteApartThenItIsParked) {
  const CheckPolicy policy;
  store::Transaction half;
  Timestamp now = policy.FirstCheck(kNow, std::nullopt);
  half.next_check = now;
  int checks = 0;
  for (; policy.MayBeChecked(half); now = *half.next_check, ++checks) {
    half = policy.Checked(half, now);
  }
  EXPECT_EQ(checks, 15);
  EXPECT_EQ(now, kNow + seconds(6) + 15 * seconds(30));
  half = CheckPolicy::Parked(half);
  EXPECT_FALSE(half.next_check.has_value());
  EXPECT_EQ(half.checks, 15u);
  half = CheckPolicy::Again(half, now);
  EXPECT_TRUE(policy.MayBeChecked(half));
  EXPECT_EQ(half.next_check, now);
}

}  // namespace
}  // namespace dunlin::broker
