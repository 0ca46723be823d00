// Progress of ordered groups against a simple model: random deliveries, acknowledgements, failures,
// ends of leases, dead letters and restarts.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/progress/progress.h"
#include "services/broker/progress/testing/saved_rows.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint32_t kMaxAttempts = 4;

class OrderedProgressTest : public ::testing::Test {
 protected:
  OrderedProgressTest() {
    options_.max_waiting = 16;
    Restart();
  }

  static ReserveRequest Request(size_t limit, uint64_t max) {
    ReserveRequest request;
    request.group = GroupId(1);
    request.queue = {TopicId(2), 3};
    request.bounds = {QueueOffset(0), QueueOffset(max)};
    request.limit = limit;
    request.max_attempts = kMaxAttempts;
    request.invisible = seconds(30);
    request.client_id = "client";
    return request;
  }

  // Reads on as Taker does.
  std::vector<Reservation> Take(const std::vector<uint32_t>& lanes, size_t limit,
                                const std::string& attempt = "") {
    std::vector<Reservation> taken;
    OrderedRequest ordered;
    ordered.attempt_id = attempt;
    OrderedReserved reserved;
    if (!attempt.empty()) {
      ordered.repeat = true;
      EXPECT_OK(progress_->ReserveInOrder(Request(limit, lanes.size()), ordered, reserved));
      if (!reserved.messages.empty()) return reserved.messages;
      ordered.repeat = false;
    }
    std::vector<LookedAt> ahead;
    for (;;) {
      const bool looked = !ahead.empty();
      ordered.ahead = ahead;
      EXPECT_OK(progress_->ReserveInOrder(Request(limit - taken.size(), lanes.size()), ordered,
                                          reserved));
      taken.insert(taken.end(), reserved.messages.begin(), reserved.messages.end());
      if (taken.size() >= limit || reserved.room == 0 || (!looked && !ahead.empty())) return taken;
      ahead.clear();
      ordered.first = reserved.next;
      const size_t step = std::min<size_t>(reserved.room, 3);
      for (uint64_t i = reserved.next.value(); i < lanes.size() && ahead.size() < step; ++i) {
        ahead.push_back({lanes[i], false});
      }
      if (ahead.empty()) return taken;
    }
  }

  void Save() {
    for (std::string changes = progress_->TakeChanges(1 << 20); !changes.empty();
         changes = progress_->TakeChanges(1 << 20)) {
      saved_.Apply(changes);
    }
  }
  void Restart() { progress_ = std::make_unique<Progress>(options_, saved_, clock_); }

  ManualClock clock_;
  SavedRows saved_;
  ProgressOptions options_;
  std::unique_ptr<Progress> progress_;
};

TEST_F(OrderedProgressTest, OrderSurvivesARestart) {
  const std::vector<uint32_t> lanes = {7, 7, 7, 8, 7};
  const std::vector<Reservation> first = Take(lanes, 3);
  ASSERT_EQ(first.size(), 3u);
  ASSERT_OK(progress_->Ack(first[2].handle));
  ASSERT_EQ(Take(lanes, 9).size(), 1u);  // of lane 8
  Save();
  Restart();
  EXPECT_TRUE(Take(lanes, 9).empty());
  ASSERT_OK(progress_->Ack(first[1].handle));
  EXPECT_EQ(*progress_->CommittedOffset(GroupId(1), {TopicId(2), 3}), QueueOffset(0));
  ASSERT_OK(progress_->Ack(first[0].handle));
  EXPECT_EQ(*progress_->CommittedOffset(GroupId(1), {TopicId(2), 3}), QueueOffset(3));
  const std::vector<Reservation> next = Take(lanes, 9);
  ASSERT_EQ(next.size(), 1u);
  EXPECT_EQ(next[0].handle.offset, QueueOffset(4));
}

