// A slave and a master that does not keep to the contract: each breach ends the stream, is named,
// and nothing of it is taken.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "services/base/bytes.h"
#include "services/base/testing/status_matchers.h"
#include "services/replicator/transport/testing/stream_fixture.h"

namespace dunlin::replicator {
namespace {

using ::testing::HasSubstr;

// Answers hello and proof as it should, then says what the test wants.
class Script final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit Script(std::vector<grpc::ByteBuffer> answers) : answers_(std::move(answers)) {
    StartRead(&received_);
  }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    if (reads_++ == 0) {
      v1::FollowRequest request;
      if (!Parse(received_, request).ok() || !handshake_.OnHello(request.hello()).ok()) {
        return Finish({grpc::StatusCode::INTERNAL, "no hello"});
      }
      v1::FollowResponse challenge;
      *challenge.mutable_challenge() = *handshake_.OnHello(request.hello());
      answers_.insert(answers_.begin(), Serialize(challenge));
      StartWrite(&answers_[0]);
    }
    StartRead(&received_);
  }
  void OnWriteDone(bool ok) override {
    if (ok && ++written_ < answers_.size()) StartWrite(&answers_[written_]);
  }
  void OnDone() override { delete this; }

 private:
  const Identity identity_ = TestIdentity("a");
  MasterHandshake handshake_{identity_};
  std::vector<grpc::ByteBuffer> answers_;
  grpc::ByteBuffer received_;
  int reads_ = 0;
  size_t written_ = 0;
};

class BadMasterTest : public StreamFixture {
 protected:
  static std::string Record(size_t size) {
    std::string record(size, 'r');
    StoreLittle(record.data(), static_cast<uint32_t>(size));
    return record;
  }
  static FrameHeader At(uint64_t offset, uint32_t epoch = 1) {
    return {.epoch = Epoch(epoch),
            .epoch_start = {},
            .offset = LogOffset(offset),
            .confirm = {},
            .end = LogOffset(1 << 20),
            .begin = {},
            .segment_end = LogOffset(4096),
            .time = {}};
  }
  void Start() {
    v1::FollowResponse start;
    start.mutable_start()->set_epoch(1);
    start.mutable_start()->set_reset_to(0);
    answers_.push_back(Serialize(start));
  }
  // As a master that means well would.
  void Frame(const FrameHeader& header, const std::string& records, uint32_t flip = 0) {
    auto kept = std::make_shared<std::string>(records);
    const uint32_t crc = chain_.Extend(header, *kept) ^ flip;
    answers_.push_back(EncodeFrame(header, crc, *kept, kept));
  }
  // The stream breaks with this.
  void Expect(absl::StatusCode code, const std::string& words) {
    service_ = std::make_unique<FollowService>(
        [this](grpc::CallbackServerContext&) { return new Script(answers_); });
    receiver_options_.first_retry = std::chrono::hours(1);
    MakeReceiver(TestIdentity("b"));
    Follow();
    StepUntil([&] { return breaks_ == 1; });
    EXPECT_THAT(broken_, StatusIs(code, HasSubstr(words)));
  }

  std::vector<grpc::ByteBuffer> answers_;
  FrameChain chain_;
};

TEST_F(BadMasterTest, GoodFramesAreTaken) {
  Start();
  Frame(At(0), Record(96));
  Frame(At(96), Record(96));
  Frame(At(192), "");
  Frame(At(4096), Record(8));  // in the next segment
  Frame(At(5000), "");
  Expect(absl::StatusCode::kInvalidArgument, "a frame at 5000, the one before ended at 4104");
  EXPECT_EQ(frames_, 3);
}

TEST_F(BadMasterTest, AChangedFrame) {
  Start();
  Frame(At(0), Record(96));
  Frame(At(96), Record(96), /*flip=*/1);
  Expect(absl::StatusCode::kDataLoss, "at 96");
  EXPECT_EQ(frames_, 1);
}

TEST_F(BadMasterTest, AFrameLeftOutBreaksTheChain) {
  Start();
  Frame(At(0), Record(96));
  Frame(At(96), Record(96));
  answers_.pop_back();
  Frame(At(96), Record(104));
  Expect(absl::StatusCode::kDataLoss, "check sum");
  EXPECT_EQ(frames_, 1);
}

