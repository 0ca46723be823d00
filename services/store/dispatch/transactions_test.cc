// What becomes of a half message: committed, rolled back, checked, moved, across crashes; each ends
// once, and nobody sees it before it is committed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "services/base/testing/status_matchers.h"
#include "services/store/dispatch/testing/store_rig.h"
#include "services/store/index/transaction_index.h"

namespace dunlin::store {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr QueueKey kQueue{TopicId(1), 0};
constexpr QueueKey kOther{TopicId(1), 1};

class TransactionsTest : public ::testing::Test {
 protected:
  TransactionsTest() {
    rig_.Open();
    rig_.PutTopic(TopicId(1));
  }

  Timestamp In(milliseconds delay) { return rig_.clock().Now() + delay; }
  TransactionIndex& Index() { return rig_.dispatcher().transactions(); }

  std::vector<Transaction> TakeDue(size_t limit = 1000) {
    auto due = Index().TakeDue(rig_.clock().Now(), limit);
    EXPECT_TRUE(due.ok()) << due.status();
    return due.ok() ? due->transactions : std::vector<Transaction>();
  }

  std::vector<IndexEntry> Entries(QueueKey queue) {
    std::vector<IndexEntry> entries;
    EXPECT_TRUE(rig_.dispatcher().queues().Read(queue, QueueOffset(0), 100, entries).ok());
    return entries;
  }

  void Restart() {
    rig_.Crash();
    rig_.Open();
  }

  StoreRig rig_;
};

TEST_F(TransactionsTest, AHalfMessageStandsInNoQueueUntilItIsCommitted) {
  const Transaction half = rig_.Prepare(kQueue, In(seconds(6)), "tag");
  rig_.Send(kQueue);
  rig_.Settle();
  EXPECT_EQ(rig_.dispatcher().queues().Bounds(kQueue).max, QueueOffset(1));
  EXPECT_EQ(Index().Open(kQueue), 1u);
  const auto none = rig_.dispatcher().FindDelivery(half.place);
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());

  const auto taken = Index().Take(half.id);
  ASSERT_OK(taken);
  EXPECT_EQ(*taken, half);
  const Appended committed = rig_.Resolve(*taken, TransactionState::kCommitted);
  rig_.Settle();
  EXPECT_EQ(Index().Open(kQueue), 0u);
  ASSERT_EQ(Entries(kQueue).size(), 2u);
  EXPECT_EQ(Entries(kQueue)[1].log_offset, committed.log_offset);
  EXPECT_EQ(Entries(kQueue)[1].tag_hash, half.tag_hash);
  const auto found = rig_.dispatcher().FindDelivery(half.place);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(*found, committed.log_offset);
}

TEST_F(TransactionsTest, HowItEndedIsRemembered) {
  const Transaction committed = rig_.Prepare(kQueue, In(seconds(6)));
  const Transaction rolled_back = rig_.Prepare(kQueue, In(seconds(6)));
  rig_.Resolve(committed, TransactionState::kCommitted);
  rig_.Resolve(rolled_back, TransactionState::kRolledBack);
  rig_.Settle();
  for (int start = 0; start < 2; ++start) {
    EXPECT_EQ(Index().Take(committed.id)->state, TransactionState::kCommitted);
    EXPECT_EQ(Index().Take(rolled_back.id)->state, TransactionState::kRolledBack);
    EXPECT_THAT(Index().Take(rolled_back.id + 8).status(), StatusIs(absl::StatusCode::kNotFound));
    EXPECT_EQ(Entries(kQueue).size(), 1u);
    EXPECT_EQ(Index().counts().open, 0u);
    Restart();
  }
  rig_.clock().Advance(hours(1));
  EXPECT_THAT(TakeDue(), IsEmpty());
}

TEST_F(TransactionsTest, OneAtATimeHasItInHand) {
  const Transaction half = rig_.Prepare(kQueue, In(milliseconds(0)));
  rig_.Settle();
  EXPECT_THAT(TakeDue(), ElementsAre(half));
  EXPECT_THAT(TakeDue(), IsEmpty());
  EXPECT_THAT(Index().Take(half.id).status(), StatusIs(absl::StatusCode::kAborted));
  Index().GiveBack({&half, 1});
  ASSERT_OK(Index().Take(half.id));
  EXPECT_THAT(TakeDue(), IsEmpty());
  Index().GiveBack({&half, 1});
  EXPECT_THAT(TakeDue(), ElementsAre(half));
  Restart();
  EXPECT_THAT(TakeDue(), ElementsAre(half)) << "nothing was appended for it";
}

