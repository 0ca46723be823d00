#include "services/broker/delivery/waiting_room.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/mutex.h"
#include "services/base/strong_int.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

using Outcome = Waiter::Outcome;
using std::chrono::seconds;

constexpr TopicId kTopic{7};
constexpr GroupId kGroup{1};
constexpr GroupId kPull{0};

// What is dispatched is what the test says.
class FakeDispatcher final : public store::Dispatcher {
 public:
  void Change(TopicId topic) {
    {
      MutexLock lock(mutex_);
      changed_.push_back(topic);
    }
    dispatched_.Advance(dispatched_.Get() + 8);
  }
  int Looks() const { return looks_.load(); }

  const store::Watermark& dispatched() const override { return dispatched_; }
  std::vector<TopicId> TakeChangedTopics() override {
    ++looks_;
    MutexLock lock(mutex_);
    return std::exchange(changed_, {});
  }
  std::vector<QueueKey> TakeChangedLiteTopics() override { return {}; }
  ChangedConfig TakeChangedConfig() override { return {}; }
  const store::QueueIndex& queues() const override { std::abort(); }
  const store::KeyIndex& keys() const override { std::abort(); }
  store::TimerIndex& timers() override { std::abort(); }
  store::TransactionIndex& transactions() override { std::abort(); }
  absl::StatusOr<std::optional<LogOffset>> FindDelivery(LogOffset) const override { std::abort(); }
  absl::StatusOr<QueueOffset> NextOffset(QueueKey) const override { std::abort(); }
  absl::Status VisitNextOffsets(absl::FunctionRef<void(QueueKey, QueueOffset)>) const override {
    std::abort();
  }
  TopicId next_topic_id() const override { std::abort(); }
  GroupId next_group_id() const override { std::abort(); }
  uint32_t next_lite_queue() const override { std::abort(); }
  absl::Status Checkpoint() override { std::abort(); }
  absl::Status Snapshot() override { std::abort(); }
  SnapshotInfo snapshot() const override { std::abort(); }
  absl::Status MoveBefore(LogOffset) override { std::abort(); }
  absl::Status Remove(std::span<const store::NewRecord>) override { std::abort(); }
  absl::Status AppendPointers(std::span<const store::NewRecord>, LogOffset) override {
    std::abort();
  }
  absl::Status DropBefore(LogOffset) override { std::abort(); }
  absl::Status health() const override { return absl::OkStatus(); }
  absl::Status Stop() override { return absl::OkStatus(); }

 private:
  store::Watermark dispatched_;
  std::atomic<int> looks_{0};
  Mutex mutex_;
  std::vector<TopicId> changed_ ABSL_GUARDED_BY(mutex_);
};

// No group has progress.
class NoState final : public store::StateStore {
 public:
  store::Database& database() override { std::abort(); }
  absl::StatusOr<std::vector<storage::v1::Topic>> ListTopics() const override { std::abort(); }
  absl::StatusOr<std::vector<storage::v1::Group>> ListGroups() const override { std::abort(); }
  absl::StatusOr<std::vector<storage::v1::User>> ListUsers() const override { std::abort(); }
  absl::StatusOr<storage::v1::Topic> GetTopic(TopicId) const override { std::abort(); }
  absl::StatusOr<storage::v1::Group> GetGroup(GroupId) const override { std::abort(); }
  absl::StatusOr<storage::v1::QueueProgress> GetProgress(GroupId, QueueKey) const override {
    return absl::NotFoundError("no row");
  }
  absl::StatusOr<std::vector<storage::v1::QueueProgress>> ListProgress(GroupId,
                                                                       TopicId) const override {
    std::abort();
  }
  absl::StatusOr<std::vector<storage::v1::QueueProgress>> ListProgress(GroupId) const override {
    std::abort();
  }
  absl::Status VisitProgress(GroupId, VisitRow) const override { std::abort(); }
  absl::Status VisitLiteTopics(QueueKey, VisitLite) const override { std::abort(); }
  absl::StatusOr<store::ProducerRow> GetProducer(uint64_t, QueueKey) const override {
    std::abort();
  }
  storage::v1::Checkpoint GetCheckpoint() const override { std::abort(); }
  store::DatabaseUsage usage() const override { std::abort(); }
};

