#include "e2e/harness/history.h"

#include <string>

#include "gtest/gtest.h"

namespace dunlin::e2e {
namespace {

// Two producers; the first sends twice and the second once, all of it acknowledged, in queue 0.
class HistoryTest : public testing::Test {
 protected:
  HistoryTest() : history_(7, 2, 64) {
    std::string ignored;
    for (uint32_t producer : {0U, 0U, 1U}) {
      const Sequence sequence = history_.Send(producer, ignored);
      history_.Acknowledge(sequence, offsets_++);
    }
  }
  absl::Status Show(Reading& reading, uint64_t offset, Sequence sequence) {
    return reading.Observe({.queue = 0, .offset = offset}, history_.Body(sequence));
  }

  History history_;
  uint64_t offsets_ = 0;
};

TEST_F(HistoryTest, WhatWasSentPasses) {
  Reading reading(history_);
  EXPECT_TRUE(Show(reading, 0, {0, 0}).ok());
  EXPECT_TRUE(Show(reading, 1, {0, 1}).ok());
  EXPECT_EQ(reading.Missing(), 1u);
  EXPECT_TRUE(Show(reading, 2, {1, 0}).ok());
  EXPECT_TRUE(reading.CheckComplete().ok());
  EXPECT_EQ(reading.Next(0), 3u);
  EXPECT_EQ(reading.observed(), 3u);
}

TEST_F(HistoryTest, LossIsSeen) {
  Reading reading(history_);
  EXPECT_TRUE(Show(reading, 0, {0, 0}).ok());
  EXPECT_EQ(reading.Missing(), 2u);
  EXPECT_EQ(reading.CheckComplete().code(), absl::StatusCode::kAborted);
}

TEST_F(HistoryTest, AChangedByteIsSeen) {
  Reading reading(history_);
  std::string body = history_.Body({0, 0});
  body.back() ^= 1;
  EXPECT_FALSE(reading.Observe({.queue = 0, .offset = 0}, body).ok());
}

TEST_F(HistoryTest, AnInventedMessageIsSeen) {
  Reading reading(history_);
  EXPECT_FALSE(Show(reading, 0, {0, 9}).ok());
  EXPECT_FALSE(reading.Observe({.queue = 0, .offset = 0}, "short").ok());
}

TEST_F(HistoryTest, AGapInTheOffsetsIsSeen) {
  Reading reading(history_);
  EXPECT_FALSE(Show(reading, 1, {0, 1}).ok());
}

TEST_F(HistoryTest, ASecondCopyIsSeen) {
  Reading reading(history_);
  EXPECT_TRUE(Show(reading, 0, {0, 0}).ok());
  EXPECT_FALSE(Show(reading, 1, {0, 0}).ok());
}

TEST_F(HistoryTest, AnotherOffsetThanPromisedIsSeen) {
  Reading reading(history_);
  EXPECT_FALSE(Show(reading, 0, {0, 1}).ok());
}

TEST(HistoryOrderTest, MessagesOutOfOrderAreSeen) {
  History history(7, 1, 64);
  std::string ignored;
  history.Send(0, ignored);
  history.Send(0, ignored);
  Reading reading(history);
  EXPECT_TRUE(reading.Observe({.queue = 0, .offset = 0}, history.Body({0, 1})).ok());
  EXPECT_FALSE(reading.Observe({.queue = 0, .offset = 1}, history.Body({0, 0})).ok());
}

TEST(HistoryDoubtTest, AMessageInDoubtMayBeMissingButNotVanish) {
  History history(7, 1, 64);
  std::string ignored;
  const Sequence sequence = history.Send(0, ignored);
  EXPECT_TRUE(Reading(history).CheckComplete().ok());
  Reading reading(history);
  EXPECT_TRUE(reading.Observe({.queue = 3, .offset = 0}, history.Body(sequence)).ok());
  EXPECT_TRUE(reading.CheckComplete().ok());
  EXPECT_FALSE(Reading(history).CheckComplete().ok());
}

}  // namespace
}  // namespace dunlin::e2e
