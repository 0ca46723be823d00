#include "services/broker/progress/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/progress/testing/saved_rows.h"
#include "services/broker/wire/broker_mark.h"

namespace dunlin::broker {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

class ProgressTest : public ::testing::Test {
 protected:
  std::vector<Reservation> Reserve(size_t limit, uint64_t max = 100, bool auto_renew = false) {
    ReserveRequest request;
    request.group = GroupId(1);
    request.queue = kQueue;
    request.bounds = {QueueOffset(min_), QueueOffset(max)};
    request.start = request.bounds.min;
    request.limit = limit;
    request.max_attempts = 3;
    request.invisible = seconds(30);
    request.auto_renew = auto_renew;
    request.client_id = "client";
    std::vector<Reservation> reserved;
    EXPECT_OK(progress_->Reserve(request, reserved));
    return reserved;
  }

  // As a restart would, with what was saved.
  void Restart() {
    for (std::string changes = progress_->TakeChanges(1 << 20); !changes.empty();
         changes = progress_->TakeChanges(1 << 20)) {
      saved_.Apply(changes);
    }
    progress_ = std::make_unique<Progress>(options_, saved_, clock_);
  }

  static PublicCode Code(const absl::Status& status) { return CodeOf(status); }

  const QueueKey kQueue{TopicId(2), 3};
  ManualClock clock_;
  SavedRows saved_;
  ProgressOptions options_;
  uint64_t min_ = 0;
  std::unique_ptr<Progress> progress_ = std::make_unique<Progress>(options_, saved_, clock_);
};

TEST_F(ProgressTest, DeliversEachMessageOnceWhileItsLeaseRuns) {
  const auto first = Reserve(3, 5);
  ASSERT_EQ(first.size(), 3u);
  for (uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(first[i].handle.offset, QueueOffset(i));
    EXPECT_EQ(first[i].handle.attempt, 1u);
  }
  EXPECT_EQ(Reserve(10, 5).size(), 2u);
  EXPECT_TRUE(Reserve(10, 5).empty());
}

TEST_F(ProgressTest, RedeliversInTheOrderInWhichLeasesEnded) {
  const auto first = Reserve(3, 3);
  ASSERT_OK(progress_->ChangeInvisible(first[2].handle, seconds(1), false));
  clock_.Advance(seconds(31));
  const auto again = Reserve(10, 10);
  ASSERT_EQ(again.size(), 10u);
  EXPECT_EQ(again[0].handle.offset, QueueOffset(2));
  EXPECT_EQ(again[0].handle.attempt, 2u);
  EXPECT_EQ(again[1].handle.offset, QueueOffset(0));
  EXPECT_EQ(again[3].handle.offset, QueueOffset(3));  // new ones behind
}

TEST_F(ProgressTest, AckIsIdempotentWhileTheLeaseWouldRun) {
  const auto reserved = Reserve(1, 1);
  EXPECT_OK(progress_->Ack(reserved[0].handle));
  EXPECT_OK(progress_->Ack(reserved[0].handle));
  clock_.Advance(seconds(30));
  EXPECT_EQ(Code(progress_->Ack(reserved[0].handle)), PublicCode::kInvalidReceiptHandle);
}

TEST_F(ProgressTest, AHandleEndsWithItsLeaseOrItsReplacement) {
  const auto reserved = Reserve(2, 2);
  const auto changed = progress_->ChangeInvisible(reserved[0].handle, seconds(60), false);
  ASSERT_OK(changed);
  EXPECT_EQ(Code(progress_->Ack(reserved[0].handle)), PublicCode::kInvalidReceiptHandle);
  clock_.Advance(seconds(30));
  EXPECT_EQ(Code(progress_->Ack(reserved[1].handle)), PublicCode::kInvalidReceiptHandle);
  EXPECT_OK(progress_->CheckLease(*changed));
  EXPECT_OK(progress_->Ack(*changed));
}

TEST_F(ProgressTest, SuspendedRedeliveriesDoNotCount) {
  const auto reserved = Reserve(1, 1);
  ASSERT_OK(progress_->ChangeInvisible(reserved[0].handle, seconds(0), true));
  EXPECT_EQ(Reserve(1, 1)[0].handle.attempt, 1u);
}

TEST_F(ProgressTest, ExhaustedMessagesAreToldApartUntilTheyAreFinished) {
  for (uint32_t attempt = 1; attempt <= 3; ++attempt) {
    const auto reserved = Reserve(1, 1);
    ASSERT_EQ(reserved.size(), 1u);
    EXPECT_FALSE(reserved[0].exhausted);
    EXPECT_EQ(reserved[0].handle.attempt, attempt);
    clock_.Advance(seconds(31));
  }
  auto reserved = Reserve(1, 1);
  ASSERT_EQ(reserved.size(), 1u);
  EXPECT_TRUE(reserved[0].exhausted);
  EXPECT_TRUE(Reserve(1, 1).empty());
  // Its way to the dead letters failed: it is tried again.
  clock_.Advance(seconds(11));
  reserved = Reserve(1, 1);
  ASSERT_EQ(reserved.size(), 1u);
  EXPECT_TRUE(reserved[0].exhausted);
  progress_->Finish(reserved[0].handle);
  clock_.Advance(hours(1));
  EXPECT_TRUE(Reserve(1, 1).empty());
}

TEST_F(ProgressTest, ReturnedDeliveriesCountOnlyWhenTheyShould) {
  auto reserved = Reserve(1, 1);
  progress_->Return(reserved[0].handle, milliseconds(0), /*counts=*/false);
  reserved = Reserve(1, 1);
  EXPECT_EQ(reserved[0].handle.attempt, 1u);
  progress_->Return(reserved[0].handle, seconds(1), /*counts=*/true);
  EXPECT_TRUE(Reserve(1, 1).empty());
  clock_.Advance(seconds(1));
  EXPECT_EQ(Reserve(1, 1)[0].handle.attempt, 2u);
}

TEST_F(ProgressTest, AutoRenewedLeasesLiveAsLongAsTheirClient) {
  const auto reserved = Reserve(1, 1, /*auto_renew=*/true);
  auto everybody = [](std::string_view) { return true; };
  for (int i = 0; i < 100; ++i) {
    clock_.Advance(seconds(5));
    progress_->RenewLeases(everybody);
    EXPECT_TRUE(Reserve(1, 1).empty());
  }
  EXPECT_OK(progress_->CheckLease(reserved[0].handle));
  auto nobody = [](std::string_view) { return false; };
  for (int i = 0; i < 13; ++i) {
    clock_.Advance(seconds(5));
    progress_->RenewLeases(nobody);
  }
  EXPECT_EQ(Reserve(1, 1).size(), 1u);
}

TEST_F(ProgressTest, RenewalsEndAfterTheirTotal) {
  Reserve(1, 1, /*auto_renew=*/true);
  for (int i = 0; i < 3 * 3600 / 5 + 1; ++i) {
    clock_.Advance(seconds(5));
    progress_->RenewLeases([](std::string_view) { return true; });
  }
  EXPECT_EQ(Reserve(1, 1).size(), 1u);
}

TEST_F(ProgressTest, WhatAGoneClientHeldIsFreeSoon) {
  Reserve(2, 2, /*auto_renew=*/true);
  progress_->ReleaseClients({std::string("other")}, seconds(1));
  clock_.Advance(seconds(1));
  EXPECT_TRUE(Reserve(2, 2).empty());
  progress_->ReleaseClients({std::string("other"), std::string("client")}, seconds(1));
  EXPECT_TRUE(Reserve(2, 2).empty());
  clock_.Advance(seconds(1));
  EXPECT_EQ(Reserve(2, 2).size(), 2u);
}

TEST_F(ProgressTest, TellsWhenLeasesEnd) {
  EXPECT_FALSE(progress_->NextDue().has_value());
  const auto reserved = Reserve(2, 2);
  ASSERT_OK(progress_->ChangeInvisible(reserved[0].handle, seconds(5), false));
  EXPECT_EQ(progress_->NextDue(), clock_.Now() + seconds(5));
  EXPECT_TRUE(progress_->TakeDue().empty());
  clock_.Advance(seconds(5));
  const Progress::Due due{GroupId(1), kQueue.topic};
  EXPECT_THAT(progress_->TakeDue(), ::testing::ElementsAre(due));
  EXPECT_TRUE(progress_->TakeDue().empty());
  // The other lease is told of too, though nobody touched the queue meanwhile.
  clock_.Advance(seconds(25));
  EXPECT_THAT(progress_->TakeDue(), ::testing::ElementsAre(due));
}

TEST_F(ProgressTest, ExpiredMessagesAreNotDelivered) {
  Reserve(3, 10);
  min_ = 5;
  clock_.Advance(seconds(31));
  EXPECT_EQ(Reserve(1, 10)[0].handle.offset, QueueOffset(5));
}

TEST_F(ProgressTest, HandsOutNoMoreThanMayBeInFlight) {
  options_.max_in_flight = 5;
  progress_ = std::make_unique<Progress>(options_, saved_, clock_);
  const auto reserved = Reserve(10);
  ASSERT_EQ(reserved.size(), 5u);
  EXPECT_TRUE(Reserve(10).empty());
  EXPECT_OK(progress_->Ack(reserved[2].handle));
  EXPECT_EQ(Reserve(10).size(), 1u);
}

TEST_F(ProgressTest, OffsetsCanBeReadAndSet) {
  EXPECT_EQ(Code(progress_->CommittedOffset(GroupId(1), kQueue).status()),
            PublicCode::kOffsetNotFound);
  const auto reserved = Reserve(3);
  EXPECT_THAT(progress_->CommittedOffset(GroupId(1), kQueue), IsOkAndHolds(QueueOffset(0)));
  EXPECT_OK(progress_->Ack(reserved[1].handle));
  EXPECT_THAT(progress_->CommittedOffset(GroupId(1), kQueue), IsOkAndHolds(QueueOffset(0)));
  EXPECT_OK(progress_->Ack(reserved[0].handle));
  EXPECT_THAT(progress_->CommittedOffset(GroupId(1), kQueue), IsOkAndHolds(QueueOffset(2)));
  EXPECT_OK(progress_->SetOffset(GroupId(1), kQueue, QueueOffset(50)));
  EXPECT_EQ(Reserve(1)[0].handle.offset, QueueOffset(50));
  progress_->DropGroup(GroupId(1));
}

TEST_F(ProgressTest, ARestartKeepsLeasesAttemptsAndHandles) {
  const auto reserved = Reserve(5);
  EXPECT_OK(progress_->Ack(reserved[1].handle));
  Restart();
  EXPECT_OK(progress_->CheckLease(reserved[0].handle));
  EXPECT_OK(progress_->Ack(reserved[1].handle));  // done, and known to be
  EXPECT_EQ(Reserve(1)[0].handle.offset, QueueOffset(5));
  clock_.Advance(seconds(31));
  const auto again = Reserve(1);
  EXPECT_EQ(again[0].handle.offset, QueueOffset(0));
  EXPECT_EQ(again[0].handle.attempt, 2u);
}

TEST_F(ProgressTest, WhatWasNotSavedBeforeACrashComesAgain) {
  const auto reserved = Reserve(1);
  progress_ = std::make_unique<Progress>(options_, saved_, clock_);
  EXPECT_EQ(Code(progress_->Ack(reserved[0].handle)), PublicCode::kInvalidReceiptHandle);
  EXPECT_EQ(Reserve(1)[0].handle.offset, QueueOffset(0));
}

TEST_F(ProgressTest, ChangesThatCouldNotBeAppendedAreGivenAgain) {
  Reserve(1);
  const std::string first = progress_->TakeChanges(1 << 20);
  EXPECT_FALSE(first.empty());
  EXPECT_TRUE(progress_->TakeChanges(1 << 20).empty());
  Reserve(1);
  EXPECT_FALSE(progress_->TakeChanges(1 << 20).empty());
  progress_->GiveBackChanges();
  EXPECT_FALSE(progress_->TakeChanges(1 << 20).empty());
}

// Against a model that knows only what consumers are promised.
TEST_F(ProgressTest, NothingIsLostAndNothingDoneComesAgain) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  constexpr uint64_t kMessages = 300;
  std::set<uint64_t> done;
  std::vector<ReceiptHandle> held;
  for (int step = 0; step < 20'000 && done.size() < kMessages; ++step) {
    switch (random() % 6) {
      case 0:
      case 1:
        for (const Reservation& reservation : Reserve(random() % 8, kMessages)) {
          ASSERT_FALSE(done.contains(reservation.handle.offset.value())) << "step " << step;
          if (reservation.exhausted || random() % 10 == 0) {
            progress_->Finish(reservation.handle);
            done.insert(reservation.handle.offset.value());
          } else {
            held.push_back(reservation.handle);
          }
        }
        break;
      case 2:
        clock_.Advance(seconds(random() % 20));
        break;
      case 3:
        if (random() % 20 == 0) Restart();
        break;
      default:
        if (held.empty()) break;
        const size_t which = random() % held.size();
        const ReceiptHandle handle = held[which];
        held.erase(held.begin() + static_cast<ptrdiff_t>(which));
        if (random() % 4 == 0) {
          const auto changed = progress_->ChangeInvisible(handle, seconds(random() % 40), false);
          if (changed.ok()) held.push_back(*changed);
        } else if (progress_->Ack(handle).ok()) {
          done.insert(handle.offset.value());
        }
    }
  }
  for (int round = 0; round < 50 && done.size() < kMessages; ++round) {
    clock_.Advance(seconds(60));
    for (const Reservation& reservation : Reserve(kMessages, kMessages)) {
      ASSERT_FALSE(done.contains(reservation.handle.offset.value()));
      progress_->Finish(reservation.handle);
      done.insert(reservation.handle.offset.value());
    }
  }
  EXPECT_EQ(done.size(), kMessages);
}

