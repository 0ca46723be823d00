#include "clients/cpp/src/publish_queue.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "dunlin/message.h"

#include "clients/cpp/src/message_encoder.h"
#include "clients/cpp/src/ticker.h"

namespace dunlin::internal {
namespace {

class PublishQueueTest : public ::testing::Test {
 protected:
  explicit PublishQueueTest(size_t max_batch_bytes = 4 << 20)
      : queue_("t", 0, 1, {max_batch_bytes, 1000},
               std::make_shared<BufferPool>(max_batch_bytes, 4)) {
    message_.topic = "t";
    message_.body = "b";
  }

  // Whether a batch became full.
  bool Append(int count = 1) {
    bool filled = false;
    for (int i = 0; i < count; ++i) {
      filled |= queue_.Append(MessageEncoder(message_, message_.body, false), nullptr);
    }
    return filled;
  }

  void Bind(uint64_t last_sequence = 0) { queue_.OnBound(last_sequence, 1, outcomes_); }

  int SendAll() {
    int frames = 0;
    for (; queue_.CanSend(); ++frames) queue_.TakeFrame(steady_clock::now());
    return frames;
  }

  void Refuse(uint64_t sequence) {
    queue_.OnRefused(sequence, 1, absl::InvalidArgumentError("no"), outcomes_);
  }

  // Of all outcomes, in order: "4 ok, 1 refused, ..."
  std::string Told() const {
    std::string told;
    for (const Outcome& outcome : outcomes_) {
      if (!told.empty()) told += ", ";
      told += std::to_string(outcome.report.count);
      told += outcome.report.status.ok() ? " ok" : " refused";
    }
    return told;
  }

  Message message_;
  Outcomes outcomes_;
  PublishQueue queue_;
};

TEST_F(PublishQueueTest, AFrameHoldsNoMoreMessagesThanTheContractAllows) {
  Bind();
  EXPECT_FALSE(Append(65536));
  EXPECT_TRUE(Append());
  EXPECT_EQ(SendAll(), 2);
  queue_.OnAck(1, 65536, 0, outcomes_);
  EXPECT_EQ(queue_.next_sequence(), 65537u);
  EXPECT_EQ(Told(), "65536 ok");
}

TEST_F(PublishQueueTest, RefusalsInAnyOrderAreToldInTurn) {
  Bind();
  Append(10);
  SendAll();
  for (const uint64_t sequence : {7, 3, 9, 3, 8}) Refuse(sequence);
  EXPECT_EQ(Told(), "");
  queue_.OnAck(10, 1, 5, outcomes_);
  EXPECT_EQ(Told(), "2 ok, 1 refused, 3 ok, 1 refused, 1 refused, 1 refused, 1 ok");
  EXPECT_TRUE(queue_.empty());
}

TEST_F(PublishQueueTest, AWholePipelineOfRefusalsTakesNoLongerThanOneOfAcks) {
  Bind();
  constexpr uint64_t kCount = 300'000;
  Append(kCount);
  SendAll();
  // Behind one that is missing, so that all of them are kept.
  for (uint64_t sequence = 2; sequence <= kCount; ++sequence) Refuse(sequence);
  EXPECT_EQ(outcomes_.size(), 0u);
  Refuse(1);
  EXPECT_EQ(outcomes_.size(), kCount);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(PublishQueueTest, WhatIsAcceptedTheSecondTimeIsNotRefused) {
  Bind();
  Append(6);
  SendAll();
  Refuse(2);
  Refuse(4);
  queue_.OnUnbound();
  Bind(2);  // the broker has the second one behind it; the fourth comes again
  EXPECT_EQ(Told(), "1 ok, 1 refused");
  SendAll();
  Refuse(5);
  queue_.SendAgain(4, SteadyTime::min());
  queue_.Resume(steady_clock::now());
  SendAll();
  queue_.OnAck(3, 4, 0, outcomes_);
  EXPECT_EQ(Told(), "1 ok, 1 refused, 4 ok");
}

TEST_F(PublishQueueTest, AnOldBatchThatCannotLeaveTakesNoMore) {
  Append();
  queue_.SealOlderThan(steady_clock::now() - std::chrono::hours(1));
  Append();
  queue_.SealOlderThan(SteadyTime::max());
  Append();
  Bind();
  EXPECT_EQ(SendAll(), 2);
}

// Of all outcomes: bytes that are not pending any more.
size_t BytesOf(const Outcomes& outcomes) {
  size_t bytes = 0;
  for (const Outcome& outcome : outcomes) bytes += outcome.bytes;
  return bytes;
}

class GivenAwayTest : public PublishQueueTest {
 protected:
  GivenAwayTest()
      : other_("t", 1, 2, {4 << 20, 1000}, std::make_shared<BufferPool>(size_t{4} << 20, 4)),
        message_bytes_(MessageEncoder(message_, message_.body, false).size()) {
    other_.OnBound(0, 1, outcomes_);
  }

  void Give(std::vector<std::unique_ptr<PublishBatch>> batches) {
    for (auto& batch : batches) other_.Adopt(std::move(batch));
  }

  PublishQueue other_;
  const size_t message_bytes_;
};

TEST_F(GivenAwayTest, WhatWasNeverSentHasNoSequenceHere) {
  Bind();
  Append(3);
  SendAll();
  Append(2);
  queue_.OnUnbound();
  Give(queue_.TakeUnsent());
  // The other queue has sequences of its own.
  other_.TakeFrame(steady_clock::now());
  other_.OnAck(1, 2, 0, outcomes_);
  EXPECT_EQ(Told(), "2 ok");
  EXPECT_EQ(outcomes_.back().report.queue, 1u);
  // What comes here follows what was sent here.
  Append();
  Bind();
  EXPECT_EQ(SendAll(), 2);
  queue_.OnAck(1, 4, 0, outcomes_);
  EXPECT_EQ(queue_.next_sequence(), 5u);
  EXPECT_EQ(Told(), "2 ok, 3 ok, 1 ok");
  EXPECT_EQ(BytesOf(outcomes_), 6 * message_bytes_);
}

TEST_F(GivenAwayTest, WhatWasSentLeavesItsSequencesBehind) {
  Bind();
  Append(5);
  SendAll();
  queue_.OnAck(1, 2, 0, outcomes_);
  EXPECT_EQ(BytesOf(outcomes_), 0u);  // they are freed with the others of their frame
  queue_.OnUnbound();
  EXPECT_TRUE(queue_.TakeUnsent().empty());
  Give(queue_.TakeAll());
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(queue_.next_sequence(), 6u);
  other_.TakeFrame(steady_clock::now());
  other_.OnAck(1, 3, 0, outcomes_);
  EXPECT_EQ(Told(), "2 ok, 3 ok");
  EXPECT_EQ(BytesOf(outcomes_), 5 * message_bytes_);
}

TEST_F(GivenAwayTest, AMessageThatChoseItsQueueIsNoticed) {
  Append();
  EXPECT_FALSE(queue_.HasPinned());
  message_.ordering_key = "k";
  Append();
  EXPECT_TRUE(queue_.HasPinned());
}

}  // namespace
}  // namespace dunlin::internal
