#include "dunlin/producer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "dunlin/client.h"

#include "clients/cpp/testing/fake_broker.h"
#include "services/base/mutex.h"

namespace dunlin {
namespace {

using testing::FakeBroker;
using ::testing::HasSubstr;
using ::testing::Le;

namespace v2 = apache::rocketmq::v2;

constexpr std::chrono::seconds kPatience{20};

Message MakeMessage(const std::string& body) {
  Message message;
  message.topic = "t";
  message.body = body;
  return message;
}

class ProducerTest : public ::testing::Test {
 protected:
  void Start(FakeBroker::Options options = {}) {
    broker_ = std::make_unique<FakeBroker>(options);
    broker_->AddTopic("t");
  }

  Producer MakeProducer(const ProducerOptions& options = {}) {
    ClientOptions client_options;
    client_options.endpoint = broker_->address();
    absl::StatusOr<Client> client = Client::Connect(client_options);
    EXPECT_TRUE(client.ok()) << client.status();
    absl::StatusOr<Producer> producer = client->MakeProducer(options);
    EXPECT_TRUE(producer.ok()) << producer.status();
    return *std::move(producer);
  }

  // Bodies stored in all queues, in order per queue.
  std::vector<std::string> Bodies() {
    std::vector<std::string> bodies;
    for (uint32_t queue = 0; queue < 2; ++queue) {
      for (const v2::Message& message : broker_->Messages("t", queue)) {
        bodies.push_back(message.body());
      }
    }
    return bodies;
  }

  void ExpectEachOnce(int count) {
    std::vector<int> seen(static_cast<size_t>(count));
    for (const std::string& body : Bodies()) ++seen[static_cast<size_t>(std::stoi(body))];
    for (int i = 0; i < count; ++i) EXPECT_EQ(seen[static_cast<size_t>(i)], 1) << "message " << i;
  }

