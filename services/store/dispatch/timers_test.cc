// What becomes of a timer: delivered, recalled, moved, across crashes; each ends once.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "services/base/testing/status_matchers.h"
#include "services/store/dispatch/testing/store_rig.h"
#include "services/store/index/timer_index.h"

namespace dunlin::store {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr QueueKey kQueue{TopicId(1), 0};
constexpr QueueKey kOther{TopicId(1), 1};

class TimersTest : public ::testing::Test {
 protected:
  TimersTest() {
    rig_.Open();
    rig_.PutTopic(TopicId(1));
  }

  Timestamp In(int64_t millis) { return rig_.clock().Now() + milliseconds(millis); }
  TimerIndex& Index() { return rig_.dispatcher().timers(); }

  std::vector<Timer> TakeDue(size_t limit = 1000) {
    auto due = Index().TakeDue(rig_.clock().Now(), limit);
    EXPECT_TRUE(due.ok()) << due.status();
    return due.ok() ? due->timers : std::vector<Timer>();
  }

  std::vector<IndexEntry> Entries(QueueKey queue) {
    std::vector<IndexEntry> entries;
    EXPECT_TRUE(rig_.dispatcher().queues().Read(queue, QueueOffset(0), 100, entries).ok());
    return entries;
  }

  StoreRig rig_;
};

TEST_F(TimersTest, AParkedMessageStandsInNoQueueUntilItIsDelivered) {
  const Timer timer = rig_.Park(kQueue, In(10), "tag");
  rig_.Settle();
  EXPECT_EQ(rig_.dispatcher().queues().Bounds(kQueue).max, QueueOffset(0));
  EXPECT_EQ(Index().Pending(kQueue), 1u);
  EXPECT_THAT(TakeDue(), IsEmpty());

  rig_.clock().Advance(milliseconds(10));
  EXPECT_THAT(TakeDue(), ElementsAre(timer));
  EXPECT_THAT(TakeDue(), IsEmpty()) << "it is in somebody's hands";
  const Appended delivered = rig_.DeliverTimer(timer);
  rig_.Settle();
  EXPECT_EQ(Index().Pending(kQueue), 0u);
  ASSERT_EQ(Entries(kQueue).size(), 1u);
  EXPECT_EQ(Entries(kQueue)[0].log_offset, delivered.log_offset);
  EXPECT_EQ(Entries(kQueue)[0].tag_hash, timer.tag_hash);
  const auto found = rig_.dispatcher().FindDelivery(timer.place);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(*found, delivered.log_offset);
}

TEST_F(TimersTest, TimersComeInOrderOfDueTimeThenOfAge) {
  const Timer late = rig_.Park(kQueue, In(20));
  const Timer first = rig_.Park(kOther, In(10));
  const Timer second = rig_.Park(kQueue, In(10));
  rig_.Settle();
  rig_.clock().Advance(milliseconds(30));
  EXPECT_THAT(TakeDue(2), ElementsAre(first, second));
  EXPECT_THAT(TakeDue(2), ElementsAre(late));
}

TEST_F(TimersTest, TheNextDueTimeIsTold) {
  rig_.Park(kQueue, In(500));
  rig_.Park(kQueue, In(200));
  rig_.Settle();
  const auto due = Index().TakeDue(rig_.clock().Now(), 10);
  ASSERT_TRUE(due.ok());
  EXPECT_EQ(due->next, In(200));
  // An earlier one ends the wait for it.
  rig_.Park(kQueue, In(100));
  rig_.Settle();
  Index().Wait(due->seen, hours(1));
}

TEST_F(TimersTest, WhatWasTakenAndNotDeliveredComesAgainAfterACrash) {
  const Timer timer = rig_.Park(kQueue, In(0));
  rig_.Settle();
  EXPECT_THAT(TakeDue(), ElementsAre(timer));
  rig_.Crash();
  rig_.Open();
  EXPECT_THAT(TakeDue(), ElementsAre(timer));
}

TEST_F(TimersTest, APointerInTheLogEndsTheTimerAlsoWhenTheIndexDidNotHearOfIt) {
  const Timer timer = rig_.Park(kQueue, In(0));
  rig_.Settle();
  ASSERT_OK(rig_.dispatcher().Checkpoint());
  EXPECT_THAT(TakeDue(), ElementsAre(timer));
  rig_.DeliverTimer(timer);
  rig_.Crash();
  rig_.Open();
  EXPECT_THAT(TakeDue(), IsEmpty());
  EXPECT_EQ(Entries(kQueue).size(), 1u);
  EXPECT_EQ(Index().Pending(), 0u);
}

TEST_F(TimersTest, ARecalledTimerIsRememberedAndNeverComes) {
  const Timer timer = rig_.Park(kQueue, In(100));
  rig_.Settle();
  ASSERT_OK(Index().Take(timer.key).status());
  EXPECT_THAT(Index().Take(timer.key).status(), StatusIs(absl::StatusCode::kAborted));
  rig_.RecallTimer(timer.key);
  rig_.Settle();
  for (int start = 0; start < 2; ++start) {
    EXPECT_THAT(Index().Take(timer.key).status(), StatusIs(absl::StatusCode::kAlreadyExists));
    EXPECT_EQ(Index().Pending(), 0u);
    rig_.Crash();
    rig_.Open();
  }
  rig_.clock().Advance(hours(1));
  EXPECT_THAT(TakeDue(), IsEmpty());
}

TEST_F(TimersTest, WhatWasDeliveredCannotBeTaken) {
  const Timer timer = rig_.Park(kQueue, In(0));
  rig_.Settle();
  EXPECT_EQ(TakeDue().size(), 1u);
  rig_.DeliverTimer(timer);
  rig_.Settle();
  EXPECT_THAT(Index().Take(timer.key).status(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(TimersTest, RetentionMovesWhatAPointerFurtherOnNeeds) {
  const Timer timer = rig_.Park(kOther, In(0), "tag", {}, "delivered");
  rig_.Settle();
  rig_.Fill(kQueue, 80u << 10);  // the pointer stands in another segment
  EXPECT_THAT(TakeDue(), ElementsAre(timer));
  const Appended pointer = rig_.DeliverTimer(timer);
  rig_.Fill(kQueue, 60u << 10);
  rig_.Settle();
  ASSERT_OK(rig_.Expire(128u << 10));
  ASSERT_GT(rig_.log().start(), timer.place);
  ASSERT_LT(rig_.log().start(), pointer.log_offset);
  const auto entries = Entries(kOther);
  ASSERT_EQ(entries.size(), 1u);
  const auto record = rig_.log().Read(entries[0].log_offset);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->header().flags, kFlagRelocated | kFlagDue);
  EXPECT_THAT(std::string(record->payload()), HasSubstr("delivered"));
}

TEST_F(TimersTest, RetentionMovesWhatIsPending) {
  const Timer pending = rig_.Park(kQueue, In(1000), "tag", {"key"});
  for (int round = 0; round < 3; ++round) {
    rig_.Fill(kQueue, 300u << 10);
    rig_.Settle();
    ASSERT_OK(rig_.Expire(128u << 10));
    ASSERT_GT(rig_.log().start(), pending.place);
    EXPECT_EQ(Index().Pending(kQueue), 1u);
    const auto moved = Index().Take(pending.key);
    ASSERT_TRUE(moved.ok()) << moved.status();
    EXPECT_GE(moved->place, rig_.log().start());
    EXPECT_EQ(moved->tag_hash, pending.tag_hash);
    Index().GiveBack({&*moved, 1});
  }
  rig_.clock().Advance(milliseconds(1000));
  const std::vector<Timer> due = TakeDue();
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].key, pending.key);
  rig_.DeliverTimer(due[0]);
  rig_.Settle();
  EXPECT_EQ(Index().Pending(), 0u);
  rig_.Crash();
  rig_.Open();
  EXPECT_THAT(TakeDue(), IsEmpty());
}

TEST_F(TimersTest, CountsSurviveACheckpointAndADeletedTopic) {
  rig_.Park(kQueue, In(100));
  rig_.Park(kOther, In(100));
  rig_.Park(kOther, In(200));
  rig_.Settle();
  ASSERT_OK(rig_.dispatcher().Checkpoint());
  rig_.Park(kQueue, In(300));
  rig_.Crash();
  rig_.Open();
  EXPECT_EQ(Index().Pending(kQueue), 2u);
  EXPECT_EQ(Index().Pending(kOther), 2u);
  EXPECT_EQ(Index().Pending(), 4u);
  rig_.DeleteTopic(TopicId(1));
  rig_.Settle();
  EXPECT_EQ(Index().Pending(), 0u);
}

}  // namespace
}  // namespace dunlin::store