TEST_F(OrderedProgressTest, AcknowledgedBehindTheHeadIsDoneForItsConsumer) {
  const std::vector<uint32_t> lanes = {7, 7};
  const std::vector<Reservation> batch = Take(lanes, 2);
  ASSERT_EQ(batch.size(), 2u);
  ASSERT_OK(progress_->Ack(batch[1].handle));
  EXPECT_OK(progress_->Ack(batch[1].handle));
  EXPECT_EQ(CodeOf(progress_->CheckLease(batch[1].handle)), PublicCode::kInvalidReceiptHandle);
  EXPECT_EQ(CodeOf(progress_->ChangeInvisible(batch[1].handle, seconds(0), false).status()),
            PublicCode::kInvalidReceiptHandle);
  EXPECT_FALSE(progress_->IsPending(batch[1].handle));
  progress_->Return(batch[1].handle, seconds(0), false);  // nobody's any more
  ASSERT_OK(progress_->Ack(batch[0].handle));
  EXPECT_TRUE(Take(lanes, 9).empty());
}

TEST_F(OrderedProgressTest, TellsWhenAnAcknowledgementUnlocksAGroup) {
  int unlocked = 0;
  options_.on_unlocked = [&] { ++unlocked; };
  Restart();
  const std::vector<uint32_t> lanes = {7, 7};
  const std::vector<Reservation> first = Take(lanes, 1);
  ASSERT_EQ(first.size(), 1u);
  EXPECT_TRUE(Take(lanes, 1).empty());
  EXPECT_EQ(unlocked, 0);
  ASSERT_OK(progress_->Ack(first[0].handle));
  EXPECT_EQ(unlocked, 1);
  EXPECT_EQ(progress_->TakeDue().size(), 1u);
}

TEST_F(OrderedProgressTest, ChangingTheOrderOfAGroupGoesBackToWhatIsNotDone) {
  const std::vector<uint32_t> lanes = {7, 7, 7, 7};
  std::vector<Reservation> concurrent;
  ASSERT_OK(progress_->Reserve(Request(3, 4), concurrent));
  ASSERT_EQ(concurrent.size(), 3u);
  ASSERT_OK(progress_->Ack(concurrent[0].handle));
  ASSERT_OK(progress_->Ack(concurrent[2].handle));
  const std::vector<Reservation> ordered = Take(lanes, 9);
  ASSERT_EQ(ordered.size(), 3u);
  EXPECT_EQ(ordered[0].handle.offset, QueueOffset(1));
  EXPECT_EQ(CodeOf(progress_->Ack(concurrent[1].handle)), PublicCode::kInvalidReceiptHandle);
  ASSERT_OK(progress_->Ack(ordered[0].handle));
  ASSERT_OK(progress_->Ack(ordered[2].handle));
  concurrent.clear();
  ASSERT_OK(progress_->Reserve(Request(9, 4), concurrent));
  ASSERT_EQ(concurrent.size(), 2u);
  EXPECT_EQ(concurrent[0].handle.offset, QueueOffset(2));
}

TEST_F(OrderedProgressTest, AMillionGroupsCostOnlyWhatIsInFlightAndTheWindow) {
  std::vector<uint32_t> lanes(1'000'000);
  for (size_t i = 0; i < lanes.size(); ++i) lanes[i] = i < 100 ? 7 : static_cast<uint32_t>(i);
  const std::vector<Reservation> head = Take(lanes, 1);
  ASSERT_EQ(head.size(), 1u);
  EXPECT_TRUE(Take(lanes, 32).empty());  // the window ends within the first group
  const Progress::Counts counts = *progress_->GetCounts(GroupId(1), {TopicId(2), 3});
  EXPECT_EQ(counts.waiting, options_.max_waiting);
  EXPECT_EQ(counts.in_flight, 1u);
}

// What consumers saw, held against what must hold.
class Model {
 public:
  explicit Model(std::vector<uint32_t> lanes) : lanes_(std::move(lanes)) {}

