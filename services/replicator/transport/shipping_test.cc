// Master and slave together: what is shipped arrives, whatever happens to the stream.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "services/base/testing/status_matchers.h"
#include "services/replicator/transport/testing/stream_fixture.h"

namespace dunlin::replicator {
namespace {

using ::testing::HasSubstr;

class ShippingTest : public StreamFixture {
 protected:
  void Begin() {
    MakeSender(TestIdentity("a"));
    MakeReceiver(TestIdentity("b"));
    Follow();
    Advance();
  }
  void Fill(int records, size_t bytes = 100) {
    for (int i = 0; i < records; ++i) {
      master_.Append(std::string(bytes, static_cast<char>('a' + i % 26)));
    }
  }
};

TEST_F(ShippingTest, ASlaveGetsTheWholeLogAndWhatComes) {
  master_.BeginEpoch(Epoch(1));
  Fill(1000);
  Begin();
  StepUntil([&] { return Equal(); });
  EXPECT_EQ(slave_.history(), master_.history());
  EXPECT_GT(frames_, 10) << "a frame never crosses the end of a segment";
  Fill(1);
  Advance();
  StepUntil([&] { return Equal(); });
  StepUntil([&] { return acknowledged_.received == master_.end(); });
  EXPECT_EQ(acknowledged_.epoch, Epoch(1));
  EXPECT_EQ(starts_, 1);
  EXPECT_EQ(breaks_, 0);
}

TEST_F(ShippingTest, AnEpochWithoutARecordBeginsByHeartbeat) {
  master_.BeginEpoch(Epoch(1));
  Fill(3);
  master_.BeginEpoch(Epoch(4));
  Begin();
  StepUntil([&] { return acknowledged_.epoch == Epoch(4); });
  EXPECT_EQ(acknowledged_.received, master_.end());
  EXPECT_EQ(slave_.history(), master_.history());
}

TEST_F(ShippingTest, EveryEpochBeginsInTurnAlsoThoseWithoutARecord) {
  master_.BeginEpoch(Epoch(1));
  Fill(3);
  for (const uint32_t epoch : {3u, 4u, 6u}) master_.BeginEpoch(Epoch(epoch));
  Fill(3);
  for (const uint32_t epoch : {7u, 8u}) master_.BeginEpoch(Epoch(epoch));
  Begin();
  StepUntil([&] { return Equal() && acknowledged_.epoch == Epoch(8); });
  EXPECT_EQ(slave_.history(), master_.history());
  EXPECT_EQ(slave_.history().entries().size(), 6u);
  // Connected anew it is told of none of them again.
  Cut(absl::CancelledError("cut"));
  StepUntil([&] { return starts_ == 2; });
  Fill(1);
  Advance();
  StepUntil([&] { return Equal(); });
  EXPECT_EQ(slave_.history(), master_.history());
  EXPECT_EQ(breaks_, 1);
}

TEST_F(ShippingTest, HeartbeatsComeAndTellWhatIsConfirmed) {
  master_.BeginEpoch(Epoch(1));
  Fill(3);
  Begin();
  StepUntil([&] { return heartbeats_ >= 5; });
  EXPECT_EQ(told_, LogOffset(0));
  confirm_ = master_.end();
  Advance();
  StepUntil([&] { return told_ == master_.end(); });
}

TEST_F(ShippingTest, ARecordLargerThanAFrameGoesAlone) {
  lane_options_.frame_bytes = 1024;
  master_.BeginEpoch(Epoch(1));
  Fill(3);
  Fill(1, 3000);
  Fill(3);
  Begin();
  StepUntil([&] { return Equal(); });
}

TEST_F(ShippingTest, AReturningMasterIsCutBackToWhereTheLogsPart) {
  master_.BeginEpoch(Epoch(1));
  slave_.BeginEpoch(Epoch(1));
  for (int i = 0; i < 10; ++i) {
    master_.Append("the same");
    slave_.Append("the same");
  }
  slave_.Append("never acknowledged");
  master_.BeginEpoch(Epoch(2));
  Fill(20);
  Begin();
  StepUntil([&] { return Equal(); });
  EXPECT_EQ(slave_.history(), master_.history());
  EXPECT_EQ(resets_, 0);
}

TEST_F(ShippingTest, ASlaveThatIsTooFarBehindBeginsAnew) {
  slave_.BeginEpoch(Epoch(1));
  slave_.Append("long ago");
  master_.BeginEpoch(Epoch(1));
  Fill(200);
  master_.DropBefore(LogOffset(8192));
  Begin();
  StepUntil([&] { return Equal(); });
  EXPECT_EQ(resets_, 1);
  EXPECT_EQ(slave_.start(), LogOffset(8192));
  // It knows where the epoch began, and so need not begin anew the next time.
  EXPECT_EQ(slave_.history(), master_.history());
  Cut(absl::CancelledError("cut"));
  StepUntil([&] { return starts_ == 2; });
  EXPECT_EQ(resets_, 1);
}

TEST_F(ShippingTest, WhatExpiresOnTheWayStartsAnew) {
  receiver_options_.credit_bytes = kMinCreditBytes;
  lane_options_.frame_bytes = 4096;
  master_.BeginEpoch(Epoch(1));
  Fill(5000);
  stalled_ = true;  // the credit is spent long before the end
  Begin();
  StepUntil([&] { return slave_.end() >= LogOffset(kMinCreditBytes); });
  const LogOffset expired(master_.end().value() / 8192 * 4096 + 65536);
  master_.DropBefore(expired);
  stalled_ = false;
  AcknowledgeFrames(1, 16, kMinCreditBytes);
  StepUntil([&] { return breaks_ == 1; });
  EXPECT_THAT(broken_, StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("expired")));
  StepUntil([&] { return Equal(); });
  EXPECT_EQ(resets_, 2) << "the first one was that of an empty slave";
}

TEST_F(ShippingTest, CreditBoundsWhatIsOnItsWay) {
  receiver_options_.credit_bytes = kMinCreditBytes;
  lane_options_.frame_bytes = 4096;
  master_.BeginEpoch(Epoch(1));
  Fill(5000);
  stalled_ = true;
  Begin();
  StepUntil([&] { return slave_.end() >= LogOffset(kMinCreditBytes); });
  const int before = heartbeats_;
  StepUntil([&] { return heartbeats_ > before + 3; });
  EXPECT_LE(slave_.end(), LogOffset(kMinCreditBytes + 2 * 4096));
}

TEST_F(ShippingTest, ASlaveThatStopsReadingHoldsUpNobody) {
  // c says hello, takes nothing and gives no credit beyond the least.
  master_.BeginEpoch(Epoch(1));
  Fill(2000);
  Begin();
  class Silent final : public LogReceiver::Listener {
   public:
    void OnStreamStart(uint64_t, const StreamStart&) override {}
    void OnFrame(uint64_t, LogReceiver::Frame frame) override { taken += frame.records.size(); }
    void OnStreamBroken(uint64_t, const absl::Status&) override { broken = true; }
    std::atomic<size_t> taken = 0;
    std::atomic<bool> broken = false;
  };
  Silent silent;
  LogReceiver::Options options;
  options.credit_bytes = kMinCreditBytes;
  LogReceiver c(
      TestIdentity("c"), options, BootNow,
      [] { return Hello{.member = "c", .history = {}, .end = {}, .highest_epoch = {}}; }, silent);
  c.Follow("a", service_->address());
  c.Tick(BootNow());
  StepUntil([&] { return Equal() && silent.taken >= kMinCreditBytes; });
  Fill(2000);
  Advance();
  StepUntil([&] { return Equal(); });
  EXPECT_LT(silent.taken, master_.end().value());
  EXPECT_FALSE(silent.broken);
}

TEST_F(ShippingTest, ANewerStreamOfAMemberEndsTheOlder) {
  master_.BeginEpoch(Epoch(1));
  Fill(10);
  Begin();
  StepUntil([&] { return Equal(); });
  class Watching final : public LogReceiver::Listener {
   public:
    void OnStreamStart(uint64_t, const StreamStart&) override {}
    void OnFrame(uint64_t, LogReceiver::Frame) override {}
    void OnStreamBroken(uint64_t, const absl::Status&) override {}
  };
  Watching other;
  LogReceiver::Options options;
  options.first_retry = std::chrono::hours(1);
  LogReceiver twin(
      TestIdentity("b"), options, BootNow,
      [&] {
        return Hello{.member = "b",
                     .history = slave_.history(),
                     .end = slave_.end(),
                     .highest_epoch = Epoch(1)};
      },
      other);
  twin.Follow("a", service_->address());
  twin.Tick(BootNow());
  StepUntil([&] { return breaks_ == 1; });
  EXPECT_THAT(broken_, StatusIs(absl::StatusCode::kAborted, HasSubstr("connected again")));
}

TEST_F(ShippingTest, ARefusalIsToldAndTriedAgain) {
  master_.BeginEpoch(Epoch(1));
  Fill(10);
  refusal_ = absl::UnavailableError("b is not the master; c is");
  Begin();
  StepUntil([&] { return breaks_ >= 3; });
  EXPECT_THAT(broken_, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("c is")));
  refusal_.reset();
  StepUntil([&] { return Equal(); });
}

