// One client, a name service and two brokers, all but the client in memory.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "dunlin/client.h"
#include "dunlin/producer.h"
#include "dunlin/pull_consumer.h"
#include "dunlin/simple_consumer.h"

#include "clients/cpp/testing/fake_broker.h"
#include "services/base/mutex.h"

namespace dunlin {
namespace {

using testing::FakeBroker;
using ::testing::HasSubstr;
using Seen = testing::FakeBroker::Seen;

namespace v2 = apache::rocketmq::v2;

constexpr std::chrono::seconds kPatience{20};

Message MakeMessage(const std::string& body) {
  Message message;
  message.topic = "t";
  message.body = body;
  return message;
}

class SeveralBrokersTest : public ::testing::Test {
 protected:
  SeveralBrokersTest() {
    for (const char* name : {"a", "b"}) {
      brokers_[name] = std::make_unique<FakeBroker>();
      brokers_[name]->AddTopic("t");
    }
    Tell({At("a"), At("b")});
  }

  FakeBroker::Place At(const std::string& broker) { return {broker, brokers_[broker]->address()}; }
  void Tell(const std::vector<FakeBroker::Place>& places) { names_.SetRoute("t", places); }

  Client Connect(const std::string& endpoint = "") {
    ClientOptions options;
    options.endpoint = endpoint.empty() ? names_.address() : endpoint;
    absl::StatusOr<Client> client = Client::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }
  Producer MakeProducer(const ProducerOptions& options = {}) {
    absl::StatusOr<Producer> producer = Connect().MakeProducer(options);
    EXPECT_TRUE(producer.ok()) << producer.status();
    return *std::move(producer);
  }

  std::vector<std::string> Bodies(const std::string& broker) {
    std::vector<std::string> bodies;
    for (uint32_t queue = 0; queue < 2; ++queue) {
      for (const v2::Message& message : brokers_[broker]->Messages("t", queue)) {
        bodies.push_back(message.body());
      }
    }
    return bodies;
  }
  std::multiset<std::string> AllBodies() {
    std::multiset<std::string> all;
    for (const auto& [name, broker] : brokers_) {
      for (const std::string& body : Bodies(name)) all.insert(body);
    }
    return all;
  }
  // Of all queues of all brokers.
  std::vector<size_t> PerQueue() {
    std::vector<size_t> counts;
    for (const auto& [name, broker] : brokers_) {
      for (uint32_t queue = 0; queue < 2; ++queue) {
        counts.push_back(broker->Messages("t", queue).size());
      }
    }
    return counts;
  }
  static std::multiset<std::string> Numbers(int count) {
    std::multiset<std::string> numbers;
    for (int i = 0; i < count; ++i) numbers.insert(std::to_string(i));
    return numbers;
  }
  // A message group whose messages go to that broker.
  std::string GroupAt(Producer& producer, const std::string& broker) {
    for (int i = 0;; ++i) {
      Message message = MakeMessage("probe");
      message.message_group = "group-" + std::to_string(i);
      const size_t before = brokers_[broker]->MessageCount("t");
      EXPECT_TRUE(producer.Send(message).ok());
      if (brokers_[broker]->MessageCount("t") > before) return message.message_group;
    }
  }

