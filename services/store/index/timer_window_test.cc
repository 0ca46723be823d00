#include "services/store/index/timer_window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <random>
#include <vector>

namespace dunlin::store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Timer At(int64_t due, uint64_t id) {
  return {{FromUnixMillis(due), LogOffset(id)}, LogOffset(id), {TopicId(1), 0}, 0};
}

std::vector<Timer> Take(TimerWindow& window, int64_t now, size_t limit = 100) {
  std::vector<Timer> due;
  window.TakeDue(FromUnixMillis(now), limit, due);
  return due;
}

TEST(TimerWindowTest, HoldsNothingUntilItWasLoaded) {
  TimerWindow window(10);
  window.Add(At(1, 1));
  EXPECT_TRUE(window.NeedsLoad());
  EXPECT_THAT(Take(window, 100), IsEmpty());
}

TEST(TimerWindowTest, WhatIsAddedWhileItLoadsIsNotLost) {
  TimerWindow window(10);
  window.BeginLoad();
  window.Add(At(5, 5));
  const std::vector<Timer> loaded = {At(1, 1), At(9, 9)};
  window.FinishLoad(loaded, /*all=*/true);
  EXPECT_THAT(Take(window, 5), ElementsAre(At(1, 1), At(5, 5)));
  EXPECT_EQ(window.Next(), At(9, 9).key);
}

TEST(TimerWindowTest, WhatEndsWhileItLoadsIsNotGivenOut) {
  TimerWindow window(10);
  window.BeginLoad();
  window.Erase(At(1, 1).key);
  const std::vector<Timer> loaded = {At(1, 1), At(2, 2)};
  window.FinishLoad(loaded, /*all=*/true);
  EXPECT_THAT(Take(window, 5), ElementsAre(At(2, 2)));
}

TEST(TimerWindowTest, WhatChangesWhileItLoadsIsGivenOutAsItIsNow) {
  TimerWindow window(10);
  window.BeginLoad();
  Timer moved = At(1, 1);
  moved.place = LogOffset(77);
  window.Add(moved);
  const std::vector<Timer> loaded = {At(1, 1)};
  window.FinishLoad(loaded, /*all=*/true);
  EXPECT_THAT(Take(window, 5), ElementsAre(moved));
}

// A dumb index of everything, and a window over it that is small: what is taken is what an index
// without a window would give.
TEST(TimerWindowTest, GivesWhatTheWholeIndexWould) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    TimerWindow window(4);
    std::map<TimerKey, Timer> index;
    std::vector<TimerKey> keys;
    int64_t now = 0;
    for (uint64_t id = 1; id < 400; ++id) {
      const Timer timer = At(now + static_cast<int64_t>(random() % 50), id);
      index.emplace(timer.key, timer);
      window.Add(timer);
      keys.push_back(timer.key);
      if (random() % 5 == 0) {
        const TimerKey key = keys[random() % keys.size()];
        index.erase(key);
        window.Erase(key);
      }
      if (random() % 3 == 0) now += static_cast<int64_t>(random() % 8);
      while (random() % 4 == 0) {
        if (window.NeedsLoad()) {
          const TimerKey from = window.BeginLoad();
          std::vector<Timer> loaded;
          auto row = index.lower_bound(from);
          for (; row != index.end() && loaded.size() < window.capacity(); ++row) {
            loaded.push_back(row->second);
          }
          window.FinishLoad(loaded, row == index.end());
          continue;
        }
        const std::vector<Timer> taken = Take(window, now, 1);
        if (taken.empty()) {
          if (!window.NeedsLoad()) {
            EXPECT_TRUE(index.empty() || index.begin()->first.due > FromUnixMillis(now));
          }
          break;
        }
        ASSERT_FALSE(index.empty()) << "seed " << seed;
        EXPECT_EQ(taken[0], index.begin()->second) << "seed " << seed;
        index.erase(index.begin());
      }
      EXPECT_LE(window.size(), 2 * window.capacity());
    }
  }
}

}  // namespace
}  // namespace dunlin::store