  std::unique_ptr<FakeBroker> broker_;
};

TEST_F(ProducerTest, AReceiptSaysWhereAMessageIs) {
  Start();
  Producer producer = MakeProducer();
  const auto first = producer.Send(MakeMessage("a"));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->offset, 0);
  EXPECT_EQ(first->message_id(),
            "00000001" + std::string(7, '0') + std::to_string(first->queue) + std::string(16, '0'));
  EXPECT_EQ(broker_->MessageCount("t"), 1u);
}

TEST_F(ProducerTest, EverythingOfAMessageArrives) {
  Start();
  Producer producer = MakeProducer();
  Message message = MakeMessage(std::string(100'000, 'b'));
  message.tag = "tag";
  message.keys = {"k1", "k2"};
  message.properties = {{"name", "value"}, {"empty", ""}};
  const auto receipt = producer.Send(message);
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  const v2::Message stored = broker_->Messages("t", receipt->queue).at(0);
  EXPECT_EQ(stored.body(), message.body);
  EXPECT_EQ(stored.system_properties().tag(), "tag");
  ASSERT_EQ(stored.system_properties().keys_size(), 2);
  EXPECT_EQ(stored.system_properties().keys(1), "k2");
  ASSERT_EQ(stored.user_properties_size(), 2);
  EXPECT_EQ(stored.user_properties().at("name"), "value");
}

TEST_F(ProducerTest, MessagesAreSpreadOverTheQueuesInFewFrames) {
  Start();
  ProducerOptions options;
  options.max_batch_bytes = 4096;
  Producer producer = MakeProducer(options);
  constexpr int kCount = 10'000;
  for (int i = 0; i < kCount; ++i) {
    ASSERT_TRUE(producer.SendAsync(MakeMessage(std::to_string(i))).ok());
  }
  ASSERT_TRUE(producer.Flush(kPatience).ok());
  ExpectEachOnce(kCount);
  EXPECT_GT(broker_->Messages("t", 0).size(), 0u);
  EXPECT_GT(broker_->Messages("t", 1).size(), 0u);
  EXPECT_LT(broker_->seen().frames, kCount / 4);
}

TEST_F(ProducerTest, TheFirstMessagesGoToAllQueuesInTurn) {
  FakeBroker::Options options;
  options.queues = 4;
  Start(options);
  Producer producer = MakeProducer();
  std::vector<uint32_t> queues;
  for (int i = 0; i < 8; ++i) queues.push_back(producer.Send(MakeMessage("x"))->queue);
  EXPECT_THAT(queues, ::testing::ElementsAre(0, 1, 2, 3, 0, 1, 2, 3));
}

TEST_F(ProducerTest, NewQueuesAreUsed) {
  Start();
  ProducerOptions options;
  options.streams = 2;
  Producer producer = MakeProducer(options);
  ASSERT_TRUE(producer.Send(MakeMessage("x")).ok());
  broker_->AddQueues("t", 3);
  std::set<uint32_t> queues;
  for (int key = 0; queues.size() < 5; ++key) {
    Message message = MakeMessage("x");
    if (key % 2 == 0) message.ordering_key = std::to_string(key);
    const auto receipt = producer.Send(message);
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    queues.insert(receipt->queue);
  }
}

TEST_F(ProducerTest, MessagesToADeletedTopicFailUntilThereIsAnotherOne) {
  Start();
  broker_->AddQueues("t", 2);
  Producer producer = MakeProducer();
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(producer.Send(MakeMessage("x")).ok());
  broker_->DeleteTopic("t");
  const auto refused = producer.Send(MakeMessage("x"));
  EXPECT_TRUE(absl::IsNotFound(refused.status())) << refused.status();
  EXPECT_THAT(refused.status().ToString(), HasSubstr("TOPIC_NOT_FOUND"));
  broker_->AddTopic("t");  // with two queues, not four
  while (!producer.Send(MakeMessage("x")).ok()) {
  }
  std::set<uint32_t> queues;
  for (int i = 0; i < 8; ++i) {
    const auto receipt = producer.Send(MakeMessage("x"));
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    EXPECT_EQ(receipt->topic_id, 2u);
    queues.insert(receipt->queue);
  }
  EXPECT_THAT(queues, ::testing::ElementsAre(0, 1));
}

TEST_F(ProducerTest, CallbacksOfAQueueComeInOrderWithTheirOffsets) {
  Start();
  Producer producer = MakeProducer();
  constexpr int kCount = 1000;
  Mutex mutex;
  std::vector<std::vector<int64_t>> offsets(2);
  std::atomic<int> called{0};
  for (int i = 0; i < kCount; ++i) {
    ASSERT_TRUE(producer
                    .SendAsync(MakeMessage(std::to_string(i)),
                               [&](const absl::StatusOr<Receipt>& receipt) {
                                 ASSERT_TRUE(receipt.ok());
                                 MutexLock lock(mutex);
                                 offsets[receipt->queue].push_back(receipt->offset);
                                 called.fetch_add(1);
                               })
                    .ok());
  }
  ASSERT_TRUE(producer.Flush(kPatience).ok());
  EXPECT_EQ(called.load(), kCount);
  for (const auto& queue : offsets) {
    for (size_t i = 0; i < queue.size(); ++i) EXPECT_EQ(queue[i], static_cast<int64_t>(i));
  }
}

TEST_F(ProducerTest, OneOrderingKeyIsOneQueueInOrder) {
  Start();
  Producer producer = MakeProducer();
  constexpr int kCount = 2000;
  for (int i = 0; i < kCount; ++i) {
    Message message = MakeMessage(std::to_string(i));
    message.ordering_key = "customer";
    ASSERT_TRUE(producer.SendAsync(message).ok());
  }
  ASSERT_TRUE(producer.Flush(kPatience).ok());
  const std::vector<std::string> bodies = Bodies();
  ASSERT_EQ(bodies.size(), static_cast<size_t>(kCount));
  for (int i = 0; i < kCount; ++i) EXPECT_EQ(bodies[static_cast<size_t>(i)], std::to_string(i));
}

TEST_F(ProducerTest, BrokenStreamsNeitherLoseNorDouble) {
  Start();
  Producer producer = MakeProducer();
  constexpr int kCount = 20'000;
  std::atomic<int> stored{0};
  for (int i = 0; i < kCount; ++i) {
    if (i % 4000 == 2000) broker_->BreakStreams();
    ASSERT_TRUE(producer
                    .SendAsync(MakeMessage(std::to_string(i)),
                               [&](const absl::StatusOr<Receipt>& receipt) {
                                 if (receipt.ok()) stored.fetch_add(1);
                               })
                    .ok());
  }
  ASSERT_TRUE(producer.Flush(kPatience).ok());
  EXPECT_EQ(stored.load(), kCount);
  ExpectEachOnce(kCount);
}

TEST_F(ProducerTest, WhatWasStoredButNotAnsweredIsNotStoredAgain) {
  Start();
  Producer producer = MakeProducer();
  ASSERT_TRUE(producer.Send(MakeMessage("0")).ok());
  broker_->LoseAcks(true);
  std::atomic<int> unknown{0};
  for (int i = 1; i < 50; ++i) {
    ASSERT_TRUE(producer
                    .SendAsync(MakeMessage(std::to_string(i)),
                               [&](const absl::StatusOr<Receipt>& receipt) {
                                 if (receipt.ok() && receipt->offset < 0) unknown.fetch_add(1);
                               })
                    .ok());
  }
  ASSERT_TRUE(broker_->Await([](const FakeBroker::Seen& seen) { return seen.frames >= 2; }));
  broker_->LoseAcks(false);
  broker_->BreakStreams();
  ASSERT_TRUE(producer.Flush(kPatience).ok());
  ExpectEachOnce(50);
  EXPECT_GT(unknown.load(), 0);
}

TEST_F(ProducerTest, ARefusalInTheMiddleOfAFrameIsOfThatMessageOnly) {
  Start();
  broker_->Refuse([](const v2::Message& message) -> std::optional<FakeBroker::Refusal> {
    if (std::stoi(message.body()) % 10 != 3) return std::nullopt;
    return FakeBroker::Refusal{v2::ILLEGAL_MESSAGE_TAG};
  });
  Producer producer = MakeProducer();
  constexpr int kCount = 1000;
  std::atomic<int> wrong{0};
  std::atomic<int> called{0};
  for (int i = 0; i < kCount; ++i) {
    ASSERT_TRUE(producer
                    .SendAsync(MakeMessage(std::to_string(i)),
                               [&, i](const absl::StatusOr<Receipt>& receipt) {
                                 const bool refused = absl::IsInvalidArgument(receipt.status());
                                 if (refused != (i % 10 == 3)) wrong.fetch_add(1);
                                 called.fetch_add(1);
                               })
                    .ok());
  }
  ASSERT_TRUE(producer.Flush(kPatience).ok());
  EXPECT_EQ(called.load(), kCount);
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(broker_->MessageCount("t"), static_cast<size_t>(kCount * 9 / 10));
}

TEST_F(ProducerTest, TooManyRequestsIsTriedAgainAfterTheWaitThatWasAskedFor) {
  Start();
  std::atomic<int> refusals{0};
  constexpr std::chrono::milliseconds kWait{40};
  broker_->Refuse([&](const v2::Message& message) -> std::optional<FakeBroker::Refusal> {
    if (message.body() != "500" || refusals.fetch_add(1) >= 3) return std::nullopt;
    return FakeBroker::Refusal{v2::TOO_MANY_REQUESTS, static_cast<uint32_t>(kWait.count())};
  });
  Producer producer = MakeProducer();
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(producer.SendAsync(MakeMessage(std::to_string(i))).ok());
  }
  ASSERT_TRUE(producer.Flush(kPatience).ok());
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 3 * kWait);
  EXPECT_EQ(refusals.load(), 4);
  ExpectEachOnce(1000);
}

TEST_F(ProducerTest, AMessageGoesToTheQueueThatItNames) {
  Start();
  Producer producer = MakeProducer();
  for (uint32_t i = 0; i < 20; ++i) {
    Message message = MakeMessage(std::to_string(i));
    message.ordering_key = "the same";
    message.queue = i % 2;
    const auto receipt = producer.Send(message);
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    EXPECT_EQ(receipt->queue, i % 2);
  }
  Message message = MakeMessage("nowhere");
  message.queue = 2;
  const auto receipt = producer.Send(message);
  EXPECT_TRUE(absl::IsInvalidArgument(receipt.status()));
  EXPECT_THAT(std::string(receipt.status().message()), HasSubstr("run from 0 to 1"));
}

TEST_F(ProducerTest, ABrokerThatHasTooMuchToDoIsLeftAloneByAllQueues) {
  Start();
  Producer producer = MakeProducer();
  constexpr std::chrono::milliseconds kWait{300};
  std::atomic<bool> refused{false};
  std::chrono::steady_clock::time_point refused_at;
  broker_->Refuse([&](const v2::Message& message) -> std::optional<FakeBroker::Refusal> {
    if (message.body() != "first" || refused.load()) return std::nullopt;
    refused_at = std::chrono::steady_clock::now();
    refused.store(true);
    return FakeBroker::Refusal{v2::TOO_MANY_REQUESTS, static_cast<uint32_t>(kWait.count())};
  });
  std::atomic<bool> stored{false};
  Message first = MakeMessage("first");
  first.queue = 0;
  ASSERT_TRUE(
      producer.SendAsync(first, [&](const auto& receipt) { stored.store(receipt.ok()); }).ok());
  // What leaves before the refusal has come back is not held: send until one is.
  std::chrono::steady_clock::duration longest{0};
  while (!stored.load()) {
    Message other = MakeMessage("other");
    other.queue = 1;
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_TRUE(producer.Send(other).ok());
    longest = std::max(longest, std::chrono::steady_clock::now() - begin);
  }
  EXPECT_GE(std::chrono::steady_clock::now() - refused_at, kWait);
  EXPECT_GE(longest, kWait / 2);
}

TEST_F(ProducerTest, TheBrokersCreditIsKept) {
  FakeBroker::Options options;
  options.publish_credit_bytes = 20'000;
  Start(options);
  ProducerOptions producer_options;
  producer_options.max_batch_bytes = 4096;
  Producer producer = MakeProducer(producer_options);
  ASSERT_TRUE(producer.Send(MakeMessage("0")).ok());
  broker_->HoldAcks(true);
  for (int i = 1; i < 1000; ++i) {
    ASSERT_TRUE(producer.SendAsync(MakeMessage(std::to_string(i))).ok());
    Message large = MakeMessage(std::to_string(i + 1000));
    large.keys = {std::string(200, 'k')};
    ASSERT_TRUE(producer.SendAsync(large).ok());
  }
  ASSERT_TRUE(
      broker_->Await([](const FakeBroker::Seen& seen) { return seen.most_unanswered > 10'000; }));
  broker_->HoldAcks(false);
  ASSERT_TRUE(producer.Flush(kPatience).ok());
  EXPECT_THAT(broker_->seen().most_unanswered, Le(20'000u));
  EXPECT_EQ(broker_->MessageCount("t"), 1999u);
}

TEST_F(ProducerTest, MemoryIsBounded) {
  Start();
  ProducerOptions options;
  options.max_pending_bytes = 100'000;
  options.block_when_full = false;
  Producer producer = MakeProducer(options);
  broker_->HoldAcks(true);
  int sent = 0;
  absl::Status status;
  while ((status = producer.SendAsync(MakeMessage(std::to_string(sent)))).ok()) ++sent;
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(producer.pending_bytes(), Le(100'000u));
  broker_->HoldAcks(false);
  ASSERT_TRUE(producer.Flush(kPatience).ok());
  EXPECT_EQ(producer.pending_bytes(), 0u);
  ExpectEachOnce(sent);
}

TEST_F(ProducerTest, AFullProducerWaitsForRoom) {
  Start();
  ProducerOptions options;
  options.max_pending_bytes = 10'000;
  Producer producer = MakeProducer(options);
  constexpr int kCount = 20'000;
  for (int i = 0; i < kCount; ++i) {
    ASSERT_TRUE(producer.SendAsync(MakeMessage(std::to_string(i))).ok());
    ASSERT_THAT(producer.pending_bytes(), Le(10'000u));
  }
  ASSERT_TRUE(producer.Flush(kPatience).ok());
  ExpectEachOnce(kCount);
}

TEST_F(ProducerTest, NobodyWaitsForAMessageThatWasNotTaken) {
  Start();
  Producer producer = MakeProducer();
  ASSERT_TRUE(producer.Send(MakeMessage("x")).ok());
  std::atomic<bool> flushing{false};
  std::atomic<bool> done{false};
  std::thread flusher([&] {
    flushing = true;
    while (!done.load()) EXPECT_TRUE(producer.Flush(std::chrono::hours(1)).ok());
  });
  while (!flushing.load()) std::this_thread::yield();
  const Message too_large = MakeMessage(std::string(8 << 20, 'x'));
  for (int i = 0; i < 50'000; ++i) {
    ASSERT_TRUE(absl::IsInvalidArgument(producer.SendAsync(too_large)));
  }
  done = true;
  flusher.join();
}

TEST_F(ProducerTest, AnUnknownTopicFailsItsMessages) {
  Start();
  Producer producer = MakeProducer();
  Message message = MakeMessage("x");
  message.topic = "nowhere";
  EXPECT_TRUE(absl::IsNotFound(producer.Send(message).status()));
  message.ordering_key = "k";
  EXPECT_TRUE(absl::IsNotFound(producer.Send(message).status()));
  broker_->AddTopic("nowhere");
  EXPECT_TRUE(producer.Send(message).ok());
}

TEST_F(ProducerTest, ABindingThatIsRefusedForNowIsTriedAgain) {
  Start();
  ProducerOptions options;
  options.send_timeout = std::chrono::hours(1);
  Producer producer = MakeProducer(options);
  broker_->RefuseBindings(2, v2::TOO_MANY_REQUESTS);
  Message message = MakeMessage("x");
  // A topic that has no route: only the answer to a binding tells.
  message.topic = "nowhere";
  message.ordering_key = "k";
  EXPECT_TRUE(absl::IsNotFound(producer.Send(message).status()));
  EXPECT_EQ(broker_->seen().bindings, 3);
}

TEST_F(ProducerTest, UnansweredMessagesTimeOutAndTheNextOnesArriveAllTheSame) {
  Start();
  ProducerOptions options;
  options.send_timeout = std::chrono::milliseconds(100);
  Producer producer = MakeProducer(options);
  ASSERT_TRUE(producer.Send(MakeMessage("0")).ok());
  broker_->HoldAcks(true);
  EXPECT_TRUE(absl::IsDeadlineExceeded(producer.Send(MakeMessage("1")).status()));
  broker_->HoldAcks(false);
  for (int i = 2; i < 10; ++i) {
    while (!producer.Send(MakeMessage(std::to_string(i))).ok()) {
    }
  }
  EXPECT_GE(broker_->MessageCount("t"), 9u);
}

TEST_F(ProducerTest, ClosingFailsWhatIsInFlight) {
  Start();
  std::optional<Producer> producer(MakeProducer());
  ASSERT_TRUE(producer->Send(MakeMessage("0")).ok());
  broker_->HoldAcks(true);
  std::atomic<int> cancelled{0};
  for (int i = 1; i <= 100; ++i) {
    ASSERT_TRUE(producer
                    ->SendAsync(MakeMessage(std::to_string(i)),
                                [&](const absl::StatusOr<Receipt>& receipt) {
                                  if (absl::IsCancelled(receipt.status())) cancelled.fetch_add(1);
                                })
                    .ok());
  }
  EXPECT_TRUE(absl::IsDeadlineExceeded(producer->Close(std::chrono::milliseconds(10))));
  EXPECT_EQ(cancelled.load(), 100);
  EXPECT_TRUE(absl::IsFailedPrecondition(producer->SendAsync(MakeMessage("x"))));
  producer.reset();
}

TEST_F(ProducerTest, ADestructorSendsWhatIsUnderWay) {
  Start();
  {
    Producer producer = MakeProducer();
    for (int i = 0; i < 1000; ++i) {
      ASSERT_TRUE(producer.SendAsync(MakeMessage(std::to_string(i))).ok());
    }
  }
  ExpectEachOnce(1000);
}

TEST_F(ProducerTest, ManyThreadsAndStreamsShareAProducer) {
  Start();
  ProducerOptions options;
  options.streams = 2;
  Producer producer = MakeProducer(options);
  constexpr int kThreads = 4;
  constexpr int kEach = 2000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&producer, t] {
      for (int i = 0; i < kEach; ++i) {
        ASSERT_TRUE(producer.SendAsync(MakeMessage(std::to_string(t * kEach + i))).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(producer.Flush(kPatience).ok());
  ExpectEachOnce(kThreads * kEach);
}

TEST_F(ProducerTest, LargeBodiesAreCompressed) {
  Start();
  ProducerOptions options;
  options.compress_from_bytes = 1000;
  Producer producer = MakeProducer(options);
  const auto receipt = producer.Send(MakeMessage(std::string(5000, 'c')));
  ASSERT_TRUE(receipt.ok());
  const v2::Message stored = broker_->Messages("t", receipt->queue).at(0);
  EXPECT_EQ(stored.system_properties().body_encoding(), v2::GZIP);
  EXPECT_LT(stored.body().size(), 200u);
}

TEST_F(ProducerTest, MessagesThatMakeNoSenseAreRefusedAtOnce) {
  Start();
  Producer producer = MakeProducer();
  EXPECT_TRUE(absl::IsInvalidArgument(producer.SendAsync(Message())));
  const absl::Status status = producer.SendAsync(MakeMessage(std::string(8 << 20, 'x')));
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("up to"));
}

}  // namespace
}  // namespace dunlin
