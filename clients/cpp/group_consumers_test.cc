#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "dunlin/client.h"
#include "dunlin/push_consumer.h"
#include "dunlin/simple_consumer.h"

#include "clients/cpp/testing/fake_broker.h"
#include "services/base/mutex.h"

namespace dunlin {
namespace {

using testing::FakeBroker;

namespace v1 = dunlin::broker::v1;
namespace v2 = apache::rocketmq::v2;

constexpr std::chrono::seconds kPatience{20};

class GroupConsumersTest : public ::testing::Test {
 protected:
  GroupConsumersTest() {
    broker_.AddTopic("t");
    ClientOptions options;
    options.endpoint = broker_.address();
    absl::StatusOr<Client> client = Client::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status();
    client_ = std::make_unique<Client>(*std::move(client));
  }

  SimpleConsumer MakeSimple(SimpleConsumerOptions options = {}) {
    options.group = "g";
    absl::StatusOr<SimpleConsumer> consumer = client_->MakeSimpleConsumer(options);
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    const absl::Status status = consumer->Subscribe("t");
    EXPECT_TRUE(status.ok()) << status;
    return *std::move(consumer);
  }

  void Store(int count) {
    for (int i = 0; i < count; ++i) {
      v2::Message message;
      message.set_body(std::to_string(i));
      broker_.Store("t", static_cast<uint32_t>(i % 2), message);
    }
  }

  static std::vector<ReceivedMessage> Receive(SimpleConsumer& consumer, size_t count) {
    std::vector<ReceivedMessage> messages;
    while (messages.size() < count) {
      const auto some = consumer.Receive(count - messages.size(), kPatience);
      EXPECT_TRUE(some.ok()) << some.status();
      if (!some.ok() || some->empty()) break;
      messages.insert(messages.end(), some->begin(), some->end());
    }
    return messages;
  }

  size_t Count(v1::Verdict::Outcome outcome) {
    size_t count = 0;
    for (const v1::Verdict& verdict : broker_.seen().verdicts) {
      count += verdict.outcome() == outcome ? 1 : 0;
    }
    return count;
  }

