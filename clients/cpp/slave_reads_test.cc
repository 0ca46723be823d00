// A pull consumer whose master would have to read from its disk: a name service, the master and a
// slave in memory. The slave has what the master has, unless a test says otherwise.

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dunlin/client.h"
#include "dunlin/pull_consumer.h"

#include "clients/cpp/testing/fake_broker.h"

namespace dunlin {
namespace {

using testing::FakeBroker;
using Seen = testing::FakeBroker::Seen;

namespace v1 = dunlin::broker::v1;
namespace v2 = apache::rocketmq::v2;

constexpr std::chrono::seconds kPatience{20};

// How often queue 0 was to be read there.
size_t Attaches(const Seen& seen) {
  size_t count = 0;
  for (const v1::Attach& attach : seen.attaches) {
    if (attach.offset().start() != v1::OffsetMode::COMMIT_ONLY) ++count;
  }
  return count;
}

class SlaveReadsTest : public ::testing::Test {
 protected:
  SlaveReadsTest() : slave_(std::make_unique<FakeBroker>()) {
    master_.AddTopic("t");
    slave_->AddTopic("t");
    Tell({slave_->address()});
    master_.SetCold(true);
    slave_->SetCold(true);
    Store(2000);
  }

  void Tell(const std::vector<std::string>& slaves) {
    names_.SetRoute("t", {{.broker = "a", .address = master_.address(), .slaves = slaves}});
  }

  void Store(int count, bool at_slave = true) {
    for (int i = 0; i < count; ++i) {
      v2::Message message;
      message.set_body(std::to_string(stored_++));
      master_.Store("t", 0, message);
      if (at_slave && slave_ != nullptr) slave_->Store("t", 0, message);
    }
  }

  PullConsumer MakeConsumer(PullConsumerOptions options = {}) {
    options.max_buffered_bytes = 64 << 10;
    ClientOptions client_options;
    client_options.endpoint = names_.address();
    absl::StatusOr<Client> client = Client::Connect(client_options);
    EXPECT_TRUE(client.ok()) << client.status();
    absl::StatusOr<PullConsumer> consumer = client->MakePullConsumer(options);
    EXPECT_TRUE(consumer.ok()) << consumer.status();
    EXPECT_TRUE(consumer->Assign("t", 0, StartAt::First()).ok());
    return *std::move(consumer);
  }

  // One batch, which has to be what comes next.
  void PollOnce(PullConsumer& consumer) {
    const absl::StatusOr<MessageBatch> batch = consumer.Poll(kPatience);
    ASSERT_TRUE(batch.ok()) << batch.status();
    ASSERT_FALSE(batch->empty());
    for (const MessageView& message : *batch) {
      ASSERT_EQ(message.offset(), read_);
      ASSERT_EQ(message.body(), std::to_string(read_));
      ++read_;
    }
  }
  // Reads until `condition` holds, while the end stays far away.
  void ReadUntil(PullConsumer& consumer, const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition() && !HasFatalFailure()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      Store(100);
      PollOnce(consumer);
    }
  }
  void ReadUntilAtSlave(PullConsumer& consumer) {
    ReadUntil(consumer, [this] { return slave_->seen().messages > 0; });
  }
  void ReadToEnd(PullConsumer& consumer) {
    while (read_ < stored_ && !HasFatalFailure()) PollOnce(consumer);
    const absl::StatusOr<MessageBatch> nothing = consumer.Poll(std::chrono::milliseconds(50));
    ASSERT_TRUE(nothing.ok()) << nothing.status();
    EXPECT_TRUE(nothing->empty());
  }

