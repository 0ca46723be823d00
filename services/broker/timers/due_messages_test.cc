// Delayed messages on a clock that jumps, in a broker that crashes: each comes once, none early.

#include "services/broker/timers/due_messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/timers/recall.h"
#include "services/broker/timers/testing/clock_scenario.h"
#include "services/broker/timers/testing/timer_rig.h"
#include "services/store/dispatch/testing/store_rig.h"

namespace dunlin::broker {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(DueMessagesTest, SleepsUntilTheNextIsDue) {
  TimerRig rig;
  auto rest = rig.engine->Step();
  ASSERT_TRUE(rest.ok());
  EXPECT_GT(rest->idle, seconds(1));
  rig.store.Park({rig.id, 0}, rig.store.clock().Now() + milliseconds(20));
  rig.store.Settle();
  rest = rig.engine->Step();
  ASSERT_TRUE(rest.ok());
  EXPECT_EQ(rest->idle, milliseconds(20));
  EXPECT_EQ(rig.engine->delivered(), 0u);
  rig.store.clock().Advance(milliseconds(20));
  rig.Step();
  EXPECT_EQ(rig.engine->delivered(), 1u);
}

TEST(DueMessagesTest, KeepsTheOrderOfDueTimesInAQueue) {
  TimerRig rig;
  const Timestamp now = rig.store.clock().Now();
  std::vector<store::TimerKey> expected;
  for (int64_t i = 0; i < 50; ++i) rig.store.Park({rig.id, 0}, now + milliseconds(50 - i));
  rig.store.clock().Advance(milliseconds(50));
  rig.Step();
  const std::vector<store::TimerKey> delivered = rig.TakeDelivered();
  EXPECT_EQ(delivered.size(), 50u);
  EXPECT_TRUE(std::is_sorted(delivered.begin(), delivered.end()));
}

class ScenarioTest : public ::testing::TestWithParam<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, ScenarioTest, ::testing::Range(0u, 4u));

TEST_P(ScenarioTest, EachComesOnceAndNoneEarlyWhateverTheClockDoes) {
  std::mt19937 random(GetParam());
  const auto below = [&](int limit) {
    return static_cast<int>(random() % static_cast<unsigned>(limit));
  };
  TimerRig rig;
  std::set<store::TimerKey> pending;
  std::map<store::TimerKey, int> delivered;
  uint64_t recalled = 0;
  uint64_t early = 0;
  const auto look = [&] {
    for (const store::TimerKey& key : rig.TakeDelivered()) {
      early += key.due > rig.store.clock().Now() ? 1 : 0;
      ++delivered[key];
    }
  };
  for (int round = 0; round < 40; ++round) {
    for (int i = below(60); i > 0; --i) {
      const Timestamp due = rig.store.clock().Now() + milliseconds(below(3'600'000));
      const QueueKey queue{rig.id, static_cast<uint32_t>(below(TimerRig::kQueues))};
      pending.insert(rig.store.Park(queue, due, "tag").key);
    }
    rig.store.clock().Advance(seconds(below(120)));
    if (below(4) == 0) rig.store.clock().Advance(below(2) == 0 ? hours(1) : -hours(1));
    if (below(3) == 0) rig.store.Settle();
    if (below(3) == 0) EXPECT_OK(rig.engine->Step());  // not all that was stored is indexed
    if (below(4) == 0 && !pending.empty()) {
      auto key = std::next(pending.begin(), below(static_cast<int>(pending.size())));
      const absl::Status status = Recall(rig.store.log(), rig.store.dispatcher(), *key, rig.id);
      if (status.ok()) {
        ++recalled;
        pending.erase(key);
      } else {
        EXPECT_EQ(CodeOf(status), PublicCode::kMessageNotFound) << status;
      }
    }
    if (below(5) == 0) {
      rig.store.Fill({TopicId(77), 0}, 100u << 10);
      rig.store.Settle();
      EXPECT_OK(rig.store.Expire(256u << 10));
    }
    if (below(3) == 0) rig.Crash(/*checkpoint=*/below(2) == 0);
    rig.Step();
    look();
  }
  rig.store.clock().Advance(hours(3));
  rig.Step();
  look();
  EXPECT_EQ(early, 0u);
  EXPECT_EQ(rig.store.dispatcher().timers().Pending(), 0u);
  EXPECT_GT(recalled, 0u);
  uint64_t duplicates = 0;
  for (const auto& [key, times] : delivered) {
    duplicates += static_cast<uint64_t>(times - 1);
    EXPECT_TRUE(pending.contains(key)) << "it was recalled, or never sent";
  }
  EXPECT_EQ(duplicates, 0u);
  EXPECT_EQ(delivered.size(), pending.size()) << "some are lost";
}

TEST(ClockScenarioTest, ManyAtAllTimesOfAnHour) {
  ClockOutcome outcome;
  EXPECT_OK(DeliverOnAJumpingClock(/*seed=*/1, /*timers=*/2000, /*crashes=*/5, outcome,
                                   [](const ClockOutcome&) {}));
  EXPECT_EQ(outcome.delivered, 2000u);
  EXPECT_LE(outcome.late_p99, milliseconds(100));
}

TEST(RecallTest, SaysWhatHappened) {
  TimerRig rig;
  const store::Timer timer =
      rig.store.Park({rig.id, 0}, rig.store.clock().Now() + milliseconds(20));
  EXPECT_EQ(CodeOf(Recall(rig.store.log(), rig.store.dispatcher(),
                          {timer.key.due, LogOffset(uint64_t{1} << 40)}, rig.id)),
            PublicCode::kBadRequest);
  EXPECT_EQ(CodeOf(Recall(rig.store.log(), rig.store.dispatcher(),
                          {timer.key.due + minutes(1), timer.key.id}, rig.id)),
            PublicCode::kMessageNotFound);
  EXPECT_EQ(CodeOf(Recall(rig.store.log(), rig.store.dispatcher(), timer.key, TopicId(77))),
            PublicCode::kBadRequest);
  EXPECT_OK(Recall(rig.store.log(), rig.store.dispatcher(), timer.key, rig.id));
  EXPECT_OK(Recall(rig.store.log(), rig.store.dispatcher(), timer.key, rig.id));
}

}  // namespace
}  // namespace dunlin::broker