  // A consumer got a message. REQUIRED of the progress: everything before it in its lane is done,
  // or is part of the same batch before it.
  void Delivered(const std::vector<Reservation>& batch) {
    std::map<uint32_t, std::set<uint64_t>> given;
    for (const Reservation& reservation : batch) {
      const uint64_t offset = reservation.handle.offset.value();
      const uint32_t lane = lanes_[offset];
      for (uint64_t before = 0; before < offset; ++before) {
        if (lanes_[before] != lane || done_.contains(before) || IsLeftOut(before)) continue;
        ASSERT_TRUE(given[lane].contains(before))
            << "offset " << offset << " overtakes " << before << " of lane " << lane;
      }
      // While a consumer has a lease on any message of a lane, nobody else gets one of it.
      ASSERT_FALSE(held_.contains(offset)) << "offset " << offset << " is with somebody";
      given[lane].insert(offset);
    }
    for (const auto& [lane, offsets] : given) {
      for (uint64_t held : held_) {
        ASSERT_NE(lanes_[held], lane)
            << "lane " << lane << " was given while " << held << " is out";
      }
    }
    for (const auto& [lane, offsets] : given) held_.insert(offsets.begin(), offsets.end());
  }
  void Ended(uint64_t offset) { held_.erase(offset); }
  // The lane is consumed up to it as far as consumers can tell: acknowledged, with all before it.
  void Acknowledged(uint64_t offset) {
    held_.erase(offset);
    acknowledged_.insert(offset);
    for (uint64_t before = 0; before < lanes_.size(); ++before) {
      if (lanes_[before] != lanes_[offset] || done_.contains(before)) continue;
      if (!acknowledged_.contains(before)) return;
      done_.insert(before);
    }
  }
  void Dead(uint64_t offset) {
    done_.insert(offset);
    Ended(offset);
    for (uint64_t after = offset + 1; after < lanes_.size(); ++after) {
      if (lanes_[after] != lanes_[offset] || done_.contains(after)) continue;
      if (!acknowledged_.contains(after)) return;
      done_.insert(after);
    }
  }
  // A message that comes again takes the acknowledgements behind it back, but for those of messages
  // that had their last attempt.
  void Again(uint64_t offset, uint32_t attempt) {
    attempts_[offset] = attempt;
    for (uint64_t after = offset; after < lanes_.size(); ++after) {
      if (lanes_[after] != lanes_[offset]) continue;
      if (after == offset || attempts_[after] < kMaxAttempts) acknowledged_.erase(after);
    }
  }
  void Uncounted(uint64_t offset) { attempts_[offset] -= attempts_[offset] > 0 ? 1 : 0; }
  bool AllDone() const { return done_.size() == lanes_.size(); }

 private:
  // Acknowledged in its last attempt: it stays so when what is before it comes again.
  bool IsLeftOut(uint64_t offset) const {
    const auto attempts = attempts_.find(offset);
    return acknowledged_.contains(offset) && attempts != attempts_.end() &&
           attempts->second >= kMaxAttempts;
  }

  const std::vector<uint32_t> lanes_;
  std::set<uint64_t> done_;
  std::set<uint64_t> acknowledged_;
  std::set<uint64_t> held_;  // with a lease that runs
  std::map<uint64_t, uint32_t> attempts_;
};

struct Held {
  ReceiptHandle handle;
  Timestamp until;
};

class RandomRun {
 public:
  RandomRun(uint32_t seed, std::vector<uint32_t> lanes)
      : random_(seed), lanes_(lanes), model_(std::move(lanes)) {}

  size_t Below(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random_); }

  std::mt19937 random_;
  const std::vector<uint32_t> lanes_;
  Model model_;
  std::map<uint64_t, Held> held_;
};