  FakeBroker names_;
  FakeBroker master_;
  std::unique_ptr<FakeBroker> slave_;
  uint64_t stored_ = 0;
  uint64_t read_ = 0;
};

TEST_F(SlaveReadsTest, AColdReaderGoesOnAtTheSlaveAndComesBackWhenItHasCaughtUp) {
  PullConsumer consumer = MakeConsumer();
  ReadUntilAtSlave(consumer);
  EXPECT_EQ(Attaches(master_.seen()), 1u);
  slave_->SetCold(false);
  ReadUntil(consumer, [this] { return Attaches(master_.seen()) == 2; });
  // Still cold, by the master's word: who has just come back stays.
  ReadToEnd(consumer);
  EXPECT_EQ(Attaches(slave_->seen()), 1u);
  EXPECT_EQ(Attaches(master_.seen()), 2u);
}

TEST_F(SlaveReadsTest, WhenTheSlaveGoesTheMasterServesAtOnce) {
  PullConsumer consumer = MakeConsumer();
  ReadUntilAtSlave(consumer);
  slave_.reset();
  ReadToEnd(consumer);
  EXPECT_EQ(Attaches(master_.seen()), 2u);
}

TEST_F(SlaveReadsTest, ASlaveThatHangsIsLeft) {
  PullConsumer consumer = MakeConsumer();
  ReadUntilAtSlave(consumer);
  slave_->Hang(true);
  ReadToEnd(consumer);
  EXPECT_EQ(Attaches(slave_->seen()), 1u);
  EXPECT_EQ(Attaches(master_.seen()), 2u);
}

TEST_F(SlaveReadsTest, ASlaveThatDoesNotEvenAnswerIsLeft) {
  slave_->Hang(true);
  PullConsumer consumer = MakeConsumer();
  ReadUntil(consumer, [this] { return Attaches(slave_->seen()) == 1; });
  ReadToEnd(consumer);
  EXPECT_EQ(slave_->seen().messages, 0u);
}

TEST_F(SlaveReadsTest, ACallThatNobodyReadsByEnds) {
  PullConsumer consumer = MakeConsumer();
  ReadUntilAtSlave(consumer);
  slave_->SetCold(false);
  ReadUntil(consumer, [this] { return Attaches(master_.seen()) == 2; });
  EXPECT_TRUE(slave_->Await([](const Seen& seen) { return seen.open_calls == 0; }));
  ReadToEnd(consumer);
  EXPECT_EQ(slave_->seen().subscribe_calls, 1);
}

TEST_F(SlaveReadsTest, WhenTheCallToTheSlaveBreaksTheMasterServes) {
  PullConsumer consumer = MakeConsumer();
  ReadUntilAtSlave(consumer);
  slave_->BreakStreams();
  ReadToEnd(consumer);
  EXPECT_EQ(Attaches(slave_->seen()), 1u);
}

TEST_F(SlaveReadsTest, ASlaveThatDetachesIsLeft) {
  PullConsumer consumer = MakeConsumer();
  ReadUntilAtSlave(consumer);
  slave_->DetachAll(v2::TOPIC_NOT_FOUND);
  ReadToEnd(consumer);
  EXPECT_EQ(Attaches(slave_->seen()), 1u);
}

TEST_F(SlaveReadsTest, ASlaveThatRefusesIsLeft) {
  slave_->DeleteTopic("t");
  const auto refusing = std::move(slave_);  // nothing more is stored there
  PullConsumer consumer = MakeConsumer();
  ReadUntil(consumer, [&] { return Attaches(refusing->seen()) == 1; });
  ReadToEnd(consumer);
  EXPECT_EQ(Attaches(refusing->seen()), 1u);
}

TEST_F(SlaveReadsTest, ASlaveThatRejectsTheCallIsNoErrorOfTheConsumer) {
  slave_->RejectAttaches(1);
  PullConsumer consumer = MakeConsumer();
  ReadUntil(consumer, [this] { return Attaches(master_.seen()) == 2; });
  ReadToEnd(consumer);
}

TEST_F(SlaveReadsTest, ASlaveThatLagsIsLeftAtItsEnd) {
  const auto lagging = std::move(slave_);
  PullConsumer consumer = MakeConsumer();
  ReadUntil(consumer, [&] { return Attaches(lagging->seen()) == 1; });
  ReadToEnd(consumer);
  EXPECT_EQ(Attaches(lagging->seen()), 1u);
  EXPECT_GT(stored_, 2000u);
}

TEST_F(SlaveReadsTest, AMessageThatIsDamagedAtTheSlaveComesFromTheMaster) {
  PullConsumer consumer = MakeConsumer();
  slave_->Corrupt(1);
  ReadUntil(consumer, [this] { return Attaches(slave_->seen()) == 1; });
  ReadToEnd(consumer);
  EXPECT_EQ(Attaches(master_.seen()), 2u);
}

TEST_F(SlaveReadsTest, ASlaveThatTheRouteDoesNotNameAnyMoreIsLeft) {
  PullConsumer consumer = MakeConsumer();
  ReadUntilAtSlave(consumer);
  Tell({});
  ReadUntil(consumer, [this] { return Attaches(master_.seen()) == 2; });
  ReadToEnd(consumer);
}

TEST_F(SlaveReadsTest, ManyWhoPollGetEachMessageOnceWhileThePlaceChanges) {
  Tell({});  // the first round is to see it go
  PullConsumer consumer = MakeConsumer();
  std::atomic<uint64_t> count = 0;
  std::atomic<uint64_t> goal = UINT64_MAX;
  // Nobody comes near the end before all is over: who has caught up stays at the master.
  constexpr uint64_t kAhead = 4000;
  std::atomic<uint64_t> allowed = 0;
  const auto store = [&] {
    Store(3000);
    allowed = stored_ < kAhead ? 0 : stored_ - kAhead;
  };
  store();
  const auto deadline = std::chrono::steady_clock::now() + 3 * kPatience;
  // A place changes as frames come: who has read what is allowed is given more.
  const auto read_until_attached = [&](FakeBroker& broker, size_t before) {
    const auto end = std::chrono::steady_clock::now() + kPatience / 2;
    while (Attaches(broker.seen()) == before && std::chrono::steady_clock::now() < end) {
      if (count >= allowed) store();
      poll(nullptr, 0, 1);
    }
    EXPECT_GT(Attaches(broker.seen()), before);
  };
  std::vector<std::vector<uint64_t>> taken(4);
  std::vector<std::thread> threads;
  for (std::vector<uint64_t>& offsets : taken) {
    threads.emplace_back([&] {
      while (count < goal && std::chrono::steady_clock::now() < deadline) {
        if (count >= allowed) {
          std::this_thread::yield();
          continue;
        }
        const absl::StatusOr<MessageBatch> batch = consumer.Poll(std::chrono::milliseconds(10));
        if (!batch.ok()) continue;
        for (const MessageView& message : *batch) offsets.push_back(message.offset());
        count += batch->size();
      }
    });
  }
  for (int round = 0; round < 10 && !HasFailure(); ++round) {
    const size_t at_slave = Attaches(slave_->seen());
    Tell({slave_->address()});
    read_until_attached(*slave_, at_slave);
    const size_t at_master = Attaches(master_.seen());
    Tell({});
    read_until_attached(master_, at_master);
  }
  goal = allowed = stored_;
  for (std::thread& thread : threads) thread.join();
  std::vector<uint64_t> all;
  for (const std::vector<uint64_t>& offsets : taken) {
    EXPECT_TRUE(std::is_sorted(offsets.begin(), offsets.end()));
    all.insert(all.end(), offsets.begin(), offsets.end());
  }
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), stored_) << "messages are missing, or came twice";
  for (uint64_t i = 0; i < stored_; ++i) ASSERT_EQ(all[i], i);
}

