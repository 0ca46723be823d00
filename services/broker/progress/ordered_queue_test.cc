#include "services/broker/progress/ordered_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A queue whose messages are named by the letter of their message group: "AAB" are two of A and one
// of B.
class OrderedQueueTest : public ::testing::Test {
 protected:
  struct Message {
    uint64_t offset;
    uint32_t attempts;
    uint64_t lease;
    bool exhausted;
  };

  OrderedQueue::Take Terms(size_t limit, const std::string& attempt) {
    OrderedQueue::Take take;
    take.lease.lease_id = ++lease_;
    take.lease.now = now_;
    take.lease.visible_at = now_ + seconds(30);
    take.limit = limit;
    take.lane_limit = lane_limit_;
    take.max_attempts = 3;
    take.dead_until = now_ + seconds(10);
    attempt_ = attempt;
    take.attempt = attempt_;
    return take;
  }

  // As a consumer that reads on until it has enough.
  std::vector<Message> Take(size_t limit, const std::string& attempt = "") {
    const OrderedQueue::Take take = Terms(limit, attempt);
    std::vector<OrderedQueue::Delivered> out;
    if (!attempt.empty()) queue_.Repeat(take, out);
    if (out.empty()) {
      queue_.DeliverReady(take, out);
      std::vector<LookedAt> ahead;
      const QueueOffset first = queue_.cursor();
      for (size_t i = first.value(); i < messages_.size() && ahead.size() < queue_.Room(); ++i) {
        ahead.push_back({static_cast<uint32_t>(messages_[i]), messages_[i] == '-'});
      }
      queue_.DeliverAhead(first, ahead, take, out);
    }
    std::vector<Message> taken;
    for (const auto& [entry, exhausted] : out) {
      taken.push_back(
          {entry->first.value(), entry->second.attempts, entry->second.lease_id, exhausted});
    }
    return taken;
  }
  std::vector<uint64_t> TakeOffsets(size_t limit, const std::string& attempt = "") {
    std::vector<uint64_t> offsets;
    for (const Message& message : Take(limit, attempt)) offsets.push_back(message.offset);
    return offsets;
  }

  void Ack(uint64_t offset) { queue_.Acknowledge(QueueOffset(offset), now_); }
  void Nack(uint64_t offset, milliseconds delay) {
    GroupQueue::Terms terms;
    terms.now = now_;
    terms.visible_at = now_ + delay;
    terms.lease_id = ++lease_;
    queue_.Change(QueueOffset(offset), terms, /*uncount=*/false);
  }

  std::string messages_;
  Timestamp now_{seconds(1000)};
  uint64_t lease_ = 0;
  std::string attempt_;
  size_t lane_limit_ = SIZE_MAX;
  OrderedQueue queue_{QueueOffset(0), {.in_flight = 100, .waiting = 8}};
};

TEST_F(OrderedQueueTest, ABatchMayHoldNeighboursOfOneGroup) {
  messages_ = "AABA";
  EXPECT_THAT(TakeOffsets(3), ElementsAre(0, 1, 2));
}

TEST_F(OrderedQueueTest, ATakeMayWantOneMessagePerGroup) {
  messages_ = "AABAB";
  lane_limit_ = 1;
  EXPECT_THAT(TakeOffsets(9), ElementsAre(0, 2));
  EXPECT_THAT(TakeOffsets(9), IsEmpty());
  Ack(0);
  EXPECT_THAT(TakeOffsets(9), ElementsAre(1));
}

TEST_F(OrderedQueueTest, AGroupInFlightBlocksItselfOnly) {
  messages_ = "AABAB";
  EXPECT_THAT(TakeOffsets(1), ElementsAre(0));
  EXPECT_THAT(TakeOffsets(10), ElementsAre(2, 4));
  EXPECT_THAT(TakeOffsets(10), IsEmpty());
  Ack(0);
  EXPECT_TRUE(queue_.TakeUnlocked());
  EXPECT_FALSE(queue_.TakeUnlocked());
  EXPECT_THAT(TakeOffsets(10), ElementsAre(1, 3));
}

