#include "services/broker/trace/message_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "services/base/testing/manual_clock.h"

namespace dunlin::broker {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr QueueKey kQueue{TopicId(1), 0};

TEST(MessageTraceTest, TellsWhoDidWhatInOrder) {
  ManualClock clock;
  MessageTrace trace(100, clock);
  const uint32_t producer = trace.NumberOf("producer");
  const uint32_t consumer = trace.NumberOf("consumer");
  EXPECT_EQ(trace.NumberOf("producer"), producer);
  trace.Note(TraceStep::kStored, kQueue, QueueOffset(10), 5, {.client = producer});
  clock.Advance(std::chrono::milliseconds(7));
  trace.Note(TraceStep::kDelivered, kQueue, QueueOffset(12), 1,
             {.client = consumer, .group = GroupId(3), .attempt = 2});

  const std::vector<TraceEvent> events = trace.Find(kQueue, QueueOffset(12));
  ASSERT_THAT(events, SizeIs(2));
  EXPECT_EQ(events[0].step, TraceStep::kStored);
  EXPECT_EQ(events[0].client, "producer");
  EXPECT_EQ(events[1].step, TraceStep::kDelivered);
  EXPECT_EQ(events[1].client, "consumer");
  EXPECT_EQ(events[1].group, GroupId(3));
  EXPECT_EQ(events[1].attempt, 2u);
  EXPECT_EQ(events[1].time - events[0].time, std::chrono::milliseconds(7));

  EXPECT_THAT(trace.Find(kQueue, QueueOffset(10)), SizeIs(1));
  EXPECT_THAT(trace.Find(kQueue, QueueOffset(9)), IsEmpty());
  EXPECT_THAT(trace.Find(kQueue, QueueOffset(15)), IsEmpty());
  EXPECT_THAT(trace.Find({TopicId(1), 1}, QueueOffset(12)), IsEmpty());
  EXPECT_THAT(trace.Find({TopicId(2), 0}, QueueOffset(12)), IsEmpty());
}

TEST(MessageTraceTest, KeepsTheNewest) {
  ManualClock clock;
  MessageTrace trace(80, clock);  // ten for each eighth of the queues
  for (uint64_t i = 0; i < 25; ++i) {
    trace.Note(TraceStep::kStored, kQueue, QueueOffset(i), 1, {});
    clock.Advance(std::chrono::milliseconds(1));
  }
  EXPECT_THAT(trace.Find(kQueue, QueueOffset(14)), IsEmpty());
  EXPECT_THAT(trace.Find(kQueue, QueueOffset(15)), SizeIs(1));
  EXPECT_THAT(trace.Find(kQueue, QueueOffset(24)), SizeIs(1));
}

TEST(MessageTraceTest, NoneAtAll) {
  ManualClock clock;
  MessageTrace trace(0, clock);
  EXPECT_FALSE(trace.enabled());
  EXPECT_EQ(trace.NumberOf("client"), 0u);
  trace.Note(TraceStep::kStored, kQueue, QueueOffset(0), 1, {});
  EXPECT_THAT(trace.Find(kQueue, QueueOffset(0)), IsEmpty());
}

TEST(MessageTraceTest, ForgetsTheOldestNames) {
  ManualClock clock;
  MessageTrace trace(100, clock);
  const uint32_t first = trace.NumberOf("first");
  trace.Note(TraceStep::kStored, kQueue, QueueOffset(0), 1, {.client = first});
  for (int i = 0; i < 70'000; ++i) trace.NumberOf("client-" + std::to_string(i));
  const uint32_t last = trace.NumberOf("client-69999");
  trace.Note(TraceStep::kStored, kQueue, QueueOffset(1), 1, {.client = last});
  ASSERT_THAT(trace.Find(kQueue, QueueOffset(0)), SizeIs(1));
  EXPECT_EQ(trace.Find(kQueue, QueueOffset(0))[0].client, "");
  EXPECT_EQ(trace.Find(kQueue, QueueOffset(1))[0].client, "client-69999");
  EXPECT_NE(trace.NumberOf("first"), first);
}

TEST(MessageTraceTest, ManyThreadsAtOnce) {
  ManualClock clock;
  MessageTrace trace(10'000, clock);
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&trace, t] {
      const uint32_t client = trace.NumberOf("client-" + std::to_string(t));
      for (uint64_t i = 0; i < 200; ++i) {
        trace.Note(TraceStep::kStored, {TopicId(1), t}, QueueOffset(i), 1, {.client = client});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (uint32_t t = 0; t < 4; ++t) {
    for (uint64_t i = 0; i < 200; ++i) {
      const std::vector<TraceEvent> events = trace.Find({TopicId(1), t}, QueueOffset(i));
      ASSERT_THAT(events, SizeIs(1));
      EXPECT_EQ(events[0].client, "client-" + std::to_string(t));
    }
  }
}

}  // namespace
}  // namespace dunlin::broker
