#include "services/runtime/lifecycle.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <thread>

namespace dunlin {
namespace {

using ::testing::ExitedWithCode;
using ::testing::KilledBySignal;

// Death tests, because signals concern a whole process.
[[noreturn]] void ExitZeroIf(bool right) { _exit(right ? 0 : 1); }

TEST(StopSignalDeathTest, TurnsTheFirstSignalIntoAnOrderlyStop) {
  for (const int number : {SIGTERM, SIGINT}) {
    const std::string_view name = number == SIGINT ? "SIGINT" : "SIGTERM";
    EXPECT_EXIT(
        {
          StopSignal stop;
          std::thread sender([&] { kill(getpid(), number); });
          const std::string_view got = stop.Wait();
          sender.join();
          ExitZeroIf(got == name);
        },
        ExitedWithCode(0), "");
  }
}

TEST(StopSignalDeathTest, LetsTheSecondSignalKill) {
  EXPECT_EXIT(
      {
        StopSignal stop;
        kill(getpid(), SIGTERM);
        stop.Wait();
        kill(getpid(), SIGTERM);
        pause();
      },
      KilledBySignal(SIGTERM), "");
}

TEST(StopSignalDeathTest, CanBeRequestedFromAnotherThread) {
  EXPECT_EXIT(
      {
        StopSignal stop;
        std::thread other([&] { stop.Request(); });
        const std::string_view got = stop.Wait();
        other.join();
        ExitZeroIf(got.empty());
      },
      ExitedWithCode(0), "");
}

TEST(AnnounceReadyTest, PrintsOneLine) {
  ::testing::internal::CaptureStdout();
  AnnounceReady("dunlin", "0.0.0.0:8081", "0.0.0.0:5557");
  AnnounceReady("dunlin", "[::]:1", "");
  const std::string pid = std::to_string(getpid());
  EXPECT_EQ(::testing::internal::GetCapturedStdout(),
            "dunlin is ready on 0.0.0.0:8081, metrics on 0.0.0.0:5557, pid " + pid + "\n" +
                "dunlin is ready on [::]:1, pid " + pid + "\n");
}

TEST(RaiseOpenFileLimitTest, RaisesTheSoftLimit) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low{.rlim_cur = 100, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  RaiseOpenFileLimit();
  rlimit after{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_GT(after.rlim_cur, 100u);
}

}  // namespace
}  // namespace dunlin
