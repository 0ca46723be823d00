// Progress in lightweight topics: one lane each, named one by one, forgotten when at rest.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "services/base/strong_int.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/progress/progress.h"
#include "services/broker/progress/testing/saved_rows.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr GroupId kGroup{1};

class LiteProgressTest : public ::testing::Test {
 protected:
  static QueueKey Queue(uint32_t number) { return {TopicId(2), kFirstLiteQueue + number}; }

  // As Taker does, of a queue that holds `end` messages.
  std::vector<Reservation> Take(QueueKey queue, size_t limit, uint64_t end) {
    ReserveRequest request;
    request.group = kGroup;
    request.queue = queue;
    request.bounds = {QueueOffset(0), QueueOffset(end)};
    request.limit = limit;
    request.invisible = seconds(30);
    request.client_id = "client";
    OrderedRequest ordered;
    ordered.one_lane = true;
    OrderedReserved reserved;
    EXPECT_OK(progress_.ReserveInOrder(request, ordered, reserved));
    if (!reserved.messages.empty() || reserved.room == 0) return reserved.messages;
    const size_t ahead = std::min<size_t>(reserved.room, end - reserved.next.value());
    const std::vector<LookedAt> looked(ahead, LookedAt{.lane = 5});
    ordered.first = reserved.next;
    ordered.ahead = looked;
    EXPECT_OK(progress_.ReserveInOrder(request, ordered, reserved));
    return reserved.messages;
  }
  std::vector<uint32_t> DueQueues() {
    std::vector<uint32_t> queues;
    for (const Progress::DueLite& due : progress_.TakeDueLite()) {
      queues.push_back(due.queue.queue - kFirstLiteQueue);
    }
    return queues;
  }
  // As the housekeeper and the dispatcher do.
  void Save(LogOffset record) {
    rows_.Apply(progress_.TakeChanges(1 << 20));
    progress_.ChangesSaved(record);
  }

  static ProgressOptions Options() {
    ProgressOptions options;
    options.max_idle_lite_topics = 2;
    return options;
  }

  ManualClock clock_;
  SavedRows rows_;
  Progress progress_{Options(), rows_, clock_};
};

TEST_F(LiteProgressTest, NothingGoesOutWhileABatchIsInFlight) {
  const std::vector<Reservation> first = Take(Queue(0), 2, 5);
  ASSERT_THAT(first, SizeIs(2));
  EXPECT_THAT(Take(Queue(0), 2, 5), IsEmpty());
  ASSERT_OK(progress_.Ack(first[0].handle));
  EXPECT_THAT(Take(Queue(0), 2, 5), IsEmpty());
  EXPECT_THAT(DueQueues(), IsEmpty());
  ASSERT_OK(progress_.Ack(first[1].handle));
  EXPECT_THAT(DueQueues(), ElementsAre(0));
  EXPECT_THAT(DueQueues(), IsEmpty());
  const std::vector<Reservation> second = Take(Queue(0), 9, 5);
  ASSERT_THAT(second, SizeIs(3));
  EXPECT_EQ(second[0].handle.offset, QueueOffset(2));
  EXPECT_EQ(progress_.GetCounts(kGroup, Queue(0))->waiting, 0u);
}

TEST_F(LiteProgressTest, TheEndOfALeaseIsToldByQueue) {
  ASSERT_THAT(Take(Queue(0), 1, 1), SizeIs(1));
  clock_.Advance(seconds(10));
  ASSERT_THAT(Take(Queue(1), 1, 1), SizeIs(1));
  ASSERT_TRUE(progress_.NextDue().has_value());
  clock_.Advance(seconds(20));
  EXPECT_THAT(progress_.TakeDue(), IsEmpty());
  EXPECT_THAT(DueQueues(), ElementsAre(0));
  EXPECT_THAT(DueQueues(), IsEmpty());
  const std::vector<Reservation> again = Take(Queue(0), 1, 1);
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(again[0].handle.attempt, 2u);
  clock_.Advance(seconds(10));
  EXPECT_THAT(DueQueues(), ElementsAre(1));
}

TEST_F(LiteProgressTest, ASuspendedBatchComesAgainInOrderAndUncounted) {
  const std::vector<Reservation> batch = Take(Queue(0), 2, 3);
  for (const Reservation& message : batch) {
    ASSERT_OK(progress_.ChangeInvisible(message.handle, milliseconds(500), /*suspend=*/true));
  }
  EXPECT_THAT(DueQueues(), IsEmpty());
  EXPECT_THAT(Take(Queue(0), 3, 3), IsEmpty());
  clock_.Advance(milliseconds(500));
  EXPECT_THAT(DueQueues(), ElementsAre(0));
  const std::vector<Reservation> again = Take(Queue(0), 3, 3);
  ASSERT_THAT(again, SizeIs(2));
  EXPECT_EQ(again[0].handle.offset, QueueOffset(0));
  EXPECT_EQ(again[0].handle.attempt, 1u);
}

TEST_F(LiteProgressTest, WhatIsAtRestAndSavedIsForgottenAndKnownAgain) {
  std::vector<Reservation> last;
  for (uint32_t queue = 0; queue < 4; ++queue) {
    last = Take(Queue(queue), 1, 2);
    ASSERT_THAT(last, SizeIs(1));
    ASSERT_OK(progress_.Ack(last[0].handle));
  }
  Save(LogOffset(100));
  progress_.ForgetIdle(LogOffset(100));  // not in the state store yet
  // Changed since it was saved: what is in the store is not the last word.
  ASSERT_THAT(Take(Queue(0), 1, 2), SizeIs(1));
  progress_.ForgetIdle(LogOffset(108));
  EXPECT_EQ(progress_.GetCounts(kGroup, Queue(0))->in_flight, 1u);
  for (uint32_t queue = 1; queue < 4; ++queue) {
    EXPECT_EQ(*progress_.CommittedOffset(kGroup, Queue(queue)), QueueOffset(1)) << queue;
    const std::vector<Reservation> next = Take(Queue(queue), 1, 2);
    ASSERT_THAT(next, SizeIs(1));
    EXPECT_EQ(next[0].handle.offset, QueueOffset(1));
  }
}

TEST_F(LiteProgressTest, OneThatIsRemovedIsNotSavedAgain) {
  const std::vector<Reservation> taken = Take(Queue(0), 1, 1);
  progress_.DropQueue(kGroup, Queue(0));
  EXPECT_EQ(progress_.TakeChanges(1 << 20), "");
  EXPECT_EQ(CodeOf(progress_.Ack(taken[0].handle)), PublicCode::kInvalidReceiptHandle);
  clock_.Advance(seconds(60));
  EXPECT_THAT(DueQueues(), IsEmpty());
}

}  // namespace
}  // namespace dunlin::broker