TEST_F(SlaveReadsTest, WhatIsCommittedBeforeAQueueIsGivenUpCounts) {
  PullConsumerOptions options;
  options.group = "g";
  PullConsumer consumer = MakeConsumer(options);
  for (int i = 0; i < 20; ++i) {
    PollOnce(consumer);
    ASSERT_TRUE(consumer.Commit("t", 0, read_).ok());
    ASSERT_TRUE(consumer.Unassign("t", 0).ok());
    EXPECT_TRUE(master_.Await(
        [&](const Seen& seen) { return seen.commits.contains(0) && seen.commits.at(0) == read_; }));
    ASSERT_TRUE(consumer.Assign("t", 0, StartAt::Offset(read_)).ok());
  }
}

TEST_F(SlaveReadsTest, OffsetsAreCommittedAtTheMaster) {
  PullConsumerOptions options;
  options.group = "g";
  PullConsumer consumer = MakeConsumer(options);
  const auto committed = [](uint64_t offset) {
    return [offset](const Seen& seen) {
      return seen.commits.contains(0) && seen.commits.at(0) == offset;
    };
  };
  ReadUntilAtSlave(consumer);
  ASSERT_TRUE(consumer.Commit("t", 0, read_).ok());
  EXPECT_TRUE(master_.Await(committed(read_)));
  // One that is given just before the slave goes is not lost with it.
  PollOnce(consumer);
  ASSERT_TRUE(consumer.Commit("t", 0, read_).ok());
  const uint64_t last = read_;
  EXPECT_TRUE(slave_->seen().commits.empty());
  slave_.reset();
  PollOnce(consumer);
  EXPECT_TRUE(master_.Await(committed(last)));
  ReadToEnd(consumer);
  ASSERT_TRUE(consumer.Commit("t", 0, read_).ok());
  EXPECT_TRUE(master_.Await(committed(read_)));
}