TEST_F(ShippingTest, AMasterThatIsNoneAnyMoreEndsItsStreams) {
  master_.BeginEpoch(Epoch(1));
  Fill(10);
  Begin();
  StepUntil([&] { return Equal(); });
  sender_->DropAll(absl::UnavailableError("not the master any more"));
  StepUntil([&] { return breaks_ == 1; });
  EXPECT_THAT(broken_, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("not the master")));
  // Who comes again is let in again, if it is to be.
  StepUntil([&] { return starts_ == 2; });
}

TEST_F(ShippingTest, StrangersAreToldWhy) {
  MakeSender(TestIdentity("a"));
  Identity stranger = TestIdentity("b");
  stranger.member = "mallory";
  MakeReceiver(std::move(stranger));
  Follow();
  StepUntil([&] { return breaks_ == 1; });
  EXPECT_THAT(broken_, StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("mallory")));

  Identity other = TestIdentity("b");
  other.group = "h";
  MakeReceiver(std::move(other));
  Follow();
  StepUntil([&] { return absl::IsFailedPrecondition(broken_); });
  EXPECT_THAT(broken_.ToString(), HasSubstr("\"h\""));
  EXPECT_EQ(starts_, 0);
}

TEST_F(ShippingTest, ANewMemberIsLetInFromThenOn) {
  master_.BeginEpoch(Epoch(1));
  Fill(100);
  MakeSender(TestIdentity("a"));
  MakeReceiver(TestIdentity("d"));
  Follow();
  Advance();
  StepUntil([&] { return breaks_ > 0; });
  EXPECT_EQ(starts_, 0);
  sender_->SetOthers({"b", "d"});
  StepUntil([&] { return Equal(); });
  StepUntil([&] { return acknowledged_.received == master_.end(); });
}

