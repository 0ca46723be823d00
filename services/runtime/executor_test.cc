#include "services/runtime/executor.h"

#include <gtest/gtest.h>

#include <vector>

#include "services/base/testing/status_matchers.h"

namespace dunlin {
namespace {

TEST(ExecutorTest, RunsInOrderAndFinishesWhatItAccepted) {
  std::vector<int> seen;
  Executor executor("test", 100);
  for (int i = 0; i < 50; ++i) {
    EXPECT_OK(executor.Run([&seen, i] { seen.push_back(i); }));
  }
  executor.Stop();
  ASSERT_EQ(seen.size(), 50u);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(seen[i], i);
  EXPECT_THAT(executor.Run([] {}), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(ExecutorTest, RefusesWhatDoesNotFit) {
  Mutex mutex;
  Executor executor("test", 1);
  mutex.Lock();
  EXPECT_OK(executor.Run([&mutex] { MutexLock lock(mutex); }));
  // The thread may or may not have taken the first task; two more cannot both fit.
  const absl::Status second = executor.Run([] {});
  const absl::Status third = executor.Run([] {});
  EXPECT_THAT(second.ok() ? third : second, StatusIs(absl::StatusCode::kResourceExhausted));
  mutex.Unlock();
}

}  // namespace
}  // namespace dunlin