TEST_F(OrderedQueueTest, AnUnacknowledgedHeadBringsBackWhatFollowsItAndNothingBeyond) {
  messages_ = "AAAAA";
  EXPECT_THAT(TakeOffsets(3), ElementsAre(0, 1, 2));
  Ack(1);
  Ack(2);
  EXPECT_THAT(TakeOffsets(32), IsEmpty());
  for (uint32_t attempt = 2; attempt <= 3; ++attempt) {
    now_ += seconds(30);
    const std::vector<Message> again = Take(32);
    ASSERT_EQ(again.size(), 3u);
    for (uint64_t i = 0; i < 3; ++i) {
      EXPECT_EQ(again[i].offset, i);
      EXPECT_EQ(again[i].attempts, attempt);
    }
    Ack(1);
    Ack(2);
  }
  Ack(0);
  EXPECT_EQ(queue_.committed(), QueueOffset(3));
  EXPECT_THAT(TakeOffsets(32), ElementsAre(3, 4));
}

TEST_F(OrderedQueueTest, AcknowledgedPrefixIsCommittedAndDeliveryGoesOnBehindIt) {
  messages_ = "AAA";
  EXPECT_THAT(TakeOffsets(3), ElementsAre(0, 1, 2));
  Ack(0);
  EXPECT_EQ(queue_.committed(), QueueOffset(1));
  now_ += seconds(30);
  EXPECT_THAT(TakeOffsets(3), ElementsAre(1, 2));
}

TEST_F(OrderedQueueTest, TheLastLeaseThatRunsKeepsTheGroup) {
  messages_ = "AAA";
  EXPECT_THAT(TakeOffsets(2), ElementsAre(0, 1));
  Nack(0, seconds(0));
  EXPECT_THAT(TakeOffsets(3), IsEmpty());
  EXPECT_EQ(queue_.NextVisibleAfter(now_), now_ + seconds(30));
  Ack(1);
  EXPECT_TRUE(queue_.TakeUnlocked());
  EXPECT_THAT(TakeOffsets(3), ElementsAre(0, 1));
}

TEST_F(OrderedQueueTest, ASmallerBatchTakesUpTheOldOneInOrder) {
  messages_ = "AAAA";
  EXPECT_THAT(TakeOffsets(3), ElementsAre(0, 1, 2));
  Ack(2);
  now_ += seconds(30);
  EXPECT_THAT(TakeOffsets(1), ElementsAre(0));
  EXPECT_THAT(TakeOffsets(1), IsEmpty());
  Ack(0);
  EXPECT_THAT(TakeOffsets(3), ElementsAre(1, 2));
  Ack(1);
  Ack(2);
  EXPECT_THAT(TakeOffsets(3), ElementsAre(3));
}

TEST_F(OrderedQueueTest, TheSameAttemptGetsTheSameMessagesWithoutAnotherDelivery) {
  messages_ = "AABCA";
  EXPECT_THAT(TakeOffsets(3, "one"), ElementsAre(0, 1, 2));
  const std::vector<Message> again = Take(3, "one");
  ASSERT_EQ(again.size(), 3u);
  for (uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(again[i].offset, i);
    EXPECT_EQ(again[i].attempts, 1u);
  }
  EXPECT_THAT(TakeOffsets(3, "two"), ElementsAre(3));
  Ack(0);
  EXPECT_THAT(TakeOffsets(3, "one"), ElementsAre(1, 2));  // what it still has
  Ack(1);
  Ack(2);
  EXPECT_THAT(TakeOffsets(3, "one"), ElementsAre(4));  // nothing is left of it: more
  now_ += seconds(30);
  const std::vector<Message> late = Take(3, "one");  // its lease has ended: an attempt like any
  ASSERT_EQ(late.size(), 2u);
  EXPECT_EQ(late[0].attempts, 2u);
}