TEST_F(ShippingTest, WhoeverSaysNothingIsPushedOutByOthers) {
  MakeSender(TestIdentity("a"));
  MakeReceiver(TestIdentity("b"));
  auto stub = v1::ReplicationService::NewStub(
      grpc::CreateChannel(service_->address(), grpc::InsecureChannelCredentials()));
  std::deque<grpc::ClientContext> contexts(40);
  // In which order they arrive is gRPC's business: all but 32 of them are told.
  std::atomic<int> pushed_out = 0;
  std::vector<std::thread> readers;
  for (grpc::ClientContext& context : contexts) {
    readers.emplace_back([&pushed_out, stream = stub->Follow(&context)] {
      v1::FollowResponse none;
      EXPECT_FALSE(stream->Read(&none));
      if (stream->Finish().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) ++pushed_out;
    });
  }
  // And a member comes in all the same.
  master_.BeginEpoch(Epoch(1));
  Fill(10);
  Follow();
  Advance();
  StepUntil([&] { return Equal() && pushed_out >= 8; });
  for (grpc::ClientContext& context : contexts) context.TryCancel();
  for (std::thread& reader : readers) reader.join();
}

// A member's proof may come at the moment when its stream is pushed out.
TEST_F(ShippingTest, AFloodOfStrangersHarmsNobodyAndAMemberComesInAfterIt) {
  master_.BeginEpoch(Epoch(1));
  Fill(10);
  Begin();
  std::atomic<int> flooding = 4;
  std::vector<std::thread> strangers;
  for (int i = flooding; i > 0; --i) {
    strangers.emplace_back([&] {
      auto stub = v1::ReplicationService::NewStub(
          grpc::CreateChannel(service_->address(), grpc::InsecureChannelCredentials()));
      std::deque<grpc::ClientContext> contexts;
      std::vector<std::unique_ptr<grpc::ClientReaderWriter<v1::FollowRequest, v1::FollowResponse>>>
          silent;
      for (int opened = 0; opened < 500; ++opened) {
        silent.push_back(stub->Follow(&contexts.emplace_back()));
      }
      for (grpc::ClientContext& context : contexts) context.TryCancel();
      --flooding;
    });
  }
  while (flooding > 0 && Step()) Cut(absl::CancelledError("once more"));
  for (std::thread& thread : strangers) thread.join();
  StepUntil([&] { return Equal(); });
}