TEST_F(TransactionsTest, ChecksAreCountedAcrossCrashes) {
  Transaction half = rig_.Prepare(kQueue, In(seconds(6)));
  rig_.Settle();
  EXPECT_THAT(TakeDue(), IsEmpty());
  for (uint32_t check = 1; check <= 3; ++check) {
    rig_.clock().Advance(seconds(30));
    EXPECT_THAT(TakeDue(), ElementsAre(half));
    half.checks = check;
    half.next_check = In(seconds(30));
    rig_.CheckTransaction(half);
    rig_.Settle();
    EXPECT_THAT(TakeDue(), IsEmpty());
    if (check == 2) Restart();
  }
  half.next_check.reset();
  rig_.CheckTransaction(half);
  rig_.Settle();
  for (int start = 0; start < 2; ++start) {
    EXPECT_EQ(Index().counts().parked, 1u);
    EXPECT_EQ(Index().counts().open, 1u);
    rig_.clock().Advance(hours(1));
    EXPECT_THAT(TakeDue(), IsEmpty()) << "it is parked";
    EXPECT_EQ(*Index().Find(half.id), half);
    Restart();
  }
  rig_.Resolve(half, TransactionState::kCommitted);
  rig_.Settle();
  EXPECT_EQ(Index().counts().parked, 0u);
  EXPECT_EQ(Index().counts().open, 0u);
  EXPECT_EQ(Entries(kQueue).size(), 1u);
}

TEST_F(TransactionsTest, ChecksComeInTheOrderOfTheirTimes) {
  const Transaction late = rig_.Prepare(kQueue, In(milliseconds(20)));
  const Transaction first = rig_.Prepare(kOther, In(milliseconds(10)));
  rig_.Settle();
  const auto none = Index().TakeDue(rig_.clock().Now(), 10);
  ASSERT_OK(none);
  EXPECT_EQ(none->next, In(milliseconds(10)));
  rig_.clock().Advance(milliseconds(30));
  EXPECT_THAT(TakeDue(1), ElementsAre(first));
  EXPECT_THAT(TakeDue(1), ElementsAre(late));
}

TEST_F(TransactionsTest, WhatIsPostponedComesLaterAndCanBeTaken) {
  const Transaction half = rig_.Prepare(kQueue, In(milliseconds(0)));
  rig_.Settle();
  ASSERT_THAT(TakeDue(), ElementsAre(half));
  EXPECT_TRUE(Index().Postpone(half, In(seconds(30))));
  EXPECT_THAT(TakeDue(), IsEmpty());
  EXPECT_EQ(Index().TakeDue(rig_.clock().Now(), 10)->next, In(seconds(30)));
  ASSERT_OK(Index().Take(half.id));
  Index().GiveBack({&half, 1});
  ASSERT_THAT(TakeDue(), ElementsAre(half));
  EXPECT_TRUE(Index().Postpone(half, In(seconds(30))));
  Index().Resume();
  EXPECT_THAT(TakeDue(), ElementsAre(half));
  EXPECT_TRUE(Index().Postpone(half, In(seconds(30))));
  rig_.clock().Advance(seconds(30));
  EXPECT_THAT(TakeDue(), ElementsAre(half));
}

TEST_F(TransactionsTest, AResolutionInTheLogEndsItAlsoWhenTheIndexDidNotHearOfIt) {
  const Transaction half = rig_.Prepare(kQueue, In(milliseconds(0)));
  rig_.Settle();
  ASSERT_OK(rig_.dispatcher().Checkpoint());
  EXPECT_THAT(TakeDue(), ElementsAre(half));
  rig_.Resolve(half, TransactionState::kCommitted);
  Restart();
  EXPECT_THAT(TakeDue(), IsEmpty());
  EXPECT_EQ(Entries(kQueue).size(), 1u);
  EXPECT_EQ(Index().counts().open, 0u);
}