TEST_F(OrderedQueueTest, AfterTheLastAttemptTheGroupWaitsForTheDeadLetterAndGoesOn) {
  messages_ = "AAA";
  for (int attempt = 1; attempt <= 3; ++attempt) {
    EXPECT_THAT(TakeOffsets(2, "same"), ElementsAre(0, 1));
    Ack(1);
    now_ += seconds(30);
  }
  const std::vector<Message> dead = Take(2, "same");
  ASSERT_EQ(dead.size(), 1u);
  EXPECT_TRUE(dead[0].exhausted);
  EXPECT_EQ(dead[0].offset, 0u);
  EXPECT_THAT(TakeOffsets(2, "same"), IsEmpty());
  queue_.Finish(QueueOffset(0), now_);
  EXPECT_TRUE(queue_.TakeUnlocked());
  // The second was acknowledged in its last delivery: it is no dead letter and does not come again.
  EXPECT_THAT(TakeOffsets(2, "same"), ElementsAre(2));
}

TEST_F(OrderedQueueTest, WhatIsPassedOverIsDone) {
  messages_ = "A--A-";
  EXPECT_THAT(TakeOffsets(1), ElementsAre(0));
  EXPECT_THAT(TakeOffsets(1), IsEmpty());
  EXPECT_EQ(queue_.in_flight().size(), 2u);
  EXPECT_EQ(queue_.cursor(), QueueOffset(5));
  Ack(0);
  EXPECT_THAT(TakeOffsets(9), ElementsAre(3));
}

TEST_F(OrderedQueueTest, LooksNoFurtherThanItsWindow) {
  messages_ = std::string(20, 'A') + "B";
  EXPECT_THAT(TakeOffsets(1), ElementsAre(0));
  EXPECT_THAT(TakeOffsets(1), IsEmpty());
  EXPECT_EQ(queue_.waiting(), 8u);
  EXPECT_EQ(queue_.Room(), 0u);
  EXPECT_EQ(queue_.cursor(), QueueOffset(9));
  EXPECT_THAT(TakeOffsets(30), IsEmpty());  // B stands beyond
  Ack(0);
  EXPECT_TRUE(queue_.TakeUnlocked());
  EXPECT_THAT(TakeOffsets(4), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(queue_.waiting(), 8u);
}

TEST_F(OrderedQueueTest, WhatExpiresBlocksNothing) {
  messages_ = "AAB";
  EXPECT_THAT(TakeOffsets(1), ElementsAre(0));
  queue_.Expire(QueueOffset(1), now_);
  EXPECT_THAT(TakeOffsets(9), ElementsAre(1, 2));
}

TEST_F(OrderedQueueTest, FreeGroupsAreServedInTheOrderInWhichTheyBecameFree) {
  messages_ = "ABCABC";
  EXPECT_THAT(TakeOffsets(3), ElementsAre(0, 1, 2));
  EXPECT_THAT(TakeOffsets(3), IsEmpty());
  Ack(2);
  now_ += milliseconds(1);
  Ack(0);
  now_ += milliseconds(1);
  Ack(1);
  EXPECT_THAT(TakeOffsets(2), ElementsAre(5, 3));
  EXPECT_THAT(TakeOffsets(2), ElementsAre(4));
}

TEST_F(OrderedQueueTest, WhatAConcurrentTakerHasDealtWithIsNotAddedTwice) {
  messages_ = "AB";
  const std::vector<LookedAt> ahead = {{'A', false}, {'B', false}};
  std::vector<OrderedQueue::Delivered> out;
  queue_.DeliverAhead(QueueOffset(0), ahead, Terms(1, ""), out);
  queue_.DeliverAhead(QueueOffset(0), ahead, Terms(9, ""), out);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[1].entry->first, QueueOffset(1));
  queue_.Reset(QueueOffset(0));
  out.clear();
  queue_.DeliverAhead(QueueOffset(1), {&ahead[1], 1}, Terms(9, ""), out);  // read before the reset
  EXPECT_TRUE(out.empty());
}

}  // namespace
}  // namespace dunlin::broker