TEST_F(OrderedProgressTest, KeepsTheOrderOfEachGroupWhateverHappens) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 lanes_random(seed);
    std::vector<uint32_t> lanes(120);
    for (uint32_t& lane : lanes) {
      lane = std::uniform_int_distribution<uint32_t>(1, 1 + seed % 12)(lanes_random);
    }
    saved_ = SavedRows();
    Restart();
    RandomRun run(seed, lanes);
    for (int step = 0; step < 20'000 && !run.model_.AllDone(); ++step) {
      // Leases that have ended.
      for (auto held = run.held_.begin(); held != run.held_.end();) {
        if (held->second.until > clock_.Now()) {
          ++held;
          continue;
        }
        run.model_.Ended(held->first);
        held = run.held_.erase(held);
      }
      const size_t what = run.Below(100);
      if (what < 40) {
        std::vector<Reservation> taken = Take(lanes, 1 + run.Below(5));
        for (const Reservation& reservation : taken) {
          if (reservation.exhausted) continue;
          run.model_.Again(reservation.handle.offset.value(), reservation.handle.attempt);
        }
        ASSERT_NO_FATAL_FAILURE(run.model_.Delivered(taken));
        for (const Reservation& reservation : taken) {
          const uint64_t offset = reservation.handle.offset.value();
          if (reservation.exhausted) {
            progress_->Finish(reservation.handle);
            run.model_.Dead(offset);
            continue;
          }
          ASSERT_LE(reservation.handle.attempt, kMaxAttempts);
          run.held_[offset] = {reservation.handle, reservation.handle.visible_at};
        }
      } else if (what < 85 && !run.held_.empty()) {
        auto held =
            std::next(run.held_.begin(), static_cast<ptrdiff_t>(run.Below(run.held_.size())));
        if (what < 75) {
          ASSERT_OK(progress_->Ack(held->second.handle));
          run.model_.Acknowledged(held->first);
        } else {
          const milliseconds delay(run.Below(2) == 0 ? 0 : run.Below(40'000));
          const bool suspend = run.Below(4) == 0;
          const auto changed = progress_->ChangeInvisible(held->second.handle, delay, suspend);
          ASSERT_OK(changed.status());
          if (suspend) run.model_.Uncounted(held->first);
          if (delay.count() > 0) {
            // The consumer still has it, on other terms.
            held->second = {*changed, changed->visible_at};
            continue;
          }
          run.model_.Ended(held->first);
        }
        run.held_.erase(held);
      } else if (what < 90) {
        clock_.Advance(seconds(1 + run.Below(20)));
      } else if (what < 95) {
        Save();
        Restart();
      }
    }
    EXPECT_TRUE(run.model_.AllDone()) << "messages were lost";
    EXPECT_EQ(*progress_->CommittedOffset(GroupId(1), {TopicId(2), 3}), QueueOffset(lanes.size()));
  }
}

// A crash takes back what was not saved: messages come again, never out of order.
TEST_F(OrderedProgressTest, FirstProcessingIsInOrderAcrossCrashes) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto below = [&](size_t n) {
      return std::uniform_int_distribution<size_t>(0, n - 1)(random);
    };
    std::vector<uint32_t> lanes(100);
    for (uint32_t& lane : lanes) lane = static_cast<uint32_t>(1 + below(1 + seed % 9));
    saved_ = SavedRows();
    Restart();
    std::map<uint32_t, uint64_t> next;  // the offset each lane is to process next
    const auto after = [&](uint32_t lane, uint64_t from) {
      while (from < lanes.size() && lanes[from] != lane) ++from;
      return from;
    };
    for (uint32_t lane : lanes) next[lane] = after(lane, 0);
    const auto all_done = [&] {
      return std::all_of(next.begin(), next.end(),
                         [&](const auto& lane) { return lane.second == lanes.size(); });
    };
    for (int step = 0; step < 20'000 && !all_done(); ++step) {
      std::set<uint32_t> failed;  // a consumer that fails leaves the rest of the lane's batch
      for (const Reservation& reservation : Take(lanes, 1 + below(6))) {
        const uint64_t offset = reservation.handle.offset.value();
        const uint32_t lane = lanes[offset];
        ASSERT_FALSE(reservation.exhausted && next[lane] < offset);
        if (reservation.exhausted) {
          progress_->Finish(reservation.handle);
          if (next[lane] == offset) next[lane] = after(lane, offset + 1);
          continue;
        }
        if (failed.contains(lane) || below(10) == 0) {
          failed.insert(lane);
          continue;
        }
        ASSERT_LE(offset, next[lane]) << "processed before its turn";
        if (offset == next[lane]) next[lane] = after(lane, offset + 1);
        ASSERT_OK(progress_->Ack(reservation.handle));
      }
      if (below(3) == 0) Save();
      if (below(10) == 0) Restart();
      clock_.Advance(seconds(below(3) == 0 ? 31 : 0));
    }
    EXPECT_TRUE(all_done());
  }
}

}  // namespace
}  // namespace dunlin::broker