class FakeWaiter final : public Waiter {
 public:
  Outcome TryServe() override {
    ++asked;
    return answer.load();
  }
  void OnTimeout() override { timed_out = true; }

  std::atomic<int> asked{0};
  std::atomic<bool> timed_out{false};
  std::atomic<Outcome> answer{Outcome::kNothing};
};

class WaitingRoomTest : public ::testing::Test {
 protected:
  std::shared_ptr<FakeWaiter> Enter(GroupId group, std::chrono::seconds patience = seconds(20)) {
    auto waiter = std::make_shared<FakeWaiter>();
    EXPECT_OK(room_->Enter(waiter, kTopic, group, clock_.Now() + patience));
    return waiter;
  }

  // A waiter that enters is asked once more by the thread: after that nothing is under way.
  std::shared_ptr<FakeWaiter> EnterAndSettle(GroupId group) {
    std::shared_ptr<FakeWaiter> waiter = Enter(group);
    Await([&] { return waiter->asked == 2; });
    return waiter;
  }

  static void Await(const std::function<bool()>& condition) {
    while (!condition()) std::this_thread::yield();
  }

  ManualClock clock_;
  FakeDispatcher dispatcher_;
  NoState state_;
  Progress progress_{ProgressOptions(), state_, clock_};
  std::unique_ptr<WaitingRoom> room_ = std::make_unique<WaitingRoom>(
      WaitingRoom::Options{100, {}, {}}, dispatcher_, progress_, clock_);
};

TEST_F(WaitingRoomTest, OfLightweightTopicsEachClientIsAskedByItself) {
  std::atomic<uint64_t> client{0};
  const auto more = [&]() -> std::vector<WaitingRoom::Place> {
    const uint64_t told = client.exchange(0);
    return told == 0 ? std::vector<WaitingRoom::Place>()
                     : std::vector<WaitingRoom::Place>{{kTopic, kGroup, told}};
  };
  room_ = std::make_unique<WaitingRoom>(WaitingRoom::Options{100, more, {}}, dispatcher_, progress_,
                                        clock_);
  std::vector<std::shared_ptr<FakeWaiter>> waiters;
  for (uint64_t number = 1; number <= 2; ++number) {
    waiters.push_back(std::make_shared<FakeWaiter>());
    EXPECT_OK(room_->Enter(waiters.back(), WaitingRoom::Place{kTopic, kGroup, number},
                           clock_.Now() + seconds(20)));
    Await([&] { return waiters.back()->asked == 2; });
  }
  client = 2;
  dispatcher_.dispatched().Interrupt();
  Await([&] { return waiters[1]->asked == 3; });
  EXPECT_EQ(waiters[0]->asked, 2);
  // All of them are, when the topic is gone.
  room_->Nudge(kTopic);
  Await([&] { return waiters[0]->asked == 3 && waiters[1]->asked == 4; });
  room_.reset();  // its thread asks for `client`
}

TEST_F(WaitingRoomTest, WhatIsToldBeforeTheThreadSleepsIsLookedAtFirst) {
  constexpr int kTold = 2000;
  std::atomic<int> looks{0};
  WaitingRoom::Options options;
  options.more = [&] {
    ++looks;
    return std::vector<WaitingRoom::Place>();
  };
  options.has_more = [&] { return looks < kTold; };
  room_ = std::make_unique<WaitingRoom>(options, dispatcher_, progress_, clock_);
  const auto waiter = Enter(kGroup);
  const auto start = std::chrono::steady_clock::now();
  Await([&] { return looks >= kTold; });
  // Each nap would take 50 ms, all of them 100 s.
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(50));
  room_.reset();  // its thread counts `looks`
}

