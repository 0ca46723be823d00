#include "services/broker/member/busy_beat.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>

#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::steady_clock;

class BusyBeatTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto page = store::ControlPage::Open(RealFiles(), dir_.path() + "/control");
    ASSERT_OK(page);
    page_ = *std::move(page);
  }
  void Breathe(milliseconds time) {
    const uint32_t looked = page_->for_broker().Look();  // which nobody rings
    page_->for_broker().Wait(looked, time);
  }

  const TempDir dir_;
  std::unique_ptr<store::ControlPage> page_;
};

TEST_F(BusyBeatTest, BeatsAsLongAsItIsThere) {
  std::optional<BusyBeat> busy;
  busy.emplace(*page_, BusyBeat::Options{.interval = milliseconds(5), .limit = minutes(10)});
  const uint64_t before = page_->heartbeat();
  const auto patience = steady_clock::now() + minutes(1);
  while (page_->heartbeat() < before + 5) {
    ASSERT_LT(steady_clock::now(), patience);
    Breathe(milliseconds(5));
  }
  busy.reset();
  const uint64_t after = page_->heartbeat();
  Breathe(milliseconds(50));
  EXPECT_EQ(page_->heartbeat(), after);
}

TEST_F(BusyBeatTest, WhatIsDoneSoonNeedsNone) {
  const uint64_t before = page_->heartbeat();
  { const BusyBeat busy(*page_, {.interval = minutes(5), .limit = minutes(10)}); }
  EXPECT_EQ(page_->heartbeat(), before);
}

TEST_F(BusyBeatTest, WhatHangsIsNotKeptAlive) {
  const uint64_t before = page_->heartbeat();
  const BusyBeat busy(*page_, {.interval = milliseconds(5), .limit = milliseconds(5)});
  Breathe(milliseconds(100));
  EXPECT_EQ(page_->heartbeat(), before);
}

}  // namespace
}  // namespace dunlin::broker
