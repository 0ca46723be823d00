#include "operator/k8s/conditions.h"

#include <gmock/gmock.h>

#include <chrono>

#include "operator/k8s/rfc3339.h"

namespace dunlin::k8s {
namespace {

constexpr Timestamp kThen = FromUnixMillis(1'767'323'045'678);  // 2026-01-02 03:04:05.678

TEST(Rfc3339Test, TimesAsTheApiWritesThem) {
  EXPECT_EQ(FormatTime(kThen), "2026-01-02T03:04:05Z");
  EXPECT_EQ(FormatMicroTime(kThen), "2026-01-02T03:04:05.678000Z");
  EXPECT_EQ(FormatMicroTime(FromUnixMillis(0)), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(FormatTime(FromUnixMillis(951'782'400'000)), "2000-02-29T00:00:00Z");
}

TEST(ConditionsTest, TransitionTimeMovesWithTheStatusOnly) {
  using std::chrono::seconds;
  Json conditions;
  SetCondition(conditions, {"Ready", ConditionStatus::kFalse, "Starting", "1 of 3"}, 1, kThen);
  SetCondition(conditions, {"Ready", ConditionStatus::kFalse, "Starting", "2 of 3"}, 2,
               kThen + seconds(1));
  ASSERT_EQ(conditions.size(), 1U);
  EXPECT_EQ(conditions[0], Json::parse(R"({"type": "Ready", "status": "False",
      "observedGeneration": 2, "lastTransitionTime": "2026-01-02T03:04:05Z",
      "reason": "Starting", "message": "2 of 3"})"));
  EXPECT_FALSE(IsConditionTrue(conditions, "Ready"));

  SetCondition(conditions, {"Ready", ConditionStatus::kTrue, "AllReady", ""}, 2,
               kThen + seconds(2));
  EXPECT_EQ(conditions[0]["lastTransitionTime"], "2026-01-02T03:04:07Z");
  EXPECT_TRUE(IsConditionTrue(conditions, "Ready"));
}

TEST(ConditionsTest, ThoseOfOtherTypesStay) {
  Json conditions = Json::parse(R"([{"type": "Theirs", "status": "True"}, "odd", {}])");
  SetCondition(conditions, {"Ready", ConditionStatus::kUnknown, "NotLooked", ""}, 1, kThen);
  EXPECT_EQ(conditions.size(), 4U);
  EXPECT_TRUE(IsConditionTrue(conditions, "Theirs"));
  ASSERT_NE(FindCondition(conditions, "Ready"), nullptr);
  EXPECT_EQ((*FindCondition(conditions, "Ready"))["status"], "Unknown");
  EXPECT_EQ(FindCondition(conditions, "Absent"), nullptr);
  EXPECT_EQ(FindCondition(nullptr, "Ready"), nullptr);
}

TEST(ConditionsTest, LongMessagesAreCutBetweenCharacters) {
  std::string message(32767, 'a');
  message += "\xc3\xa9";  // two bytes, of which one would fit
  Json conditions;
  SetCondition(conditions, {"Ready", ConditionStatus::kFalse, "Long", message}, 1, kThen);
  EXPECT_EQ(conditions[0]["message"], std::string(32767, 'a'));
}

}  // namespace
}  // namespace dunlin::k8s