TEST_F(WaitingRoomTest, AnOwnerOfManyGetsHalfOfTheRoom) {
  const int one = 1;
  const int other = 2;
  std::vector<std::shared_ptr<FakeWaiter>> waiters;
  const auto enter = [&](const void* owner) {
    waiters.push_back(std::make_shared<FakeWaiter>());
    return room_->Enter(waiters.back(), kTopic, kPull, clock_.Now() + seconds(20), owner);
  };
  for (int i = 0; i < 50; ++i) EXPECT_OK(enter(&one));
  EXPECT_EQ(CodeOf(enter(&one)), PublicCode::kTooManyRequests);
  EXPECT_OK(enter(&other));
  EXPECT_OK(enter(nullptr));
  // One that waits keeps its place.
  EXPECT_OK(room_->Enter(waiters[0], kTopic, kPull, clock_.Now() + seconds(20), &one));
  EXPECT_EQ(room_->size(), 52u);
  room_->Leave(*waiters[0]);
  EXPECT_OK(enter(&one));
}

TEST_F(WaitingRoomTest, WhoCanBeServedDoesNotWait) {
  auto waiter = std::make_shared<FakeWaiter>();
  waiter->answer = Outcome::kServed;
  EXPECT_OK(room_->Enter(waiter, kTopic, kGroup, clock_.Now() + seconds(1)));
  EXPECT_EQ(room_->size(), 0u);
  EXPECT_TRUE(Enter(kGroup, seconds(0))->timed_out);
  EXPECT_EQ(room_->size(), 0u);
}

TEST_F(WaitingRoomTest, OnlyTheOneThatEntersIsAskedAgain) {
  for (GroupId group : {kPull, kGroup}) {
    std::vector<std::shared_ptr<FakeWaiter>> waiters;
    for (int i = 0; i < 20; ++i) waiters.push_back(EnterAndSettle(group));
    EnterAndSettle(group);
    for (const auto& waiter : waiters) EXPECT_EQ(waiter->asked, 2);
  }
}

TEST_F(WaitingRoomTest, AMessageIsForTheFirstOfEachGroupAndForEveryPull) {
  const auto first = EnterAndSettle(kGroup);
  const auto second = EnterAndSettle(kGroup);
  const auto third = EnterAndSettle(kGroup);
  const auto pull = EnterAndSettle(kPull);
  const auto other_pull = EnterAndSettle(kPull);
  const auto other_group = EnterAndSettle(GroupId(9));
  first->answer = Outcome::kServed;
  dispatcher_.Change(TopicId(8));
  dispatcher_.Change(kTopic);
  Await([&] { return other_group->asked == 3; });  // the last that is asked
  EXPECT_EQ(first->asked, 3);
  EXPECT_EQ(second->asked, 3);  // since the one before it was served
  EXPECT_EQ(third->asked, 2);
  EXPECT_EQ(pull->asked, 3);
  EXPECT_EQ(other_pull->asked, 3);
  Await([&] { return room_->size() == 5; });
}

TEST_F(WaitingRoomTest, WhoseBudgetIsUsedUpIsAskedUntilNothingIsLeft) {
  for (GroupId group : {kPull, kGroup}) {
    const auto waiter = EnterAndSettle(group);
    waiter->answer = Outcome::kLookAgain;
    dispatcher_.Change(kTopic);
    Await([&] { return waiter->asked > 5; });
    waiter->answer = Outcome::kServed;
    Await([&] { return room_->size() == 0; });
  }
}