TEST_F(ProgressTest, ConcurrentConsumersShareTheQueue) {
  constexpr int kThreads = 4;
  std::vector<std::thread> threads;
  std::atomic<uint64_t> acked{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, &acked] {
      for (auto reserved = Reserve(7, 2000); !reserved.empty(); reserved = Reserve(7, 2000)) {
        for (const Reservation& reservation : reserved) {
          EXPECT_OK(progress_->Ack(reservation.handle));
          ++acked;
        }
        progress_->TakeChanges(1 << 20);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(acked, 2000u);
  EXPECT_THAT(progress_->CommittedOffset(GroupId(1), kQueue), IsOkAndHolds(QueueOffset(2000)));
}

TEST(ReceiptHandleTest, SurvivesTheWayThroughTextAndNothingElseDoes) {
  ReceiptHandle handle{GroupId(1), {TopicId(2), 3},   QueueOffset(4), 5,
                       6,          FromUnixMillis(7), true,           MarkOf("a")};
  const std::string text = Encode(handle);
  EXPECT_LT(text.size(), 128u);
  EXPECT_THAT(DecodeReceiptHandle(text), IsOkAndHolds(handle));
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_EQ(CodeOf(DecodeReceiptHandle(changed).status()), PublicCode::kInvalidReceiptHandle);
  }
  for (const char* rubbish : {"", "rubbish", "!!!!"}) {
    EXPECT_EQ(CodeOf(DecodeReceiptHandle(rubbish).status()), PublicCode::kInvalidReceiptHandle);
  }
}

}  // namespace
}  // namespace dunlin::broker