TEST_F(SlaveReadsTest, WhatIsCommittedWhileTheCallIsBrokenIsSentWhenItIsBack) {
  Tell({});
  PullConsumerOptions options;
  options.group = "g";
  PullConsumer consumer = MakeConsumer(options);
  PollOnce(consumer);
  const int calls = master_.seen().subscribe_calls;
  master_.TurnAway({grpc::StatusCode::UNAVAILABLE, "not now"});
  master_.BreakStreams();
  ASSERT_TRUE(master_.Await([&](const Seen& seen) { return seen.subscribe_calls > calls; }));
  ASSERT_TRUE(consumer.Commit("t", 0, read_).ok());
  ASSERT_TRUE(consumer.Unassign("t", 0).ok());
  EXPECT_TRUE(master_.seen().commits.empty());
  master_.TurnAway(grpc::Status::OK);
  EXPECT_TRUE(master_.Await(
      [&](const Seen& seen) { return seen.commits.contains(0) && seen.commits.at(0) == read_; }));
}

TEST_F(SlaveReadsTest, ClosingWaitsForWhatWasCommitted) {
  Tell({});
  PullConsumerOptions options;
  options.group = "g";
  PullConsumer consumer = MakeConsumer(options);
  PollOnce(consumer);
  const int calls = master_.seen().subscribe_calls;
  master_.BreakStreams();
  ASSERT_TRUE(consumer.Commit("t", 0, read_).ok());
  ASSERT_TRUE(master_.Await([&](const Seen& seen) { return seen.subscribe_calls > calls; }));
  ASSERT_TRUE(consumer.Commit("t", 0, read_).ok());
  ASSERT_TRUE(consumer.Unassign("t", 0).ok());
  consumer.Close();
  EXPECT_TRUE(master_.Await(
      [&](const Seen& seen) { return seen.commits.contains(0) && seen.commits.at(0) == read_; }));
}

TEST_F(SlaveReadsTest, NothingIsCommittedInAnotherTopicOfTheName) {
  PullConsumerOptions options;
  options.group = "g";
  PullConsumer consumer = MakeConsumer(options);
  ReadUntilAtSlave(consumer);
  const auto attaches = [](size_t count) {
    return [count](const Seen& seen) { return seen.attaches.size() == count; };
  };
  ASSERT_TRUE(master_.Await(attaches(2)));  // one to read by, one to commit
  master_.DeleteTopic("t");
  master_.AddTopic("t");
  master_.BreakStreams();
  ASSERT_TRUE(master_.Await(attaches(3)));
  consumer.Commit("t", 0, read_).IgnoreError();  // NOT_FOUND, if it is known already
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  absl::Status status;
  while (status.ok() && std::chrono::steady_clock::now() < deadline) {
    status = consumer.Poll(std::chrono::milliseconds(10)).status();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_TRUE(master_.seen().commits.empty());
}

TEST_F(SlaveReadsTest, SeekingIsDoneAtTheMaster) {
  PullConsumer consumer = MakeConsumer();
  ReadUntilAtSlave(consumer);
  ASSERT_TRUE(consumer.Seek("t", 0, StartAt::Offset(5)).ok());
  read_ = 5;
  PollOnce(consumer);
  EXPECT_EQ(master_.seen().attaches.back().offset().queue_offset(), 5u);
  ASSERT_TRUE(consumer.Unassign("t", 0).ok());
}

TEST_F(SlaveReadsTest, WhoDoesNotWantToIsServedByTheMaster) {
  PullConsumerOptions options;
  options.read_from_slaves = false;
  PullConsumer consumer = MakeConsumer(options);
  ReadToEnd(consumer);
  EXPECT_EQ(slave_->seen().subscribe_calls, 0);
}

TEST_F(SlaveReadsTest, AMasterThatSaysNothingKeepsItsReaders) {
  master_.SetCold(false);
  PullConsumer consumer = MakeConsumer();
  ReadToEnd(consumer);
  EXPECT_EQ(slave_->seen().subscribe_calls, 0);
}

}  // namespace
}  // namespace dunlin
