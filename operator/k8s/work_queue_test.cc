#include "operator/k8s/work_queue.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <atomic>
#include <random>
#include <thread>

#include "services/base/testing/manual_clock.h"

namespace dunlin::k8s {
namespace {

using std::chrono::milliseconds;

ObjectKey KeyA() { return {"space", "a"}; }
ObjectKey KeyB() { return {"space", "b"}; }

class WorkQueueTest : public ::testing::Test {
 protected:
  // Takes and gives back.
  std::optional<ObjectKey> Pass() {
    std::optional<ObjectKey> key = queue_.TryTake();
    if (key.has_value()) queue_.Done(*key);
    return key;
  }

  ManualClock clock_;
  WorkQueue queue_{clock_};
};

TEST_F(WorkQueueTest, AKeyWaitsOnce) {
  queue_.Add(KeyA());
  queue_.Add(KeyB());
  queue_.Add(KeyA());
  EXPECT_EQ(Pass(), KeyA());
  EXPECT_EQ(Pass(), KeyB());
  EXPECT_EQ(Pass(), std::nullopt);
}

TEST_F(WorkQueueTest, HowLongKeysWaitIsCounted) {
  queue_.Add(KeyA());
  clock_.Advance(milliseconds(10));
  queue_.Add(KeyB());
  clock_.Advance(milliseconds(5));
  Pass();
  Pass();
  EXPECT_EQ(queue_.CurrentStats().taken, 2U);
  EXPECT_EQ(queue_.CurrentStats().waited, milliseconds(20));
}

TEST_F(WorkQueueTest, AKeyIsWithOneWorkerAtATime) {
  queue_.Add(KeyA());
  ASSERT_EQ(queue_.TryTake(), KeyA());
  queue_.Add(KeyA());
  EXPECT_EQ(queue_.TryTake(), std::nullopt);
  queue_.Done(KeyA());
  EXPECT_EQ(queue_.TryTake(), KeyA());
  queue_.Done(KeyA());
  EXPECT_EQ(queue_.TryTake(), std::nullopt);
}

TEST_F(WorkQueueTest, DelayedKeysComeAtTheirTime) {
  queue_.AddAfter(KeyA(), milliseconds(100));
  queue_.AddAfter(KeyB(), milliseconds(50));
  EXPECT_EQ(Pass(), std::nullopt);
  EXPECT_EQ(queue_.CurrentStats().delayed, 2U);
  clock_.Advance(milliseconds(50));
  EXPECT_EQ(Pass(), KeyB());
  EXPECT_EQ(Pass(), std::nullopt);
  clock_.Advance(milliseconds(50));
  EXPECT_EQ(Pass(), KeyA());
}

TEST_F(WorkQueueTest, TheEarliestTimeCounts) {
  queue_.AddAfter(KeyA(), milliseconds(100));
  queue_.AddAfter(KeyA(), milliseconds(30));
  queue_.AddAfter(KeyA(), milliseconds(200));
  clock_.Advance(milliseconds(30));
  EXPECT_EQ(Pass(), KeyA());
  clock_.Advance(milliseconds(500));
  EXPECT_EQ(Pass(), std::nullopt);

  queue_.AddAfter(KeyA(), milliseconds(100));
  queue_.Add(KeyA());
  EXPECT_EQ(Pass(), KeyA());
  clock_.Advance(milliseconds(500));
  EXPECT_EQ(Pass(), std::nullopt);
}

TEST_F(WorkQueueTest, FailuresAreWaitedForLongerAndLonger) {
  for (const int64_t wait : {5, 10, 20, 40}) {
    queue_.AddFailed(KeyA());
    clock_.Advance(milliseconds(wait - 1));
    EXPECT_EQ(Pass(), std::nullopt) << wait;
    clock_.Advance(milliseconds(1));
    EXPECT_EQ(Pass(), KeyA()) << wait;
  }
  queue_.Forget(KeyA());
  queue_.AddFailed(KeyA());
  clock_.Advance(milliseconds(5));
  EXPECT_EQ(Pass(), KeyA());
  EXPECT_EQ(queue_.CurrentStats().retries, 5U);
}

TEST_F(WorkQueueTest, FailedWhileTakenComesAfterItsTime) {
  queue_.Add(KeyA());
  ASSERT_EQ(queue_.TryTake(), KeyA());
  queue_.AddFailed(KeyA());
  clock_.Advance(milliseconds(5));
  EXPECT_EQ(queue_.TryTake(), std::nullopt);  // still with its worker
  queue_.Done(KeyA());
  EXPECT_EQ(queue_.TryTake(), KeyA());
}

TEST_F(WorkQueueTest, StopWakesWhoWaits) {
  std::thread worker([this] { EXPECT_EQ(queue_.Take(), std::nullopt); });
  queue_.Stop();
  worker.join();
  queue_.Add(KeyA());
  EXPECT_EQ(queue_.TryTake(), std::nullopt);
}

TEST_F(WorkQueueTest, NothingAddedIsLostAmongWorkers) {
  constexpr int kKeys = 50;
  constexpr int kAdds = 20'000;
  std::array<std::atomic<int>, kKeys> wanted{};
  std::array<std::atomic<int>, kKeys> seen{};
  std::array<std::atomic<bool>, kKeys> held{};
  std::vector<std::thread> workers;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([&] {
      while (const auto key = queue_.Take()) {
        const int number = std::stoi(key->name);
        EXPECT_FALSE(held[number].exchange(true));
        seen[number] = wanted[number].load();
        held[number] = false;
        queue_.Done(*key);
      }
    });
  }
  std::mt19937 random(3);
  for (int i = 0; i < kAdds; ++i) {
    const int number = static_cast<int>(random() % kKeys);
    ++wanted[number];
    queue_.Add({"space", std::to_string(number)});
  }
  for (int number = 0; number < kKeys; ++number) {
    while (seen[number] != wanted[number]) std::this_thread::yield();
  }
  queue_.Stop();
  for (std::thread& worker : workers) worker.join();
}

}  // namespace
}  // namespace dunlin::k8s
