#include "operator/k8s/retry.h"

#include <gmock/gmock.h>

namespace dunlin::k8s {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

HttpEnd Answered() { return {.status = absl::OkStatus(), .sent = true}; }
HttpEnd Broken() { return {.status = absl::UnavailableError("reset"), .sent = true}; }
HttpEnd NeverSent() { return {.status = absl::UnavailableError("refused"), .sent = false}; }

bool Again(bool idempotent, int code, std::optional<seconds> retry_after, const HttpEnd& end,
           int number = 1) {
  return RetryDelay({},
                    {.number = number,
                     .idempotent = idempotent,
                     .head = {.code = code, .retry_after = retry_after},
                     .end = end},
                    0)
      .has_value();
}

TEST(RetryTest, WhatMayHaveBeenDoneIsDoneAgainOnlyWhenThatIsTheSame) {
  constexpr bool kIdempotent = true;
  constexpr bool kOnce = false;
  EXPECT_TRUE(Again(kIdempotent, 0, {}, Broken()));
  EXPECT_FALSE(Again(kOnce, 0, {}, Broken()));
  EXPECT_TRUE(Again(kIdempotent, 500, {}, Answered()));
  EXPECT_FALSE(Again(kOnce, 500, {}, Answered()));
  EXPECT_FALSE(Again(kOnce, 503, {}, Answered()));
  // Refused before it was done.
  EXPECT_TRUE(Again(kOnce, 0, {}, NeverSent()));
  EXPECT_TRUE(Again(kOnce, 429, {}, Answered()));
  EXPECT_TRUE(Again(kOnce, 503, seconds(1), Answered()));
}

TEST(RetryTest, RefusalsAreFinal) {
  for (const int code : {400, 403, 404, 409, 410, 422}) {
    EXPECT_FALSE(Again(true, code, {}, Answered())) << code;
  }
  const HttpEnd late{.status = absl::DeadlineExceededError("late"), .sent = true};
  const HttpEnd untrusted{.status = absl::FailedPreconditionError("TLS"), .sent = false};
  EXPECT_FALSE(Again(true, 0, {}, late));
  EXPECT_FALSE(Again(true, 0, {}, untrusted));
}

TEST(RetryTest, ACredentialIsTriedTwice) {
  EXPECT_TRUE(Again(false, 401, {}, Answered(), 1));
  EXPECT_FALSE(Again(false, 401, {}, Answered(), 2));
}

TEST(RetryTest, AttemptsAreCounted) {
  EXPECT_TRUE(Again(true, 500, {}, Answered(), 4));
  EXPECT_FALSE(Again(true, 500, {}, Answered(), 5));
}

TEST(RetryTest, TheServersWishIsHeeded) {
  const RetryRules rules;
  Attempt attempt{.number = 1,
                  .idempotent = true,
                  .head = {.code = 429, .retry_after = seconds(7)},
                  .end = Answered()};
  EXPECT_EQ(RetryDelay(rules, attempt, 0), milliseconds(7000));
  attempt.head.retry_after = seconds(0);
  EXPECT_EQ(RetryDelay(rules, attempt, 0), milliseconds(100));
  attempt.head.retry_after = seconds(31);
  EXPECT_EQ(RetryDelay(rules, attempt, 0), std::nullopt);
}

TEST(RetryTest, BackoffDoublesToItsMaximum) {
  const Backoff backoff{.first = milliseconds(5), .max = milliseconds(60'000)};
  EXPECT_EQ(backoff.DelayAfter(1, 0), milliseconds(5));
  EXPECT_EQ(backoff.DelayAfter(2, 0), milliseconds(10));
  EXPECT_EQ(backoff.DelayAfter(5, 0), milliseconds(80));
  EXPECT_EQ(backoff.DelayAfter(15, 0), milliseconds(60'000));
  EXPECT_EQ(backoff.DelayAfter(1'000'000, 0), milliseconds(60'000));
  EXPECT_EQ(backoff.DelayAfter(5, 0.5), milliseconds(60));
  EXPECT_EQ(backoff.DelayAfter(0, 0), milliseconds(5));
}

}  // namespace
}  // namespace dunlin::k8s
