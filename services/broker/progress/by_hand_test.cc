// What people and limits do to a group's progress: skipped, claimed, held back, tried again later.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/progress/concurrent_queue.h"
#include "services/broker/progress/ordered_queue.h"
#include "services/broker/progress/progress.h"
#include "services/broker/progress/testing/saved_rows.h"

namespace dunlin::broker {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

constexpr GroupId kGroup{1};

class ByHandTest : public ::testing::Test {
 protected:
  ReserveRequest Request(uint32_t queue, size_t limit, uint64_t max) const {
    ReserveRequest request;
    request.group = kGroup;
    request.queue = {TopicId(2), queue};
    request.bounds = {QueueOffset(0), QueueOffset(max)};
    request.limit = limit;
    request.max_attempts = 17;
    request.invisible = seconds(30);
    request.client_id = "client";
    return request;
  }
  std::vector<uint64_t> Take(const ReserveRequest& request) {
    std::vector<Reservation> reserved;
    EXPECT_OK(progress_->Reserve(request, reserved));
    std::vector<uint64_t> offsets;
    for (const Reservation& reservation : reserved) {
      offsets.push_back(reservation.handle.offset.value());
      handles_.push_back(reservation.handle);
    }
    return offsets;
  }
  std::vector<uint64_t> Take(size_t limit, uint64_t max) { return Take(Request(3, limit, max)); }

  uint64_t Skip(uint64_t count, uint64_t end) {
    uint64_t skipped = 0;
    EXPECT_OK(progress_->Edit(kGroup, kQueue, QueueOffset(0), [&](GroupQueue& queue, uint64_t) {
      skipped = queue.Skip(count, QueueOffset(end), clock_.Now());
      return absl::OkStatus();
    }));
    return skipped;
  }
  bool Claim(uint64_t offset) {
    bool claimed = false;
    EXPECT_OK(
        progress_->Edit(kGroup, kQueue, QueueOffset(0), [&](GroupQueue& queue, uint64_t lease) {
          GroupQueue::Terms terms;
          terms.lease_id = lease;
          terms.now = clock_.Now();
          terms.visible_at = terms.now + seconds(30);
          auto& concurrent = static_cast<ConcurrentQueue&>(queue);
          claimed = concurrent.Claim(QueueOffset(offset), terms) != nullptr;
          return absl::OkStatus();
        }));
    return claimed;
  }
  void Finish(uint64_t offset) {
    ReceiptHandle handle;
    handle.group = kGroup;
    handle.queue = kQueue;
    handle.offset = QueueOffset(offset);
    progress_->Finish(handle);
  }
  void Restart() {
    for (std::string changes = progress_->TakeChanges(1 << 20); !changes.empty();
         changes = progress_->TakeChanges(1 << 20)) {
      saved_.Apply(changes);
    }
    progress_ = std::make_unique<Progress>(options_, saved_, clock_);
  }