TEST_F(TransactionsTest, RetentionMovesWhatIsOpen) {
  Transaction half = rig_.Prepare(kQueue, In(milliseconds(1000)), "tag", {"key"}, "precious");
  half.checks = 7;
  rig_.CheckTransaction(half);
  const Transaction parked = rig_.Prepare(kOther, In(milliseconds(1000)));
  Transaction none = parked;
  none.next_check.reset();
  rig_.CheckTransaction(none);
  for (int round = 0; round < 3; ++round) {
    rig_.Fill(kQueue, 300u << 10);
    rig_.Settle();
    ASSERT_OK(rig_.Expire(128u << 10));
    ASSERT_GT(rig_.log().start(), parked.place);
    EXPECT_EQ(Index().Open(kQueue), 1u);
    EXPECT_EQ(Index().counts().parked, 1u);
    const auto moved = Index().Find(half.id);
    ASSERT_OK(moved);
    EXPECT_GE(moved->place, rig_.log().start());
    EXPECT_EQ(moved->tag_hash, half.tag_hash);
    EXPECT_EQ(moved->checks, 7u);
    EXPECT_EQ(moved->next_check, half.next_check);
  }
  rig_.clock().Advance(milliseconds(1000));
  const std::vector<Transaction> due = TakeDue();
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].id, half.id);
  const uint64_t before = rig_.dispatcher().queues().Bounds(kQueue).max.value();
  rig_.Resolve(due[0], TransactionState::kCommitted);
  rig_.Settle();
  EXPECT_EQ(rig_.dispatcher().queues().Bounds(kQueue).max.value(), before + 1);
  EXPECT_EQ(Index().Take(half.id)->state, TransactionState::kCommitted);
  Restart();
  EXPECT_EQ(Index().counts().open, 1u) << "the parked one";
}

TEST_F(TransactionsTest, RetentionMovesWhatWasCommittedFurtherOn) {
  const Transaction half = rig_.Prepare(kOther, In(seconds(6)), "tag", {}, "committed");
  rig_.Settle();
  rig_.Fill(kQueue, 80u << 10);  // the resolution stands in another segment
  const Appended pointer = rig_.Resolve(half, TransactionState::kCommitted);
  rig_.Fill(kQueue, 60u << 10);
  rig_.Settle();
  ASSERT_OK(rig_.Expire(128u << 10));
  ASSERT_GT(rig_.log().start(), half.place);
  ASSERT_LT(rig_.log().start(), pointer.log_offset);
  const auto entries = Entries(kOther);
  ASSERT_EQ(entries.size(), 1u);
  const auto record = rig_.log().Read(entries[0].log_offset);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->header().kind, RecordKind::kDelivery);
  EXPECT_EQ(record->header().flags, kFlagRelocated | kFlagDue);
  EXPECT_THAT(std::string(record->payload()), HasSubstr("committed"));
  EXPECT_THAT(Index().Find(half.id).status(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(TransactionsTest, ThoseOfADeletedTopicAreGone) {
  rig_.Prepare(kQueue, In(milliseconds(0)));
  Transaction parked = rig_.Prepare(kOther, In(milliseconds(0)));
  parked.next_check.reset();
  rig_.CheckTransaction(parked);
  rig_.Prepare({TopicId(2), 0}, In(milliseconds(0)));
  rig_.Settle();
  rig_.DeleteTopic(TopicId(1));
  rig_.Settle();
  for (int start = 0; start < 2; ++start) {
    EXPECT_EQ(Index().counts().open, 1u);
    EXPECT_EQ(Index().counts().parked, 0u);
    EXPECT_EQ(TakeDue().size(), 1u);
    Restart();
  }
}

TEST_F(TransactionsTest, TheyAreListedInTheirOrder) {
  const Transaction first = rig_.Prepare(kQueue, In(seconds(9)));
  const Transaction second = rig_.Prepare(kOther, In(seconds(6)));
  rig_.Resolve(rig_.Prepare(kOther, In(seconds(6))), TransactionState::kRolledBack);
  const Transaction third = rig_.Prepare(kQueue, In(seconds(6)));
  rig_.Settle();
  EXPECT_THAT(*Index().List(LogOffset(0), 10), ElementsAre(first, second, third));
  EXPECT_THAT(*Index().List(LogOffset(0), 2), ElementsAre(first, second));
  EXPECT_THAT(*Index().List(second.id + 1, 2), ElementsAre(third));
}

}  // namespace
}  // namespace dunlin::store
