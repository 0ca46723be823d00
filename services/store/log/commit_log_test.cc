#include "services/store/log/commit_log.h"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"

namespace dunlin::store {
namespace {

class CommitLogTest : public ::testing::TestWithParam<FlushMode> {
 protected:
  void Open(uint64_t segment_size_bytes = 64u << 10) {
    CommitLogOptions options;
    options.directory = directory_.path();
    options.flush_mode = GetParam();
    options.segment_size_bytes = segment_size_bytes;
    options.known_flushed = [this] { return known_flushed_; };
    auto log = CommitLog::Open(options, RealFiles(), clock_);
    ASSERT_OK(log);
    log_ = *std::move(log);
  }

  LogOffset Append(std::string_view payload) {
    NewRecord record;
    record.queue = {TopicId(1), 0};
    record.tail = &tail_;
    record.payload = {&payload, 1};
    auto appended = log_->AppendAndWait(record);
    EXPECT_OK(appended);
    return appended->log_offset;
  }

  // Everything in the log, in order.
  std::vector<std::string> ReadAll() {
    std::vector<std::string> payloads;
    LogOffset at = log_->start();
    for (;;) {
      auto record = log_->ReadNext(at, log_->end());
      if (!record.ok()) return payloads;
      payloads.emplace_back(record->payload());
      at = record->end();
    }
  }

  void FlipBit(LogOffset at) {
    const std::string path = directory_.path() + "/log/00000000000000000000";
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at.value()));
    const char byte = static_cast<char>(file.get() ^ 0x10);
    file.seekp(static_cast<std::streamoff>(at.value()));
    file.put(byte);
  }

  TempDir directory_;
  ManualClock clock_;
  LogOffset known_flushed_;  // what a checkpoint would say
  QueueTailSlot tail_;
  std::unique_ptr<CommitLog> log_;
};

INSTANTIATE_TEST_SUITE_P(Modes, CommitLogTest,
                         ::testing::Values(FlushMode::kAsync, FlushMode::kSync),
                         [](const auto& info) {
                           return info.param == FlushMode::kAsync ? "Async" : "Sync";
                         });

TEST_P(CommitLogTest, ReadsBackWhatItAppended) {
  Open();
  const LogOffset at = Append("hello");
  auto record = log_->Read(at);
  ASSERT_OK(record);
  EXPECT_EQ(record->payload(), "hello");
  EXPECT_EQ(record->header().queue_offset, QueueOffset(0));
  EXPECT_EQ(record->header().store_time, clock_.Now());
  EXPECT_THAT(log_->Read(record->end()), StatusIs(absl::StatusCode::kOutOfRange));
}

TEST_P(CommitLogTest, KeepsRecordsOfAllSizesOverManySegmentsAndRestarts) {
  std::vector<std::string> expected;
  for (int round = 0; round < 3; ++round) {
    Open();
    for (size_t size : {0, 1, 7, 8, 100, 4095, 4097, 20'000, 65'000, 1, 33'333}) {
      expected.push_back(std::string(size, static_cast<char>('a' + round)));
      Append(expected.back());
    }
    EXPECT_EQ(ReadAll(), expected);
    ASSERT_OK(log_->Close());
    log_.reset();
  }
  Open();
  EXPECT_EQ(ReadAll(), expected);
  EXPECT_TRUE(log_->damage().empty());
}

TEST_P(CommitLogTest, RefusesARecordLargerThanASegment) {
  Open();
  const std::string payload(65u << 10, 'x');
  const std::string_view piece = payload;
  NewRecord record;
  record.payload = {&piece, 1};
  EXPECT_THAT(log_->AppendAndWait(record), StatusIs(absl::StatusCode::kInvalidArgument));
  Append("still works");
}

TEST_P(CommitLogTest, RefusesASecondOpen) {
  Open();
  CommitLogOptions options;
  options.directory = directory_.path();
  EXPECT_THAT(
      CommitLog::Open(options, RealFiles(), clock_),
      StatusIs(absl::StatusCode::kFailedPrecondition, ::testing::HasSubstr("in use by process")));
}

TEST_P(CommitLogTest, ConcurrentAppendsGetDenseQueueOffsets) {
  Open();
  constexpr int kThreads = 4;
  constexpr int kEach = 500;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < kEach; ++i) Append("payload");
    });
  }
  for (std::thread& thread : threads) thread.join();
  QueueOffset expected(0);
  LogOffset at = log_->start();
  for (auto record = log_->ReadNext(at, log_->end()); record.ok();
       record = log_->ReadNext(record->end(), log_->end())) {
    EXPECT_EQ(record->header().queue_offset, expected);
    ++expected;
  }
  EXPECT_EQ(expected, QueueOffset(kThreads * kEach));
}

