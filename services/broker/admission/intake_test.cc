#include "services/broker/admission/intake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

// What each request takes besides its bytes.
constexpr uint64_t kOverhead = 512;

class IntakeTest : public ::testing::Test {
 protected:
  milliseconds Hint() {
    const absl::StatusOr<Intake::Place> place = intake_.Enter(Intake::Source::kCall, 1);
    EXPECT_EQ(CodeOf(place.status()), PublicCode::kTooManyRequests);
    return RetryAfterOf(place.status());
  }

  ManualClock clock_;
  Intake intake_{{.calls = 2, .bytes = 10'000}, clock_};
};

TEST_F(IntakeTest, BeyondItsCallsItRefuses) {
  absl::StatusOr<Intake::Place> first = intake_.Enter(Intake::Source::kCall, 10);
  const absl::StatusOr<Intake::Place> second = intake_.Enter(Intake::Source::kCall, 10);
  EXPECT_THAT(first, IsOk());
  EXPECT_THAT(second, IsOk());
  const absl::StatusOr<Intake::Place> third = intake_.Enter(Intake::Source::kCall, 10);
  EXPECT_EQ(CodeOf(third.status()), PublicCode::kTooManyRequests);
  EXPECT_THAT(third, StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("try again in")));
  EXPECT_EQ(intake_.counts().calls, 2u);
  EXPECT_EQ(intake_.counts().bytes, 2u * (10 + kOverhead));
  EXPECT_EQ(intake_.counts().refused, 1u);
  *first = Intake::Place();
  EXPECT_THAT(intake_.Enter(Intake::Source::kCall, 10), IsOk());
}

TEST_F(IntakeTest, BeyondItsBytesItRefuses) {
  const absl::StatusOr<Intake::Place> first =
      intake_.Enter(Intake::Source::kCall, 9'000 - kOverhead);
  EXPECT_EQ(CodeOf(intake_.Enter(Intake::Source::kCall, 1'001 - kOverhead).status()),
            PublicCode::kTooManyRequests);
  EXPECT_THAT(intake_.Enter(Intake::Source::kCall, 1'000 - kOverhead), IsOk());
}

TEST_F(IntakeTest, FramesOfStreamsAreBoundedByTheirBytesAlone) {
  std::vector<Intake::Place> places;
  for (int i = 0; i < 10; ++i) {
    absl::StatusOr<Intake::Place> place = intake_.Enter(Intake::Source::kStream, 1);
    ASSERT_THAT(place, IsOk());
    places.push_back(*std::move(place));
  }
  EXPECT_EQ(intake_.counts().calls, 0u);
  EXPECT_EQ(intake_.counts().bytes, 10 * (1 + kOverhead));
  places.clear();
  EXPECT_EQ(intake_.counts().bytes, 0u);
}

TEST_F(IntakeTest, StreamsLeaveRoomForCalls) {
  const absl::StatusOr<Intake::Place> frame =
      intake_.Enter(Intake::Source::kStream, 8'750 - kOverhead);
  EXPECT_THAT(frame, IsOk());
  EXPECT_FALSE(intake_.Enter(Intake::Source::kStream, 1).ok());
  EXPECT_THAT(intake_.Enter(Intake::Source::kCall, 1'250 - kOverhead), IsOk());
}

TEST_F(IntakeTest, ASingleLargerRequestIsTaken) {
  const absl::StatusOr<Intake::Place> large = intake_.Enter(Intake::Source::kCall, 50'000);
  EXPECT_THAT(large, IsOk());
  EXPECT_FALSE(intake_.Enter(Intake::Source::kCall, 1).ok());
}

TEST_F(IntakeTest, APlaceThatWasMovedLeavesOnce) {
  {
    absl::StatusOr<Intake::Place> place = intake_.Enter(Intake::Source::kCall, 10);
    Intake::Place moved = *std::move(place);
    Intake::Place again = std::move(moved);
    again = Intake::Place(std::move(again));
    EXPECT_EQ(intake_.counts().calls, 1u);
  }
  EXPECT_EQ(intake_.counts().calls, 0u);
  EXPECT_EQ(intake_.counts().bytes, 0u);
}

TEST_F(IntakeTest, TheHintIsHowLongRequestsStay) {
  {
    const absl::StatusOr<Intake::Place> stays = intake_.Enter(Intake::Source::kCall, 1);
    clock_.Advance(milliseconds(400));
  }
  const absl::StatusOr<Intake::Place> full = intake_.Enter(Intake::Source::kCall, 10'000);
  const milliseconds first = Hint();
  EXPECT_EQ(first, milliseconds(400));
  // Those refused together are told to come back one after the other.
  const milliseconds second = Hint();
  EXPECT_GT(second, first);
  for (int i = 0; i < 100; ++i) EXPECT_LE(Hint(), milliseconds(800));
}

TEST_F(IntakeTest, TheHintGrowsWhileNobodyLeaves) {
  const absl::StatusOr<Intake::Place> full = intake_.Enter(Intake::Source::kCall, 10'000);
  EXPECT_EQ(Hint(), milliseconds(20));
  clock_.Advance(milliseconds(300));
  EXPECT_GE(Hint(), milliseconds(300));
  clock_.Advance(std::chrono::hours(1));
  EXPECT_GE(Hint(), milliseconds(1000));
  EXPECT_LE(Hint(), milliseconds(2000));
}

TEST_F(IntakeTest, AClosedGateLetsNothingIn) {
  bool open = false;
  Intake intake({}, clock_, [&] {
    return open ? absl::OkStatus() : PublicError(PublicCode::kHaNotAvailable, "no master here");
  });
  EXPECT_THAT(intake.Enter(Intake::Source::kStream, 7).status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("no master here")));
  open = true;
  EXPECT_OK(intake.Enter(Intake::Source::kStream, 7).status());
  EXPECT_EQ(intake.counts().refused, 0u) << "it was not full";
}

TEST_F(IntakeTest, ManyThreadsNeverOverfillIt) {
  Intake intake({.calls = 3, .bytes = 1u << 20}, clock_);
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) {
        const absl::StatusOr<Intake::Place> place = intake.Enter(Intake::Source::kCall, 7);
        if (!place.ok()) continue;
        const int now = inside.fetch_add(1) + 1;
        int seen = most.load();
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        inside.fetch_sub(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most.load(), 3);
  EXPECT_EQ(intake.counts().calls, 0u);
  EXPECT_EQ(intake.counts().bytes, 0u);
}

}  // namespace
}  // namespace dunlin::broker