  const QueueKey kQueue{TopicId(2), 3};
  ManualClock clock_;
  SavedRows saved_;
  ProgressOptions options_;
  std::unique_ptr<Progress> progress_ = std::make_unique<Progress>(options_, saved_, clock_);
  std::vector<ReceiptHandle> handles_;
};

TEST_F(ByHandTest, TheFirstThatAreNotDoneAreSkipped) {
  EXPECT_THAT(Take(4, 10), ElementsAre(0, 1, 2, 3));
  EXPECT_OK(progress_->Ack(handles_[1]));
  // 0 and 2, since 1 is done.
  EXPECT_EQ(Skip(2, 10), 2u);
  EXPECT_THAT(Take(2, 10), ElementsAre(4, 5));
  clock_.Advance(seconds(31));
  EXPECT_THAT(Take(4, 10), ElementsAre(3, 4, 5, 6));
}

TEST_F(ByHandTest, NoMoreIsSkippedThanThereIs) {
  EXPECT_EQ(Skip(UINT64_MAX, 7), 7u);
  EXPECT_EQ(Skip(3, 7), 0u);
  EXPECT_TRUE(Take(4, 7).empty());
  Restart();
  EXPECT_THAT(Take(4, 9), ElementsAre(7, 8));
}

TEST_F(ByHandTest, WhatIsSkippedFreesItsMessageGroup) {
  OrderedReserved reserved;
  OrderedRequest ordered;
  const std::vector<LookedAt> ahead = {{.lane = 1}, {.lane = 1}, {.lane = 1}};
  ordered.ahead = ahead;
  ordered.lane_limit = 1;
  ASSERT_OK(progress_->ReserveInOrder(Request(3, 1, 3), ordered, reserved));
  ASSERT_EQ(reserved.messages.size(), 1u);
  ordered.ahead = {};
  ASSERT_OK(progress_->ReserveInOrder(Request(3, 1, 3), ordered, reserved));
  EXPECT_TRUE(reserved.messages.empty());
  EXPECT_EQ(Skip(1, 3), 1u);
  ASSERT_OK(progress_->ReserveInOrder(Request(3, 1, 3), ordered, reserved));
  ASSERT_EQ(reserved.messages.size(), 1u);
  EXPECT_EQ(reserved.messages[0].handle.offset, QueueOffset(1));
}

TEST_F(ByHandTest, AClaimLeavesThoseBeforeItWhereTheyAre) {
  EXPECT_TRUE(Claim(3));
  EXPECT_FALSE(Claim(3));
  Finish(3);
  EXPECT_THAT(Take(9, 6), ElementsAre(0, 1, 2, 4, 5));
  Restart();
  clock_.Advance(seconds(31));
  EXPECT_FALSE(Claim(3));  // done
  EXPECT_TRUE(Claim(1));
  EXPECT_THAT(Take(9, 6), ElementsAre(0, 2, 4, 5));
}

TEST_F(ByHandTest, ClaimsInTurnTakeNoRoom) {
  for (uint64_t offset = 0; offset < 5; ++offset) {
    EXPECT_TRUE(Claim(offset));
    Finish(offset);
  }
  ASSERT_OK(progress_->Look(kGroup, kQueue, [](const GroupQueue* queue) {
    ASSERT_NE(queue, nullptr);
    EXPECT_EQ(queue->cursor(), QueueOffset(5));
    EXPECT_TRUE(queue->in_flight().empty());
  }));
}

TEST_F(ByHandTest, AQueueNobodyConsumedFromIsUnknown) {
  bool known = true;
  ASSERT_OK(
      progress_->Look(kGroup, kQueue, [&](const GroupQueue* queue) { known = queue != nullptr; }));
  EXPECT_FALSE(known);
}

TEST_F(ByHandTest, AnEditThatFailsIsTold) {
  EXPECT_THAT(progress_->Edit(kGroup, kQueue, QueueOffset(0),
                              [](GroupQueue&, uint64_t) { return absl::AbortedError("no"); }),
              StatusIs(absl::StatusCode::kAborted));
}

TEST_F(ByHandTest, AGroupsLimitCountsAllQueuesOfTheTopic) {
  InFlightLimit limit{.most = 5, .queues = 4};
  ReserveRequest request = Request(0, 3, 100);
  request.group_limit = &limit;
  EXPECT_THAT(Take(request), ElementsAre(0, 1, 2));
  request = Request(3, 10, 100);
  request.group_limit = &limit;
  EXPECT_THAT(Take(request), ElementsAre(0, 1));
  EXPECT_FALSE(limit.reached);
  EXPECT_TRUE(Take(request).empty());
  EXPECT_TRUE(limit.reached);
  EXPECT_OK(progress_->Ack(handles_[0]));
  EXPECT_THAT(Take(request), ElementsAre(2));
}

TEST_F(ByHandTest, WhatWaitsForItsNextTryIsNotInFlight) {
  InFlightLimit limit{.most = 2, .queues = 4};
  ReserveRequest request = Request(0, 2, 100);
  request.group_limit = &limit;
  EXPECT_THAT(Take(request), ElementsAre(0, 1));
  clock_.Advance(seconds(31));
  EXPECT_THAT(Take(request), ElementsAre(0, 1));
  EXPECT_TRUE(Take(request).empty());
}

TEST_F(ByHandTest, AnEmptyQueueDoesNotReachTheLimit) {
  InFlightLimit limit{.most = 1, .queues = 4};
  ReserveRequest request = Request(0, 1, 1);
  request.group_limit = &limit;
  EXPECT_THAT(Take(request), ElementsAre(0));
  EXPECT_TRUE(Take(request).empty());
  EXPECT_FALSE(limit.reached);
}

TEST_F(ByHandTest, AnOrderedGroupIsHeldBackToo) {
  InFlightLimit limit{.most = 1, .queues = 4};
  ReserveRequest request = Request(0, 8, 3);
  request.group_limit = &limit;
  OrderedRequest ordered;
  const std::vector<LookedAt> ahead = {{.lane = 1}, {.lane = 2}, {.lane = 3}};
  ordered.ahead = ahead;
  OrderedReserved reserved;
  ASSERT_OK(progress_->ReserveInOrder(request, ordered, reserved));
  ASSERT_EQ(reserved.messages.size(), 1u);
  ordered.first = QueueOffset(1);
  ordered.ahead = std::span(ahead).subspan(1);
  const ReceiptHandle first = reserved.messages[0].handle;
  ASSERT_OK(progress_->ReserveInOrder(request, ordered, reserved));
  EXPECT_TRUE(reserved.messages.empty());
  EXPECT_TRUE(limit.reached);
  EXPECT_OK(progress_->Ack(first));
  ASSERT_OK(progress_->ReserveInOrder(request, ordered, reserved));
  EXPECT_EQ(reserved.messages.size(), 1u);
}

TEST_F(ByHandTest, WhatWasHeldForTooLongComesAgainAfterTheGroupsDelay) {
  options_.retry_delay = [](GroupId group, uint32_t attempt) {
    EXPECT_EQ(group, kGroup);
    EXPECT_EQ(attempt, 1u);
    return milliseconds(seconds(90));
  };
  progress_ = std::make_unique<Progress>(options_, saved_, clock_);
  ReserveRequest request = Request(3, 1, 1);
  request.auto_renew = true;
  EXPECT_THAT(Take(request), ElementsAre(0));
  const Timestamp begun = clock_.Now();
  const auto everybody = [](std::string_view) { return true; };
  std::optional<milliseconds> again;
  while (!again.has_value() && clock_.Now() < begun + hours(4)) {
    clock_.Advance(seconds(5));
    progress_->RenewLeases(everybody);
    if (!Take(request).empty()) again = clock_.Now() - begun;
  }
  EXPECT_EQ(again, hours(3) + seconds(90));
}

}  // namespace
}  // namespace dunlin::broker
