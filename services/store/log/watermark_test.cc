#include "services/store/log/watermark.h"

#include <gtest/gtest.h>

#include <thread>

#include "services/base/strong_int.h"

namespace dunlin::store {
namespace {

using std::chrono::hours;

TEST(WatermarkTest, OnlyGrows) {
  Watermark mark(LogOffset(8));
  mark.Advance(LogOffset(16));
  mark.Advance(LogOffset(8));
  EXPECT_EQ(mark.Get(), LogOffset(16));
}

TEST(WatermarkTest, AnAdvanceEndsAWait) {
  Watermark mark;
  std::thread advances([&] { mark.Advance(LogOffset(8)); });
  EXPECT_EQ(mark.WaitAbove(LogOffset(0), hours(1)), LogOffset(8));
  advances.join();
}

TEST(WatermarkTest, AWaiterEndsTheSleepOfTheOneWhoAdvances) {
  Watermark mark;
  std::thread waits([&] { EXPECT_EQ(mark.WaitAbove(LogOffset(0), hours(1)), LogOffset(8)); });
  mark.AwaitWaiter(hours(1));
  mark.Advance(LogOffset(8));
  waits.join();
  mark.AwaitWaiter(std::chrono::microseconds(1));  // nobody comes
}

TEST(WatermarkTest, ClosingEndsEveryWait) {
  Watermark mark;
  std::thread waits([&] { mark.WaitAbove(LogOffset(0), hours(1)); });
  std::thread sleeps([&] { mark.AwaitWaiter(hours(1)); });
  mark.Close();
  waits.join();
  sleeps.join();
}

}  // namespace
}  // namespace dunlin::store