  FakeBroker broker_;
  std::unique_ptr<Client> client_;
};

TEST_F(GroupConsumersTest, EveryMessageIsReceivedAndAcknowledgedOnce) {
  Store(1000);
  SimpleConsumer consumer = MakeSimple();
  std::map<std::string, int> bodies;
  for (const ReceivedMessage& message : Receive(consumer, 1000)) {
    ++bodies[std::string(message.body())];
    EXPECT_EQ(message.attempt(), 1u);
    ASSERT_TRUE(consumer.Ack(message).ok());
  }
  EXPECT_EQ(bodies.size(), 1000u);
  const auto nothing = consumer.Receive(1, std::chrono::milliseconds(0));
  EXPECT_TRUE(nothing.ok() && nothing->empty());
  consumer.Close();
  EXPECT_EQ(Count(v1::Verdict::ACK), 1000u);
  EXPECT_EQ(consumer.late_settlements(), 0u);
}

TEST_F(GroupConsumersTest, ARetryIsTheNextAttemptAndAReleaseIsNot) {
  Store(1);
  SimpleConsumer consumer = MakeSimple();
  ASSERT_TRUE(consumer.Retry(Receive(consumer, 1).at(0), std::chrono::milliseconds(0)).ok());
  const ReceivedMessage second = Receive(consumer, 1).at(0);
  EXPECT_EQ(second.attempt(), 2u);
  ASSERT_TRUE(consumer.Release(second, std::chrono::milliseconds(0)).ok());
  EXPECT_EQ(Receive(consumer, 1).at(0).attempt(), 2u);
}

TEST_F(GroupConsumersTest, AnExtendedMessageIsSettledWithItsNewLease) {
  Store(1);
  SimpleConsumer consumer = MakeSimple();
  const ReceivedMessage message = Receive(consumer, 1).at(0);
  ASSERT_TRUE(consumer.Extend(message, std::chrono::seconds(30)).ok());
  ASSERT_TRUE(consumer.Extend(message, std::chrono::seconds(30)).ok());
  ASSERT_TRUE(consumer.Ack(message).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(consumer.Extend(message, std::chrono::seconds(30))));
  consumer.Close();
  EXPECT_EQ(consumer.late_settlements(), 1u);
}

TEST_F(GroupConsumersTest, NoMoreIsLeasedThanMayBeUnsettled) {
  Store(100);
  SimpleConsumerOptions options;
  options.max_unsettled = 10;
  SimpleConsumer consumer = MakeSimple(options);
  const std::vector<ReceivedMessage> first = Receive(consumer, 10);
  ASSERT_EQ(first.size(), 10u);
  const auto nothing = consumer.Receive(1, std::chrono::milliseconds(20));
  ASSERT_TRUE(nothing.ok() && nothing->empty());
  for (const ReceivedMessage& message : first) ASSERT_TRUE(consumer.Ack(message).ok());
  EXPECT_EQ(Receive(consumer, 10).size(), 10u);
}

TEST_F(GroupConsumersTest, ClosingGivesBackWhatWasNotHandedOut) {
  Store(50);
  SimpleConsumer consumer = MakeSimple();
  ASSERT_EQ(Receive(consumer, 3).size(), 3u);
  consumer.Close();
  EXPECT_GT(Count(v1::Verdict::RELEASE), 0u);
  EXPECT_TRUE(
      absl::IsFailedPrecondition(consumer.Receive(1, std::chrono::milliseconds(0)).status()));
}

TEST_F(GroupConsumersTest, AMessageWithAWrongChecksumIsNotHandedOut) {
  Store(1);
  broker_.Corrupt(1);
  SimpleConsumer consumer = MakeSimple();
  v2::Message good;
  good.set_body("good");
  broker_.Store("t", 0, good);
  EXPECT_EQ(Receive(consumer, 1).at(0).body(), "good");
}

TEST_F(GroupConsumersTest, BuffersWhoseLeasesAreOverAreNotHandedOut) {
  Store(5);
  SimpleConsumerOptions options;
  options.invisible_duration = std::chrono::milliseconds(1);
  SimpleConsumer consumer = MakeSimple(options);
  ASSERT_TRUE(
      broker_.Await([](const FakeBroker::Seen& seen) { return seen.attaches.size() == 1; }));
  const auto nothing = consumer.Receive(10, std::chrono::milliseconds(0));
  ASSERT_TRUE(nothing.ok());
}

TEST_F(GroupConsumersTest, AfterABrokenStreamTheConsumerIsAMemberAgain) {
  SimpleConsumer consumer = MakeSimple();
  for (int i = 0; i < 3; ++i) {
    broker_.BreakStreams();
    ASSERT_TRUE(broker_.Await([i](const FakeBroker::Seen& seen) {
      return seen.attaches.size() == static_cast<size_t>(i + 2);
    }));
    v2::Message message;
    message.set_body("x");
    broker_.Store("t", 0, message);
    const ReceivedMessage received = Receive(consumer, 1).at(0);
    EXPECT_EQ(received.offset(), static_cast<uint64_t>(i));
    ASSERT_TRUE(consumer.Ack(received).ok());
    ASSERT_TRUE(broker_.Await([i](const FakeBroker::Seen& seen) {
      return seen.verdicts.size() == static_cast<size_t>(i + 1);
    }));
  }
}

TEST_F(GroupConsumersTest, ErrorsOfSubscribeSayWhatIsWrong) {
  SimpleConsumer consumer = MakeSimple();
  EXPECT_TRUE(absl::IsNotFound(consumer.Subscribe("nowhere")));
  EXPECT_TRUE(absl::IsAlreadyExists(consumer.Subscribe("t")));
  EXPECT_TRUE(consumer.Unsubscribe("t").ok());
  EXPECT_TRUE(absl::IsNotFound(consumer.Unsubscribe("t")));
  EXPECT_TRUE(consumer.Subscribe("t").ok());
  broker_.DetachAll(v2::CONSUMER_GROUP_NOT_FOUND);
  EXPECT_TRUE(absl::IsNotFound(consumer.Receive(1, kPatience).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(client_->MakeSimpleConsumer({}).status()));
}

TEST_F(GroupConsumersTest, ASubscriptionWithoutRoomAtTheBrokerComesBack) {
  SimpleConsumer consumer = MakeSimple();
  broker_.DetachAll(v2::TOO_MANY_REQUESTS);
  ASSERT_TRUE(
      broker_.Await([](const FakeBroker::Seen& seen) { return seen.attaches.size() == 2; }));
  Store(1);
  EXPECT_EQ(Receive(consumer, 1).size(), 1u);  // and no error
}

TEST_F(GroupConsumersTest, AListenerSeesEveryMessageAndItsRetries) {
  Store(500);
  Mutex mutex;
  std::map<std::string, int> seen;
  PushConsumerOptions options;
  options.group = "g";
  options.subscriptions = {{"t"}};
  options.retry_delay = std::chrono::milliseconds(0);
  options.listener = [&](const ReceivedMessage& message) {
    MutexLock lock(mutex);
    const std::string body(message.body());
    // Every tenth fails once.
    const bool fails = body.back() == '7' && seen[body] == 0;
    ++seen[body];
    return fails ? ConsumeResult::kRetry : ConsumeResult::kAck;
  };
  auto consumer = client_->MakePushConsumer(options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  ASSERT_TRUE(
      broker_.Await([](const FakeBroker::Seen& all) { return all.verdicts.size() == 550; }));
  consumer->Close();
  EXPECT_EQ(Count(v1::Verdict::ACK), 500u);
  EXPECT_EQ(Count(v1::Verdict::RETRY), 50u);
  EXPECT_EQ(seen.size(), 500u);
}

TEST_F(GroupConsumersTest, WithoutADelayOfItsOwnTheGroupsPolicyCounts) {
  Store(1);
  PushConsumerOptions options;
  options.group = "g";
  options.subscriptions = {{"t"}};
  options.listener = [](const ReceivedMessage& message) {
    return message.attempt() == 1 ? ConsumeResult::kRetry : ConsumeResult::kAck;
  };
  auto consumer = client_->MakePushConsumer(options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  ASSERT_TRUE(broker_.Await([](const FakeBroker::Seen& all) { return all.verdicts.size() == 2; }));
  consumer->Close();
  EXPECT_EQ(Count(v1::Verdict::BACKOFF), 1u);
  EXPECT_EQ(Count(v1::Verdict::ACK), 1u);
}

TEST_F(GroupConsumersTest, AListenerThatTakesLongKeepsItsMessages) {
  Store(1);
  PushConsumerOptions options;
  options.group = "g";
  options.subscriptions = {{"t"}};
  options.invisible_duration = std::chrono::milliseconds(20);
  options.listener = [&](const ReceivedMessage& /*message*/) {
    EXPECT_TRUE(
        broker_.Await([](const FakeBroker::Seen& all) { return all.verdicts.size() >= 3; }));
    return ConsumeResult::kAck;
  };
  auto consumer = client_->MakePushConsumer(options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  ASSERT_TRUE(broker_.Await([](const FakeBroker::Seen& all) {
    return !all.verdicts.empty() && all.verdicts.back().outcome() == v1::Verdict::ACK;
  }));
  EXPECT_GE(Count(v1::Verdict::EXTEND), 3u);
  EXPECT_EQ(broker_.seen().late_verdicts, 0);
}

TEST_F(GroupConsumersTest, AnExtensionEndsWithItsStream) {
  Store(1);
  SimpleConsumer consumer = MakeSimple();
  const ReceivedMessage message = Receive(consumer, 1).at(0);
  broker_.HoldSettled(true);
  absl::Status status;
  std::thread extending([&] { status = consumer.Extend(message, std::chrono::seconds(30)); });
  ASSERT_TRUE(broker_.Await([](const FakeBroker::Seen& all) { return all.verdicts.size() == 1; }));
  broker_.BreakStreams();
  extending.join();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
}

TEST_F(GroupConsumersTest, ABatchListenerSaysWhatBecameOfEach) {
  Store(200);
  std::atomic<size_t> most{0};
  PushConsumerOptions options;
  options.group = "g";
  options.subscriptions = {{"t"}};
  options.max_batch = 16;
  options.threads = 2;
  options.retry_delay = std::chrono::milliseconds(0);
  options.batch_listener = [&](std::span<const ReceivedMessage> messages,
                               std::span<ConsumeResult> results) {
    if (messages.size() > most.load()) most.store(messages.size());
    if (messages[0].attempt() == 1) results[0] = ConsumeResult::kRetry;
  };
  auto consumer = client_->MakePushConsumer(options);
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  ASSERT_TRUE(broker_.Await([](const FakeBroker::Seen& all) {
    size_t acks = 0;
    for (const v1::Verdict& verdict : all.verdicts) {
      acks += verdict.outcome() == v1::Verdict::ACK ? 1 : 0;
    }
    return acks == 200;
  }));
  EXPECT_LE(most.load(), 16u);
  EXPECT_GT(Count(v1::Verdict::RETRY), 0u);
}

TEST_F(GroupConsumersTest, APushConsumerNeedsAListenerAndAKnownTopic) {
  PushConsumerOptions options;
  options.group = "g";
  EXPECT_TRUE(absl::IsInvalidArgument(client_->MakePushConsumer(options).status()));
  options.listener = [](const ReceivedMessage& /*message*/) { return ConsumeResult::kAck; };
  options.subscriptions = {{"nowhere"}};
  EXPECT_TRUE(absl::IsNotFound(client_->MakePushConsumer(options).status()));
}

}  // namespace
}  // namespace dunlin