TEST_F(BadMasterTest, AGap) {
  Start();
  Frame(At(0), Record(96));
  Frame(At(200), Record(96));
  Expect(absl::StatusCode::kInvalidArgument, "a frame at 200, the one before ended at 96");
}

TEST_F(BadMasterTest, ARepetition) {
  Start();
  Frame(At(0), Record(96));
  Frame(At(0), Record(96));
  Expect(absl::StatusCode::kInvalidArgument, "a frame at 0");
}

TEST_F(BadMasterTest, ALowerEpoch) {
  Start();
  Frame(At(0, 3), Record(96));
  Frame(At(96, 2), Record(96));
  Expect(absl::StatusCode::kInvalidArgument, "epoch 2 behind one of epoch 3");
}

TEST_F(BadMasterTest, AnEpochThatBeginsLater) {
  Start();
  FrameHeader header = At(0);
  header.epoch_start = LogOffset(8);
  Frame(header, Record(96));
  Expect(absl::StatusCode::kInvalidArgument, "epoch 1, which begins at 8");
}

TEST_F(BadMasterTest, AnOversizedFrame) {
  Start();
  Frame(At(0), Record(kMaxFrameBytes) + Record(96));
  Expect(absl::StatusCode::kInvalidArgument, "at most 1048576");
  EXPECT_EQ(frames_, 0);
}

TEST_F(BadMasterTest, MoreThanARecordCanBe) {
  Start();
  Frame(At(0), std::string((64u << 20) + (128u << 10), 'x'));
  Expect(absl::StatusCode::kResourceExhausted, "larger than max");
}

TEST_F(BadMasterTest, FramesBeforeTheStart) {
  Frame(At(0), Record(96));
  Expect(absl::StatusCode::kInvalidArgument, "before the start");
}

TEST_F(BadMasterTest, TwoStarts) {
  Start();
  Start();
  Expect(absl::StatusCode::kInvalidArgument, "a start that was not to come");
}

TEST_F(BadMasterTest, AStartWithoutAPosition) {
  v1::FollowResponse start;
  start.mutable_start()->set_epoch(1);
  answers_.push_back(Serialize(start));
  Expect(absl::StatusCode::kInvalidArgument, "names no position");
}

TEST_F(BadMasterTest, OneThatBreaksOffBehindEachStartIsAskedLessAndLess) {
  Start();
  Frame(At(0), "");
  Frame(At(96), Record(96));
  receiver_options_.last_retry = std::chrono::hours(24);
  Expect(absl::StatusCode::kInvalidArgument, "a frame at 96");  // first_retry is an hour
  Duration waits = receiver_->wake_at() - BootNow();
  EXPECT_LE(waits, std::chrono::hours(1));
  for (int again = 2; again <= 4; ++again) {
    receiver_->Tick(receiver_->wake_at());
    StepUntil([&] { return breaks_ == again; });
    EXPECT_GT(receiver_->wake_at() - BootNow(), waits + std::chrono::minutes(30));
    waits = receiver_->wake_at() - BootNow();
  }
  EXPECT_EQ(starts_, 4);
}

TEST_F(BadMasterTest, Rubbish) {
  Start();
  const grpc::Slice slice("\x1a\xff\xff\xff\xff\x0f rubbish");
  answers_.emplace_back(&slice, 1);
  Expect(absl::StatusCode::kInvalidArgument, "no frame of the contract");
}

TEST_F(BadMasterTest, OneThatSaysNothing) {
  Start();
  receiver_options_.silence = std::chrono::milliseconds(50);
  Expect(absl::StatusCode::kDeadlineExceeded, "nothing was heard");
}

TEST_F(BadMasterTest, OneThatIsNotThere) {
  // Keeps gRPC up, as a member's own server does: it does not like to end and begin again at once.
  const FollowService own([](grpc::CallbackServerContext&) { return new Script({}); });
  service_ =
      std::make_unique<FollowService>([](grpc::CallbackServerContext&) { return new Script({}); });
  service_->Stop();
  MakeReceiver(TestIdentity("b"));
  Follow();
  StepUntil([&] { return breaks_ == 3; });
  EXPECT_THAT(broken_, StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace dunlin::replicator
