#include "clients/cpp/src/lease_keeper.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dunlin/client.h"

#include "clients/cpp/src/connection.h"
#include "clients/cpp/testing/fake_broker.h"

namespace dunlin::internal {
namespace {

using std::chrono::seconds;
using testing::FakeBroker;
using Seen = testing::FakeBroker::Seen;

namespace v1 = dunlin::broker::v1;
namespace v2 = apache::rocketmq::v2;

constexpr seconds kPatience{20};
constexpr seconds kLease{60};

// Time is what the tests say to Tick: it goes by in jumps, on from now.
class LeaseKeeperTest : public ::testing::Test {
 protected:
  LeaseKeeperTest() {
    broker_.AddTopic("t");
    ClientOptions client;
    client.endpoint = broker_.address();
    auto connection = Connection::Make(client);
    EXPECT_TRUE(connection.ok()) << connection.status();
    connection_ = *std::move(connection);
    GroupOptions options;
    options.group = "g";
    options.invisible_duration = kLease;
    group_ = std::make_unique<GroupCore>(connection_, options);
    EXPECT_TRUE(group_->Subscribe("t", Filter()).ok());
  }

  std::vector<ReceivedMessage> Receive(int count) {
    for (int i = 0; i < count; ++i) {
      v2::Message message;
      message.set_body(std::to_string(i));
      broker_.Store("t", 0, message);
    }
    std::vector<ReceivedMessage> all;
    while (all.size() < static_cast<size_t>(count)) {
      const auto some = group_->Take(static_cast<size_t>(count) - all.size(), kPatience);
      EXPECT_TRUE(some.ok() && !some->empty()) << some.status();
      if (!some.ok() || some->empty()) break;
      all.insert(all.end(), some->begin(), some->end());
    }
    return all;
  }

  void Acknowledge(const ReceivedMessage& message) {
    EXPECT_TRUE(group_->Settle(message, v1::Verdict::ACK, {}).ok());
  }

  // What was said about the messages, once it is so much.
  std::vector<v1::Verdict::Outcome> AwaitOutcomes(size_t count) {
    EXPECT_TRUE(broker_.Await([&](const Seen& seen) { return seen.verdicts.size() >= count; }));
    std::vector<v1::Verdict::Outcome> outcomes;
    for (const v1::Verdict& verdict : broker_.seen().verdicts) {
      outcomes.push_back(verdict.outcome());
    }
    return outcomes;
  }

  FakeBroker broker_;
  std::shared_ptr<Connection> connection_;
  std::unique_ptr<GroupCore> group_;
};

TEST_F(LeaseKeeperTest, WhatIsWorkedOnIsExtendedUntilItIsDone) {
  using Outcomes = std::vector<v1::Verdict::Outcome>;
  constexpr auto kAck = v1::Verdict::ACK;
  constexpr auto kExtend = v1::Verdict::EXTEND;
  LeaseKeeper keeper(*group_, *connection_->ticker(), kLease, std::chrono::hours(1));
  const std::vector<ReceivedMessage> messages = Receive(2);
  LeaseKeeper::Work work(keeper, messages);
  const SteadyTime begin = steady_clock::now();
  keeper.Tick(begin + kLease / 6);
  keeper.Tick(begin + kLease / 2);
  EXPECT_EQ(AwaitOutcomes(2), (Outcomes{kExtend, kExtend}));
  work.Done();
  Acknowledge(messages[0]);
  EXPECT_EQ(AwaitOutcomes(3), (Outcomes{kExtend, kExtend, kAck}));
  // Once the first extension is answered.
  while (broker_.seen().verdicts.size() < 4) keeper.Tick(begin + kLease);
  EXPECT_EQ(AwaitOutcomes(4), (Outcomes{kExtend, kExtend, kAck, kExtend}));
  Acknowledge(messages[1]);
  AwaitOutcomes(5);
  EXPECT_EQ(broker_.seen().late_verdicts, 0);
}

TEST_F(LeaseKeeperTest, AListenerThatSaysNothingForTooLongLosesItsMessages) {
  LeaseKeeper keeper(*group_, *connection_->ticker(), kLease, 2 * kLease);
  const std::vector<ReceivedMessage> messages = Receive(1);
  LeaseKeeper::Work work(keeper, messages);
  const SteadyTime begin = steady_clock::now();
  keeper.Tick(begin + kLease);
  AwaitOutcomes(1);
  keeper.Tick(begin + 2 * kLease);
  Acknowledge(messages[0]);
  EXPECT_EQ(AwaitOutcomes(2)[1], v1::Verdict::ACK);
}

TEST_F(LeaseKeeperTest, WhatIsDoneWhileItIsExtendedIsSettledWithTheNewLease) {
  LeaseKeeper keeper(*group_, *connection_->ticker(), kLease, std::chrono::hours(1));
  const std::vector<ReceivedMessage> messages = Receive(1);
  broker_.HoldSettled(true);
  LeaseKeeper::Work work(keeper, messages);
  keeper.Tick(steady_clock::now() + kLease / 2);
  AwaitOutcomes(1);
  work.Done();
  Acknowledge(messages[0]);
  broker_.HoldSettled(false);
  EXPECT_EQ(AwaitOutcomes(2)[1], v1::Verdict::ACK);
  EXPECT_EQ(broker_.seen().late_verdicts, 0);
}

TEST_F(LeaseKeeperTest, ClosingWaitsForWhatIsStillToBeSettled) {
  LeaseKeeper keeper(*group_, *connection_->ticker(), kLease, std::chrono::hours(1));
  const std::vector<ReceivedMessage> messages = Receive(1);
  broker_.HoldSettled(true);
  {
    LeaseKeeper::Work work(keeper, messages);
    keeper.Tick(steady_clock::now() + kLease / 2);
    AwaitOutcomes(1);
    work.Done();
    Acknowledge(messages[0]);
  }
  std::thread closing([&] { group_->Close(); });
  broker_.HoldSettled(false);
  closing.join();
  EXPECT_EQ(AwaitOutcomes(2)[1], v1::Verdict::ACK);
  EXPECT_EQ(broker_.seen().late_verdicts, 0);
}

TEST_F(LeaseKeeperTest, WhatWaitsTooLongInTheBufferIsGivenBack) {
  const ReceivedMessage taken = Receive(1).at(0);
  v2::Message message;
  message.set_body("waits");
  broker_.Store("t", 0, message);
  // It is in the buffer once there is nothing more to be given back.
  while (broker_.seen().verdicts.empty()) group_->Tick(steady_clock::now() + kLease);
  EXPECT_EQ(AwaitOutcomes(1)[0], v1::Verdict::RELEASE);
  const auto again = group_->Take(1, kPatience);
  ASSERT_TRUE(again.ok() && again->size() == 1) << again.status();
  EXPECT_EQ(again->front().body(), "waits");
  EXPECT_EQ(again->front().attempt(), 1u);
  Acknowledge(taken);
}

TEST_F(LeaseKeeperTest, LeasesThatNobodySettlesAreForgottenAfterTheirEnd) {
  size_t most = 0;
  for (const ReceivedMessage& message : Receive(1500)) {
    ASSERT_TRUE(group_->Extend(message, seconds(0)).ok());
    most = std::max(most, group_->extended_leases());
  }
  EXPECT_LE(most, 1024u);
}

}  // namespace
}  // namespace dunlin::internal