  FakeBroker names_;
  std::map<std::string, std::unique_ptr<FakeBroker>> brokers_;
};

TEST_F(SeveralBrokersTest, MessagesAreSpreadOverAllQueuesOfAllBrokers) {
  Producer producer = MakeProducer();
  // A machine that stands still makes a broker slow, which is avoided for a while: then once more.
  const auto patience = std::chrono::steady_clock::now() + 10 * kPatience;
  int sent = 0;
  std::vector<size_t> got;
  do {
    ASSERT_LT(std::chrono::steady_clock::now(), patience) << ::testing::PrintToString(got);
    const std::vector<size_t> before = PerQueue();
    for (int i = 0; i < 400; ++i) {
      ASSERT_TRUE(producer.Send(MakeMessage(std::to_string(sent++))).ok());
    }
    got = PerQueue();
    for (size_t i = 0; i < got.size(); ++i) got[i] -= before[i];
  } while (got != std::vector<size_t>(4, 100));
  EXPECT_EQ(AllBodies(), Numbers(sent));
  EXPECT_EQ(names_.seen().publish_calls, 0);
}

TEST_F(SeveralBrokersTest, AQueueIsNamedWithItsBroker) {
  Producer producer = MakeProducer();
  Message message = MakeMessage("m");
  message.queue = 1;
  const auto nameless = producer.Send(message);
  EXPECT_TRUE(absl::IsInvalidArgument(nameless.status()));
  EXPECT_THAT(std::string(nameless.status().message()), HasSubstr("a, b"));
  message.broker = "b";
  EXPECT_TRUE(producer.Send(message).ok());
  EXPECT_EQ(brokers_["b"]->Messages("t", 1).size(), 1u);
  message.broker = "c";
  EXPECT_TRUE(absl::IsInvalidArgument(producer.Send(message).status()));
}

TEST_F(SeveralBrokersTest, AMessageGroupIsOneQueueOfOneBroker) {
  Producer producer = MakeProducer();
  const std::string group = GroupAt(producer, "b");
  const auto before = brokers_["b"]->MessageCount("t");
  Message message = MakeMessage("m");
  message.message_group = group;
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(producer.Send(message).ok());
  EXPECT_EQ(brokers_["b"]->MessageCount("t"), before + 50);
  // Another producer comes to the same broker.
  Producer other = MakeProducer();
  ASSERT_TRUE(other.Send(message).ok());
  EXPECT_EQ(brokers_["b"]->MessageCount("t"), before + 51);
}

TEST_F(SeveralBrokersTest, WhatWasNotSentToABrokerThatGoesIsSentToAnother) {
  Producer producer = MakeProducer();
  ASSERT_TRUE(producer.Send(MakeMessage("0")).ok());
  const std::string gone = brokers_["b"]->address();
  brokers_.erase("b");
  std::atomic<int> stored{0};
  for (int i = 1; i < 500; ++i) {
    ASSERT_TRUE(producer
                    .SendAsync(MakeMessage(std::to_string(i)),
                               [&stored](const absl::StatusOr<Receipt>& receipt) {
                                 if (receipt.ok()) stored.fetch_add(1);
                               })
                    .ok());
  }
  // Its route still names it.
  EXPECT_TRUE(producer.Flush(kPatience).ok());
  EXPECT_EQ(stored.load(), 499);
  EXPECT_GE(Bodies("a").size(), 499u);
}

TEST_F(SeveralBrokersTest, ABrokerThatIsNotTheMasterIsPassedOver) {
  brokers_["b"]->RefuseBindings(1'000'000, v2::HA_NOT_AVAILABLE);
  Producer producer = MakeProducer();
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(producer.SendAsync(MakeMessage(std::to_string(i))).ok());
  }
  EXPECT_TRUE(producer.Flush(kPatience).ok());
  EXPECT_EQ(AllBodies(), Numbers(200));
  // A message that is pinned to it arrives once it is the master.
  Message message = MakeMessage("pinned");
  message.queue = 0;
  message.broker = "b";
  ASSERT_TRUE(producer.SendAsync(message).ok());
  brokers_["b"]->RefuseBindings(0, v2::OK);
  EXPECT_TRUE(producer.Flush(kPatience).ok());
  EXPECT_EQ(Bodies("b"), std::vector<std::string>({"pinned"}));
}

TEST_F(SeveralBrokersTest, WhatWasSentAndNotAnsweredGoesElsewhereAfterAWhile) {
  ProducerOptions options;
  options.send_timeout = std::chrono::seconds(8);
  Producer producer = MakeProducer(options);
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(producer.Send(MakeMessage("x")).ok());
  brokers_["b"]->HoldAcks(true);
  std::atomic<int> stored{0};
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(producer
                    .SendAsync(MakeMessage(std::to_string(i)),
                               [&stored](const absl::StatusOr<Receipt>& receipt) {
                                 if (receipt.ok()) stored.fetch_add(1);
                               })
                    .ok());
  }
  EXPECT_TRUE(producer.Flush(kPatience).ok());
  EXPECT_EQ(stored.load(), 100);
  const std::vector<std::string> at_a = Bodies("a");
  const std::set<std::string> bodies(at_a.begin(), at_a.end());
  for (const std::string& body : Numbers(100)) EXPECT_TRUE(bodies.contains(body)) << body;
  brokers_["b"]->HoldAcks(false);
}

