#include "operator/planner/amounts.h"

#include <gmock/gmock.h>

#include "services/base/testing/status_matchers.h"

namespace dunlin::op {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

TEST(AmountsTest, LengthsOfTimeAreSums) {
  EXPECT_THAT(MillisOf("500ms"), IsOkAndHolds(milliseconds(500)));
  EXPECT_THAT(MillisOf("0s"), IsOkAndHolds(milliseconds(0)));
  EXPECT_THAT(MillisOf("72h"), IsOkAndHolds(std::chrono::hours(72)));
  EXPECT_THAT(MillisOf("1h30m5s7ms"), IsOkAndHolds(milliseconds(5'405'007)));
}

TEST(AmountsTest, WhatIsNoLengthOfTimeIsNamed) {
  for (const char* const text :
       {"", "5", "h", "-5s", "5d", "1.5h", "99999999999999999999h", "9000000000000h"}) {
    EXPECT_THAT(MillisOf(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  }
}

TEST(AmountsTest, SizesAreQuantities) {
  EXPECT_THAT(BytesOf(1000), IsOkAndHolds(1000U));
  EXPECT_THAT(BytesOf("10Gi"), IsOkAndHolds(10'737'418'240U));
  EXPECT_THAT(BytesOf("1.5M"), IsOkAndHolds(1'500'000U));
  EXPECT_THAT(BytesOf("2e6"), IsOkAndHolds(2'000'000U));
  EXPECT_THAT(BytesOf("1E"), IsOkAndHolds(1'000'000'000'000'000'000U));
  EXPECT_THAT(BytesOf("1Ei"), IsOkAndHolds(uint64_t{1} << 60));
  EXPECT_THAT(BytesOf("1500m"), IsOkAndHolds(2U));
}

TEST(AmountsTest, WhatIsNoSizeIsNamed) {
  for (const char* const text : {"", "Gi", "10 Gi", "10gb", "-1", "16Ei", "nan", "inf"}) {
    EXPECT_THAT(BytesOf(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  }
}

TEST(AmountsTest, MomentsAreOfAnyZone) {
  EXPECT_THAT(MomentOf("2026-11-20T22:00:00Z"), IsOkAndHolds(FromUnixMillis(1'795'212'000'000)));
  EXPECT_THAT(MomentOf("2026-11-20T23:00:00.25+01:00"),
              IsOkAndHolds(FromUnixMillis(1'795'212'000'250)));
  EXPECT_THAT(MomentOf("yesterday"), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace dunlin::op