TEST_P(CommitLogTest, DamageInMidLogIsReportedAndSteppedOver) {
  Open();
  const LogOffset first = Append("first");
  const LogOffset second = Append("second");
  const LogOffset third = Append("third");
  ASSERT_OK(log_->Close());
  log_.reset();
  FlipBit(second + kRecordHeaderSize);
  Open();
  ASSERT_EQ(log_->damage().size(), 1u);
  EXPECT_EQ(log_->damage()[0].begin, second);
  EXPECT_EQ(log_->damage()[0].end, third);
  EXPECT_THAT(log_->Read(second), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_OK(log_->Read(first));
  EXPECT_EQ(ReadAll(), (std::vector<std::string>{"first", "third"}));
  Append("fourth");
  EXPECT_EQ(ReadAll(), (std::vector<std::string>{"first", "third", "fourth"}));
}

TEST_P(CommitLogTest, EveryFlippedBitOfARecordIsDetected) {
  Open();
  const LogOffset at = Append("payload of eight times n bytes..");
  const LogOffset end = log_->end();
  ASSERT_OK(log_->Close());
  log_.reset();
  const std::string path = directory_.path() + "/log/00000000000000000000";
  for (uint64_t bit = at.value() * 8; bit < end.value() * 8; ++bit) {
    auto flip = [&] {
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(static_cast<std::streamoff>(bit / 8));
      const char byte = static_cast<char>(file.get() ^ (1 << (bit % 8)));
      file.seekp(static_cast<std::streamoff>(bit / 8));
      file.put(byte);
    };
    flip();
    Open();
    EXPECT_EQ(log_->damage().size(), 1u) << "bit " << bit;
    EXPECT_TRUE(ReadAll().empty()) << "bit " << bit;
    log_.reset();
    flip();
  }
}

TEST_P(CommitLogTest, BytesBehindACutTailNeverComeBack) {
  Open();
  Append("kept");
  const LogOffset torn = Append("torn!");
  Append("stale");
  ASSERT_OK(log_->Close());
  log_.reset();
  // As after a loss of power: what was known to be flushed ends before the torn record, which never
  // reached the disk while its successor did.
  std::filesystem::remove(directory_.path() + "/control");
  FlipBit(torn + kRecordHeaderSize);
  Open();
  EXPECT_TRUE(log_->damage().empty() || GetParam() == FlushMode::kSync);
  if (GetParam() == FlushMode::kAsync) {
    EXPECT_EQ(log_->end(), torn);
    // Exactly as long as the torn one: the stale record stands right behind it again.
    Append("fresh");
    EXPECT_EQ(ReadAll(), (std::vector<std::string>{"kept", "fresh"}));
  }
  ASSERT_OK(log_->Close());
  log_.reset();
  std::filesystem::remove(directory_.path() + "/control");
  Open();
  EXPECT_EQ(ReadAll().back(), GetParam() == FlushMode::kAsync ? "fresh" : "stale");
}

TEST_P(CommitLogTest, TornTailIsCutAtEveryByte) {
  Open();
  Append("whole");
  const LogOffset torn = Append("a record that will be torn");
  const LogOffset end = log_->end();
  ASSERT_OK(log_->Close());
  log_.reset();
  const std::string path = directory_.path() + "/log/00000000000000000000";
  std::filesystem::copy_file(path, directory_.path() + "/saved");
  for (uint64_t cut = torn.value(); cut < end.value() - 8; ++cut) {
    std::filesystem::copy_file(directory_.path() + "/saved", path,
                               std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(path, cut);
    std::filesystem::resize_file(path, 64u << 10);
    std::filesystem::remove(directory_.path() + "/control");
    Open();
    EXPECT_EQ(ReadAll(), std::vector<std::string>{"whole"}) << "cut at " << cut;
    EXPECT_EQ(log_->end(), torn);
    EXPECT_TRUE(log_->damage().empty());
    log_.reset();
  }
}

TEST_P(CommitLogTest, DropsOldSegmentsAndReusesAFile) {
  Open();
  for (int i = 0; i < 100; ++i) Append(std::string(8000, 'x'));
  const std::vector<CommitLog::SegmentInfo> before = log_->Segments();
  ASSERT_GE(before.size(), 5u);
  auto pinned = log_->Read(LogOffset(0));
  ASSERT_OK(pinned);
  ASSERT_OK(log_->DropBefore(before[3].begin));
  EXPECT_EQ(log_->start(), before[3].begin);
  EXPECT_THAT(log_->Read(LogOffset(0)), StatusIs(absl::StatusCode::kNotFound));
  // Who holds a view may still read it.
  EXPECT_EQ(pinned->payload(), std::string(8000, 'x'));
  for (int i = 0; i < 100; ++i) Append(std::string(8000, 'y'));
  const size_t records = ReadAll().size();
  ASSERT_OK(log_->Close());
  log_.reset();
  Open();
  EXPECT_EQ(ReadAll().size(), records);
  EXPECT_TRUE(log_->damage().empty());
}

TEST_P(CommitLogTest, AFileCutShortUnderTheMapIsAnErrorAndNoCrash) {
  Open();
  const LogOffset at = Append(std::string(20'000, 'x'));
  ASSERT_OK(log_->FlushUpTo(log_->end()));
  std::filesystem::resize_file(directory_.path() + "/log/00000000000000000000", 4096);
  EXPECT_THAT(log_->Read(at), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_P(CommitLogTest, AMissingSegmentIsDamageAndTheRestIsServed) {
  Open();
  for (int i = 0; i < 40; ++i) Append(std::string(8000, 'x'));
  const std::vector<CommitLog::SegmentInfo> segments = log_->Segments();
  ASSERT_GE(segments.size(), 4u);
  const size_t records = ReadAll().size();
  ASSERT_OK(log_->Close());
  log_.reset();
  std::filesystem::remove(directory_.path() + "/log/00000000000000131072");
  Open();
  ASSERT_EQ(log_->damage().size(), 1u);
  EXPECT_EQ(log_->damage()[0].begin, LogOffset(131072));
  EXPECT_EQ(log_->damage()[0].end, segments[3].begin);
  EXPECT_THAT(log_->Read(LogOffset(131072)), StatusIs(absl::StatusCode::kDataLoss));
  // Eight records of 8000 bytes are all that a segment of 64 KiB holds.
  EXPECT_EQ(ReadAll().size(), records - 8);
}

TEST_P(CommitLogTest, AnEmptySegmentFileIsRefusedByName) {
  Open();
  for (int i = 0; i < 20; ++i) Append(std::string(8000, 'x'));
  ASSERT_OK(log_->Close());
  log_.reset();
  std::filesystem::resize_file(directory_.path() + "/log/00000000000000065536", 0);
  CommitLogOptions options;
  options.directory = directory_.path();
  options.segment_size_bytes = 64u << 10;
  EXPECT_THAT(CommitLog::Open(options, RealFiles(), clock_),
              StatusIs(absl::StatusCode::kDataLoss, ::testing::HasSubstr("00000000000000065536")));
}

TEST_P(CommitLogTest, SegmentsOfAnEarlierSizeAreFilledToTheirOwnEnd) {
  std::vector<std::string> expected;
  auto append = [&](size_t size) {
    expected.push_back(std::string(size, static_cast<char>('a' + expected.size() % 26)));
    Append(expected.back());
  };
  for (uint64_t size : {128u << 10, 64u << 10, 256u << 10, 128u << 10}) {
    Open(size);
    EXPECT_EQ(ReadAll(), expected) << size;
    // Past the middle of a segment, so that the next one is made while this size is in force.
    const LogOffset begin = log_->end();
    while (log_->end() - begin < 3 * size) append(5000);
    while (log_->Segments().back().begin < log_->end()) {
      if (log_->Segments().back().end - log_->end() > size / 4) append(5000);
      std::this_thread::yield();
    }
    EXPECT_EQ(ReadAll(), expected) << size;
    ASSERT_OK(log_->Close());
    log_.reset();
  }
  // A record that the segment prepared last cannot hold goes behind it.
  Open(256u << 10);
  append(200u << 10);
  append(200u << 10);
  EXPECT_EQ(ReadAll(), expected);
  ASSERT_OK(log_->Close());
  log_.reset();
  std::filesystem::remove(directory_.path() + "/control");
  Open();
  EXPECT_EQ(ReadAll(), expected);
  EXPECT_TRUE(log_->damage().empty());
}

TEST_P(CommitLogTest, StaleRecordsStayBehindTheEndWithoutTheEpochsFile) {
  if (GetParam() == FlushMode::kSync) GTEST_SKIP() << "there the stale record proves damage";
  Open();
  Append("kept");
  const LogOffset torn = Append("torn!");
  Append("stale");
  ASSERT_OK(log_->Close());
  log_.reset();
  std::filesystem::remove(directory_.path() + "/control");
  FlipBit(torn + kRecordHeaderSize);
  Open();
  Append("fresh");
  const LogOffset end = log_->end();
  ASSERT_OK(log_->Close());
  log_.reset();
  for (LogOffset checkpoint : {LogOffset(0), end}) {
    std::filesystem::remove(directory_.path() + "/control");
    std::filesystem::remove(directory_.path() + "/epochs");
    known_flushed_ = checkpoint;
    Open();
    EXPECT_EQ(ReadAll(), (std::vector<std::string>{"kept", "fresh"}));
    EXPECT_EQ(log_->end(), end);
    EXPECT_TRUE(log_->damage().empty());
    log_.reset();
  }
}

TEST_P(CommitLogTest, AnUnreadableSegmentIsAsOldAsWhatCanBeReadBehindIt) {
  Open();
  for (int i = 0; i < 40; ++i) {
    clock_.Advance(std::chrono::seconds(1));
    Append(std::string(8000, 'x'));
  }
  const Timestamp last = clock_.Now();
  const std::vector<CommitLog::SegmentInfo> before = log_->Segments();
  ASSERT_GE(before.size(), 5u);
  ASSERT_OK(log_->Close());
  log_.reset();
  for (const char* name : {"00000000000000065536", "00000000000000131072"}) {
    const std::string path = directory_.path() + "/log/" + name;
    std::filesystem::resize_file(path, 4096);
    std::filesystem::resize_file(path, 64u << 10);
    std::fstream(path, std::ios::in | std::ios::out | std::ios::binary) << std::string(4096, '\0');
  }
  Open();
  const std::vector<CommitLog::SegmentInfo> after = log_->Segments();
  EXPECT_EQ(after[0].last_write, before[2].last_write);
  EXPECT_EQ(after[1].last_write, before[2].last_write);
  EXPECT_EQ(after[2].last_write, before[2].last_write);
  EXPECT_EQ(after[3].last_write, before[3].last_write);
  ASSERT_OK(log_->Close());
  log_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(directory_.path() + "/log")) {
    std::filesystem::resize_file(entry.path(), 0);
    std::filesystem::resize_file(entry.path(), 64u << 10);
  }
  clock_.Advance(std::chrono::hours(1));
  Open();
  for (const CommitLog::SegmentInfo& segment : log_->Segments()) {
    EXPECT_GE(segment.last_write, last);
  }
}

TEST_P(CommitLogTest, WatermarksFollowTheFlushMode) {
  Open();
  Append("x");
  EXPECT_EQ(log_->written().Get(), log_->end());
  EXPECT_EQ(log_->confirmed().Get(), log_->end());
  if (GetParam() == FlushMode::kSync) EXPECT_EQ(log_->flushed().Get(), log_->end());
  ASSERT_OK(log_->FlushUpTo(log_->end()));
  EXPECT_EQ(log_->flushed().Get(), log_->end());
}

}  // namespace
}  // namespace dunlin::store