// Streams break at any moment, by either side, while the log grows, changes hands and loses its
// beginning. In the end both logs are the same.
TEST_F(ShippingTest, CatchesUpAfterCutsAnywhere) {
  const auto seed = static_cast<unsigned>(::testing::UnitTest::GetInstance()->random_seed());
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const auto chance = [&](int one_in) { return random() % static_cast<unsigned>(one_in) == 0; };
  lane_options_.frame_bytes = 512;
  uint32_t epoch = 1;
  master_.BeginEpoch(Epoch(epoch));
  Begin();
  for (int round = 0; round < 3000; ++round) {
    if (chance(2)) Fill(static_cast<int>(random() % 8), random() % 900);
    if (chance(50)) {
      // Another life of the master; who follows it connects again.
      master_.BeginEpoch(Epoch(++epoch));
      sender_->DropAll(absl::UnavailableError("cut"));
    }
    if (chance(60)) {
      // The slave was master for a while, and nobody followed it.
      Cut(absl::CancelledError("cut"));
      slave_.BeginEpoch(Epoch(++epoch));
      slave_.Append("not to be kept");
      master_.BeginEpoch(Epoch(++epoch));
      sender_->DropAll(absl::UnavailableError("cut"));
    }
    if (chance(150)) master_.DropBefore(LogOffset(master_.end().value() / 4096 * 4096));
    Advance();
    if (chance(30)) sender_->DropAll(absl::UnavailableError("cut"));
    if (chance(30)) Cut(absl::CancelledError("cut"));
    ASSERT_TRUE(Step());
  }
  // From the master's beginning on: what it has let go of, a slave may still have.
  StepUntil([&] {
    MemoryLog::Contents held = slave_.contents();
    held.erase(held.begin(), std::find_if(held.begin(), held.end(), [&](const auto& record) {
                 return record.first >= master_.start();
               }));
    return held == master_.contents() && slave_.history().last() == master_.history().last();
  });
  EXPECT_GT(breaks_, 20);
}

}  // namespace
}  // namespace dunlin::replicator
