#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dunlin/client.h"
#include "dunlin/push_consumer.h"

#include "clients/cpp/testing/fake_broker.h"
#include "services/base/mutex.h"

namespace dunlin {
namespace {

using testing::FakeBroker;
using ::testing::HasSubstr;

namespace v2 = apache::rocketmq::v2;

constexpr std::chrono::seconds kPatience{20};

class BroadcastPushTest : public ::testing::Test {
 protected:
  BroadcastPushTest() {
    broker_.AddTopic("t");
    ClientOptions options;
    options.endpoint = broker_.address();
    auto client = Client::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status();
    client_ = std::make_unique<Client>(*std::move(client));
  }

  void Store(int first, int count, uint32_t queue = 0) {
    for (int i = first; i < first + count; ++i) {
      v2::Message message;
      message.set_body(std::to_string(i));
      broker_.Store("t", queue, message);
    }
  }

  // What one consumer was given.
  struct Listener {
    Mutex mutex;
    CondVar changed;
    std::map<uint32_t, std::vector<std::string>> bodies ABSL_GUARDED_BY(mutex);  // by queue
    size_t count ABSL_GUARDED_BY(mutex) = 0;

    ConsumeResult operator()(const ReceivedMessage& message) {
      MutexLock lock(mutex);
      bodies[message.queue()].emplace_back(message.body());
      ++count;
      changed.SignalAll();
      return ConsumeResult::kAck;
    }
    bool Await(size_t messages) {
      const auto deadline = std::chrono::steady_clock::now() + kPatience;
      MutexLock lock(mutex);
      while (count < messages && changed.WaitUntil(mutex, deadline)) {
      }
      return count == messages;
    }
    std::vector<std::string> Of(uint32_t queue) {
      MutexLock lock(mutex);
      return bodies[queue];
    }
  };

  PushConsumerOptions Options(Listener& listener, const std::string& name) {
    PushConsumerOptions options;
    options.group = "g";
    options.subscriptions = {{"t"}};
    options.broadcasting.emplace();
    options.broadcasting->name = name;
    options.broadcasting->start = StartAt::First();
    options.listener = [&](const ReceivedMessage& message) { return listener(message); };
    return options;
  }
  PushConsumer Make(const PushConsumerOptions& options) {
    auto consumer = client_->MakePushConsumer(options);
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    return *std::move(consumer);
  }

  FakeBroker broker_;
  std::unique_ptr<Client> client_;
};

TEST_F(BroadcastPushTest, EveryConsumerGetsEveryMessageInOrder) {
  Store(0, 100, 0);
  Store(0, 100, 1);
  Listener one;
  Listener other;
  const PushConsumer first = Make(Options(one, ""));
  const PushConsumer second = Make(Options(other, ""));
  for (Listener* listener : {&one, &other}) {
    ASSERT_TRUE(listener->Await(200));
    for (uint32_t queue : {0u, 1u}) {
      const std::vector<std::string> bodies = listener->Of(queue);
      ASSERT_EQ(bodies.size(), 100u);
      for (size_t i = 0; i < bodies.size(); ++i) EXPECT_EQ(bodies[i], std::to_string(i));
    }
  }
  EXPECT_TRUE(broker_.seen().commits.empty());
  EXPECT_TRUE(broker_.seen().verdicts.empty());
}

TEST_F(BroadcastPushTest, OneWithANameCommitsWhatItsListenerWasDoneWith) {
  Store(0, 10, 0);
  Listener listener;
  PushConsumer consumer = Make(Options(listener, "node-1"));
  ASSERT_TRUE(listener.Await(10));
  ASSERT_TRUE(broker_.Await([](const FakeBroker::Seen& seen) {
    const auto commit = seen.commits.find(0);
    return commit != seen.commits.end() && commit->second == 10;
  }));
  consumer.Close();
  for (const auto& attach : broker_.seen().attaches) {
    EXPECT_EQ(attach.offset().start(), dunlin::broker::v1::OffsetMode::COMMITTED);
  }
}

TEST_F(BroadcastPushTest, WhatFailsIsToldAndPassedOver) {
  Store(0, 3, 0);
  Listener listener;
  PushConsumerOptions options = Options(listener, "");
  options.listener = [&](const ReceivedMessage& message) {
    listener(message);
    return message.body() == "1" ? ConsumeResult::kRetry : ConsumeResult::kAck;
  };
  std::string told;
  options.on_error = [&](const absl::Status& status) { told = std::string(status.message()); };
  PushConsumer consumer = Make(options);
  ASSERT_TRUE(listener.Await(3));
  consumer.Close();
  EXPECT_THAT(told, HasSubstr("was not consumed"));
}

TEST_F(BroadcastPushTest, ABatchListenerGetsNoMoreThanItAskedFor) {
  Store(0, 50, 0);
  Mutex mutex;
  size_t most = 0;
  Listener listener;
  PushConsumerOptions options = Options(listener, "");
  options.listener = nullptr;
  options.max_batch = 8;
  options.batch_listener = [&](std::span<const ReceivedMessage> messages,
                               std::span<ConsumeResult> results) {
    EXPECT_EQ(messages.size(), results.size());
    {
      MutexLock lock(mutex);
      most = std::max(most, messages.size());
    }
    for (const ReceivedMessage& message : messages) listener(message);
  };
  PushConsumer consumer = Make(options);
  ASSERT_TRUE(listener.Await(50));
  consumer.Close();
  EXPECT_LE(most, 8u);
}

TEST_F(BroadcastPushTest, ATopicThatIsNotThereIsAnError) {
  Listener listener;
  PushConsumerOptions options = Options(listener, "");
  options.subscriptions = {{"nowhere"}};
  EXPECT_TRUE(absl::IsNotFound(client_->MakePushConsumer(options).status()));
}

}  // namespace
}  // namespace dunlin