TEST_F(SeveralBrokersTest, AMessageGroupWaitsForItsBroker) {
  Producer producer = MakeProducer();
  const std::string group = GroupAt(producer, "b");
  FakeBroker::Options same;
  same.address = brokers_["b"]->address();
  brokers_.erase("b");
  Message message = MakeMessage("m");
  message.message_group = group;
  std::atomic<int> stored{0};
  for (int i = 0; i < 10; ++i) {
    message.body = std::to_string(i);
    ASSERT_TRUE(producer
                    .SendAsync(message,
                               [&stored](const absl::StatusOr<Receipt>& receipt) {
                                 if (receipt.ok()) stored.fetch_add(1);
                               })
                    .ok());
    // The route lets go of the broker while messages wait for it: what comes stays behind them.
    if (i == 5) Tell({At("a")});
  }
  brokers_["b"] = std::make_unique<FakeBroker>(same);
  brokers_["b"]->AddTopic("t");
  Tell({At("a"), At("b")});
  EXPECT_TRUE(producer.Flush(kPatience).ok());
  EXPECT_EQ(stored.load(), 10);
  EXPECT_EQ(Bodies("b"),
            std::vector<std::string>({"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}));
}

TEST_F(SeveralBrokersTest, ABrokerThatMovesKeepsItsMessages) {
  Producer producer = MakeProducer();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(producer.Send(MakeMessage(std::to_string(i))).ok());
  // Its master is another machine now.
  auto next = std::make_unique<FakeBroker>();
  next->AddTopic("t");
  const std::string address = next->address();
  Tell({At("a"), {"b", address}});
  ASSERT_TRUE(names_.Await([](const Seen& seen) { return seen.told.at("t") == 2; }));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(producer.Send(MakeMessage("x")).ok());
  EXPECT_GT(next->MessageCount("t"), 20u);
}

TEST_F(SeveralBrokersTest, NoneAreSentToABrokerThatTakesNone) {
  Producer producer = MakeProducer();
  ASSERT_TRUE(producer.Send(MakeMessage("x")).ok());
  FakeBroker::Place closed = At("b");
  closed.read_only = true;
  Tell({At("a"), closed});
  for (int i = 0; i < 1000; ++i) {
    const size_t before = brokers_["b"]->MessageCount("t");
    for (int k = 0; k < 20; ++k) ASSERT_TRUE(producer.Send(MakeMessage("x")).ok());
    if (brokers_["b"]->MessageCount("t") == before) return;
  }
  FAIL() << "the broker is sent to all the time";
}

TEST_F(SeveralBrokersTest, ATopicThatIsNowhereIsSaidSo) {
  Producer producer = MakeProducer();
  Message message = MakeMessage("x");
  message.topic = "nowhere";
  names_.SetRoute("nowhere", {});
  names_.RefuseBindings(1000, v2::TOPIC_NOT_FOUND);
  const auto sent = producer.Send(message);
  EXPECT_TRUE(absl::IsNotFound(sent.status())) << sent.status();
}

TEST_F(SeveralBrokersTest, AGroupConsumesFromAllBrokers) {
  for (int i = 0; i < 100; ++i) {
    v2::Message message;
    message.set_body(std::to_string(i));
    brokers_[i % 2 == 0 ? "a" : "b"]->Store("t", static_cast<uint32_t>(i / 2 % 2), message);
  }
  SimpleConsumerOptions options;
  options.group = "g";
  auto consumer = Connect().MakeSimpleConsumer(options);
  ASSERT_TRUE(consumer.ok());
  ASSERT_TRUE(consumer->Subscribe("t").ok());
  std::multiset<std::string> bodies;
  while (bodies.size() < 100) {
    const auto messages = consumer->Receive(100, kPatience);
    ASSERT_TRUE(messages.ok()) << messages.status();
    ASSERT_FALSE(messages->empty());
    for (const ReceivedMessage& message : *messages) {
      EXPECT_EQ(message.broker(), std::stoi(std::string(message.body())) % 2 == 0 ? "a" : "b");
      bodies.insert(std::string(message.body()));
      EXPECT_TRUE(consumer->Ack(message).ok());
    }
  }
  EXPECT_EQ(bodies, Numbers(100));
  for (const auto& [name, broker] : brokers_) {
    EXPECT_TRUE(broker->Await([](const Seen& seen) { return seen.verdicts.size() == 50; })) << name;
    EXPECT_EQ(broker->seen().late_verdicts, 0);
  }
}

TEST_F(SeveralBrokersTest, ABrokerThatComesIsConsumedFrom) {
  Tell({At("a")});
  SimpleConsumerOptions options;
  options.group = "g";
  auto consumer = Connect().MakeSimpleConsumer(options);
  ASSERT_TRUE(consumer.ok());
  ASSERT_TRUE(consumer->Subscribe("t").ok());
  EXPECT_EQ(brokers_["b"]->seen().subscribe_calls, 0);
  v2::Message stored;
  stored.set_body("late");
  brokers_["b"]->Store("t", 0, stored);
  Tell({At("a"), At("b")});
  const auto messages = consumer->Receive(1, kPatience);
  ASSERT_TRUE(messages.ok() && messages->size() == 1);
  EXPECT_EQ(messages->front().body(), "late");
  EXPECT_TRUE(consumer->Ack(messages->front()).ok());
  ASSERT_TRUE(brokers_["b"]->Await([](const Seen& seen) { return !seen.verdicts.empty(); }));
  // That one broker has the topic no more is no error while another has it.
  brokers_["b"]->DeleteTopic("t");
  brokers_["b"]->DetachAll(v2::TOPIC_NOT_FOUND);
  brokers_["a"]->Store("t", 0, stored);
  const auto more = consumer->Receive(1, kPatience);
  ASSERT_TRUE(more.ok()) << more.status();
  EXPECT_EQ(more->size(), 1u);
}

TEST_F(SeveralBrokersTest, EveryQueueOfEveryBrokerIsRead) {
  for (int i = 0; i < 100; ++i) {
    v2::Message message;
    message.set_body(std::to_string(i));
    brokers_[i % 2 == 0 ? "a" : "b"]->Store("t", static_cast<uint32_t>(i / 2 % 2), message);
  }
  auto consumer = Connect().MakePullConsumer({});
  ASSERT_TRUE(consumer.ok());
  EXPECT_TRUE(absl::IsInvalidArgument(consumer->Assign("t", 0, StartAt::First()).status()));
  const auto one = consumer->Assign("t", 0, StartAt::First(), Filter(), "b");
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->max_offset, 25u);
  EXPECT_TRUE(absl::IsAlreadyExists(consumer->AssignAll("t", StartAt::First()).status()));
  ASSERT_TRUE(consumer->Unassign("t", 0).ok());
  const auto all = consumer->AssignAll("t", StartAt::First());
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(*all, 4u);
  std::multiset<std::string> bodies;
  while (bodies.size() < 100) {
    const auto batch = consumer->Poll(kPatience);
    ASSERT_TRUE(batch.ok() && !batch->empty());
    for (const MessageView& message : *batch) bodies.insert(std::string(message.body()));
    EXPECT_EQ(consumer->Position("t", batch->queue(), batch->broker()).value(),
              batch->next_offset());
  }
  EXPECT_EQ(bodies, Numbers(100));
  EXPECT_TRUE(absl::IsInvalidArgument(consumer->Position("t", 0).status()));
}

TEST_F(SeveralBrokersTest, AnotherAccessPointIsUsedWhenOneFails) {
  // Either may be the first that is through.
  auto other = std::make_unique<FakeBroker>();
  other->SetRoute("t", {At("a")});
  Tell({At("a")});
  absl::StatusOr<Producer> producer =
      Connect(other->address() + "," + names_.address()).MakeProducer({});
  ASSERT_TRUE(producer.ok());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(producer->Send(MakeMessage("x")).ok());
  EXPECT_EQ(brokers_["a"]->MessageCount("t"), 20u);
  other.reset();
  Tell({At("a"), At("b")});
  ASSERT_TRUE(names_.Await([](const Seen& seen) { return seen.told.contains("t"); }));
  for (int i = 0; i < 1000 && brokers_["b"]->MessageCount("t") == 0; ++i) {
    ASSERT_TRUE(producer->Send(MakeMessage("x")).ok());
  }
  EXPECT_GT(brokers_["b"]->MessageCount("t"), 0u);
}

}  // namespace
}  // namespace dunlin