TEST_F(WaitingRoomTest, WhomALimitHoldsBackIsAskedALittleLater) {
  for (GroupId group : {kPull, kGroup}) {
    const auto waiter = EnterAndSettle(group);
    waiter->answer = Outcome::kNotYet;
    room_->Nudge(kTopic, group);
    Await([&] { return waiter->asked == 3; });
    const auto other = EnterAndSettle(kPull);
    waiter->answer = Outcome::kServed;
    clock_.Advance(std::chrono::milliseconds(50));
    Await([&] { return waiter.use_count() == 1; });
    // The limit of one pull is none of the others'.
    room_->Leave(*EnterAndSettle(GroupId(9)));
    EXPECT_EQ(other->asked, 2);
    room_->Leave(*other);
  }
}

TEST_F(WaitingRoomTest, ANudgeIsForTheFirstOfItsGroup) {
  const auto first = EnterAndSettle(kGroup);
  const auto second = EnterAndSettle(kGroup);
  room_->Nudge(kTopic, GroupId(9));
  room_->Nudge(kTopic, kGroup);
  Await([&] { return first->asked == 3; });
  EXPECT_EQ(second->asked, 2);
}

TEST_F(WaitingRoomTest, ANudgeOfATopicIsForEveryGroupAndPull) {
  const auto member = EnterAndSettle(kGroup);
  const auto pull = EnterAndSettle(kPull);
  const auto other_pull = EnterAndSettle(kPull);
  const auto other_group = EnterAndSettle(GroupId(9));
  room_->Nudge(TopicId(8));
  room_->Nudge(kTopic);
  Await([&] { return other_group->asked == 3; });  // the last that is asked
  EXPECT_EQ(member->asked, 3);
  EXPECT_EQ(pull->asked, 3);
  EXPECT_EQ(other_pull->asked, 3);
}

TEST_F(WaitingRoomTest, TimeEndsTheWait) {
  const auto later = Enter(kGroup, seconds(20));
  const auto sooner = Enter(kGroup, seconds(10));
  clock_.Advance(seconds(10));
  Await([&] { return sooner->timed_out.load(); });
  EXPECT_FALSE(later->timed_out);
  EXPECT_EQ(room_->size(), 1u);
}

TEST_F(WaitingRoomTest, PlacesAreBoundedAndFreedByLeaving) {
  std::vector<std::shared_ptr<FakeWaiter>> waiters;
  for (int i = 0; i < 100; ++i) waiters.push_back(Enter(i % 2 == 0 ? kPull : kGroup));
  auto one_more = std::make_shared<FakeWaiter>();
  EXPECT_EQ(CodeOf(room_->Enter(one_more, kTopic, kGroup, clock_.Now() + seconds(1))),
            PublicCode::kTooManyRequests);
  room_->Leave(*one_more);
  for (const auto& waiter : waiters) room_->Leave(*waiter);
  room_->Leave(*waiters[0]);
  EXPECT_EQ(room_->size(), 0u);
  // Nor does the room keep who has left.
  for (auto& waiter : waiters) Await([&] { return waiter.use_count() == 1; });
  EXPECT_OK(room_->Enter(one_more, kTopic, kGroup, clock_.Now() + seconds(1)));
}

TEST_F(WaitingRoomTest, WhileNobodyWaitsTheThreadSleeps) {
  for (int i = 0; i < 1000; ++i) {
    dispatcher_.Change(kTopic);
    std::this_thread::yield();
  }
  EXPECT_EQ(dispatcher_.Looks(), 0);
  const auto waiter = Enter(kGroup);
  Await([&] { return waiter->asked >= 2; });
  EXPECT_GT(dispatcher_.Looks(), 0);
}

TEST_F(WaitingRoomTest, StoppingAnswersEverybody) {
  const auto one = Enter(kGroup);
  const auto other = Enter(kPull);
  room_->Stop();
  EXPECT_TRUE(one->timed_out);
  EXPECT_TRUE(other->timed_out);
  EXPECT_EQ(CodeOf(room_->Enter(std::make_shared<FakeWaiter>(), kTopic, kGroup,
                                clock_.Now() + seconds(1))),
            PublicCode::kTooManyRequests);
}

}  // namespace
}  // namespace dunlin::broker
