#include "services/store/log/log_mirror.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "services/base/file.h"
#include "services/base/testing/forgetful_file.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/store/log/commit_log.h"
#include "services/store/log/control_page.h"
#include "services/store/log/raw_reader.h"
#include "services/store/log/segment.h"
#include "services/store/log/testing/log_copy.h"

namespace dunlin::store {
namespace {

constexpr LogOffset kNoLimit{UINT64_MAX};
constexpr auto kMustStay = LogMirror::Confirmed::kMustStay;
constexpr auto kMayGo = LogMirror::Confirmed::kMayGo;

class LogMirrorTest : public ::testing::Test {
 protected:
  void OpenMirror(FileSystem& files = RealFiles()) {
    mirror_.reset();
    LogMirrorOptions options;
    options.directory = copy_.path();
    auto mirror = LogMirror::Open(options, files);
    ASSERT_OK(mirror);
    mirror_ = *std::move(mirror);
  }
  // A log of several epochs, closed, and a reader of it.
  void MakeMaster(int epochs = 4, int records = 40, uint32_t seed = 1) {
    std::mt19937 random(seed);
    for (int epoch = 0; epoch < epochs; ++epoch) {
      const auto log = OpenTestLog(master_.path(), clock_);
      AppendRandom(*log, random, records);
      ASSERT_OK(log->Close());
    }
    auto reader = RawReader::Open(RealFiles(), master_.path());
    ASSERT_OK(reader);
    reader_ = *std::move(reader);
  }
  RawReader::Piece ReadAt(LogOffset at, size_t max_bytes = 10'000) {
    auto piece = reader_->Read(at, kNoLimit, max_bytes);
    EXPECT_OK(piece);
    return *std::move(piece);
  }
  LogMirror::Chunk ChunkOf(const RawReader::Piece& piece) {
    return {piece.begin, piece.segment_end, piece.epoch, piece.bytes};
  }
  std::unique_ptr<ControlPage> Page() {
    auto page = ControlPage::Open(RealFiles(), copy_.path() + "/control");
    EXPECT_OK(page);
    return *std::move(page);
  }
  absl::Status CutAt(LogOffset end, LogMirror::Confirmed confirmed) {
    return mirror_->TruncateTo(PointAt(mirror_->epochs(), end), confirmed);
  }
  void ExpectSame() {
    EXPECT_EQ(Difference(ReadWhole(copy_.path()), ReadWhole(master_.path())), "");
    EXPECT_EQ(mirror_->epochs().entries(), reader_->ReadEpochs()->entries());
  }

  TempDir master_;
  TempDir copy_;
  ManualClock clock_;
  std::mt19937 random_{7};
  std::unique_ptr<RawReader> reader_;
  std::unique_ptr<LogMirror> mirror_;
};

TEST_F(LogMirrorTest, IsEmptyAtFirst) {
  OpenMirror();
  EXPECT_EQ(mirror_->start(), LogOffset(0));
  EXPECT_EQ(mirror_->end(), LogOffset(0));
  EXPECT_EQ(mirror_->flushed(), LogOffset(0));
  EXPECT_TRUE(mirror_->epochs().entries().empty());
  EXPECT_OK(mirror_->Flush());
  EXPECT_OK(mirror_->Close());
  EXPECT_OK(mirror_->Close());
  EXPECT_THAT(mirror_->Flush(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(LogMirrorTest, BecomesTheSameLogWhateverThePiecesAndRestarts) {
  MakeMaster();
  OpenMirror();
  for (int step = 0; step < 400 && mirror_->end() < reader_->end(); ++step) {
    ASSERT_OK(CopyPiece(*reader_, *mirror_, random_() % 12'000));
    EXPECT_EQ(Page()->appended(), mirror_->end());
    if (step % 9 == 0) {
      ASSERT_OK(mirror_->Flush());
      EXPECT_EQ(mirror_->flushed(), mirror_->end());
      EXPECT_EQ(Page()->flushed(), mirror_->end());
    }
    if (step % 20 == 7) {
      const LogOffset end = mirror_->end();
      OpenMirror();
      ASSERT_EQ(mirror_->end(), end);
    }
  }
  ASSERT_EQ(mirror_->end(), reader_->end());
  ExpectSame();
}

TEST_F(LogMirrorTest, HoldsTheLockOfTheStore) {
  OpenMirror();
  EXPECT_THAT(LogMirror::Open({copy_.path()}, RealFiles()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  CommitLogOptions options;
  options.directory = copy_.path();
  EXPECT_THAT(CommitLog::Open(options, RealFiles(), clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK(mirror_->Close());
  EXPECT_OK(CommitLog::Open(options, RealFiles(), clock_));
}

TEST_F(LogMirrorTest, WhatDoesNotFollowIsRefused) {
  MakeMaster();
  OpenMirror();
  const RawReader::Piece first = ReadAt(LogOffset(0));
  const RawReader::Piece second = ReadAt(first.end);
  EXPECT_THAT(mirror_->Append(ChunkOf(first)), StatusIs(absl::StatusCode::kFailedPrecondition))
      << "of an epoch that was not begun";
  ASSERT_OK(mirror_->BeginEpoch(first.epoch, LogOffset(0)));
  EXPECT_THAT(mirror_->Append(ChunkOf(second)), StatusIs(absl::StatusCode::kFailedPrecondition));
  LogMirror::Chunk other_size = ChunkOf(first);
  other_size.segment_end += 4096 - 8;
  EXPECT_THAT(mirror_->Append(other_size), StatusIs(absl::StatusCode::kInvalidArgument));
  LogMirror::Chunk too_small = ChunkOf(first);
  too_small.segment_end = first.begin + first.bytes.size() - 8;
  EXPECT_THAT(mirror_->Append(too_small), StatusIs(absl::StatusCode::kInvalidArgument));
  LogMirror::Chunk empty = ChunkOf(first);
  empty.bytes = {};
  EXPECT_THAT(mirror_->Append(empty), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(mirror_->end(), LogOffset(0));
  ASSERT_OK(mirror_->Append(ChunkOf(first)));
  LogMirror::Chunk other_end = ChunkOf(second);
  other_end.segment_end += 64u << 10;
  EXPECT_THAT(mirror_->Append(other_end), StatusIs(absl::StatusCode::kFailedPrecondition));
  LogMirror::Chunk other_epoch = ChunkOf(second);
  other_epoch.epoch = other_epoch.epoch + 1;
  EXPECT_THAT(mirror_->Append(other_epoch), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(mirror_->end(), first.end);
  EXPECT_OK(mirror_->health());
  EXPECT_OK(mirror_->Append(ChunkOf(second)));
}

TEST_F(LogMirrorTest, AFlippedBitAnywhereIsFoundAndNothingWritten) {
  MakeMaster(1, 60);
  OpenMirror();
  const RawReader::Piece piece = ReadAt(LogOffset(0), 4'000);
  ASSERT_OK(mirror_->BeginEpoch(piece.epoch, LogOffset(0)));
  for (int round = 0; round < 500; ++round) {
    std::string bytes(piece.bytes);
    bytes[random_() % bytes.size()] ^= static_cast<char>(1 << random_() % 8);
    LogMirror::Chunk chunk = ChunkOf(piece);
    chunk.bytes = bytes;
    ASSERT_THAT(mirror_->Append(chunk), StatusIs(absl::StatusCode::kDataLoss));
  }
  for (size_t size = 8; size < piece.bytes.size(); size += 8) {
    LogMirror::Chunk chunk = ChunkOf(piece);
    chunk.bytes = chunk.bytes.substr(0, size);
    const absl::Status appended = mirror_->Append(chunk);
    if (appended.ok()) break;  // a whole record
    ASSERT_THAT(appended, StatusIs(absl::StatusCode::kDataLoss));
  }
  OpenMirror();
  EXPECT_OK(CopyRest(*reader_, *mirror_, random_));
  ExpectSame();
}

TEST_F(LogMirrorTest, EpochsBeginAtTheEndAndGrow) {
  MakeMaster();
  OpenMirror();
  ASSERT_OK(mirror_->BeginEpoch(Epoch(1), LogOffset(0)));
  EXPECT_OK(mirror_->BeginEpoch(Epoch(1), LogOffset(0))) << "again";
  ASSERT_OK(CopyPiece(*reader_, *mirror_, 10'000));
  EXPECT_THAT(mirror_->BeginEpoch(Epoch(1), mirror_->end()),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(mirror_->BeginEpoch(Epoch(2), LogOffset(0)),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(mirror_->BeginEpoch(Epoch(2), mirror_->end() + 8),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_OK(mirror_->BeginEpoch(Epoch(5), mirror_->end()));
  EXPECT_EQ(mirror_->flushed(), mirror_->end());
  EXPECT_EQ(Page()->log_epoch(), Epoch(5));
  const auto epochs = mirror_->epochs().entries();
  OpenMirror();
  EXPECT_EQ(mirror_->epochs().entries(), epochs);
}

TEST_F(LogMirrorTest, WhatIsCutOffDoesNotComeBack) {
  MakeMaster();
  OpenMirror();
  ASSERT_OK(CopyRest(*reader_, *mirror_, random_));
  std::vector<LogOffset> boundaries;
  for (LogOffset at; at < reader_->end(); at = ReadAt(at, 1).end) boundaries.push_back(at);
  while (boundaries.size() > 1) {
    boundaries.resize(boundaries.size() - 1 -
                      random_() % std::min<size_t>(20, boundaries.size() - 1));
    const LogOffset end = boundaries.back();
    ASSERT_OK(CutAt(end, kMustStay));
    ASSERT_EQ(mirror_->end(), end);
    EXPECT_EQ(mirror_->flushed(), end);
    EXPECT_EQ(Page()->appended(), end);
    EXPECT_EQ(Page()->flushed(), end);
    if (random_() % 2 == 0) OpenMirror();
    ASSERT_EQ(mirror_->end(), end);
    ASSERT_EQ(Difference(ReadWhole(copy_.path()), ReadWhole(master_.path(), end)), "");
    if (random_() % 3 == 0) {
      ASSERT_OK(CopyRest(*reader_, *mirror_, random_));
      ExpectSame();
      ASSERT_OK(CutAt(end, kMustStay));
    }
  }
  EXPECT_EQ(Page()->cuts(), 0u);
  ASSERT_OK(CopyRest(*reader_, *mirror_, random_));
  ExpectSame();
}

TEST_F(LogMirrorTest, CutsOnlyWhereARecordBegins) {
  MakeMaster();
  OpenMirror();
  ASSERT_OK(CopyRest(*reader_, *mirror_, random_));
  const LogOffset end = mirror_->end();
  const LogOffset second = ReadAt(LogOffset(0), 1).end;
  EXPECT_FALSE(CutAt(second + 8, kMustStay).ok());
  EXPECT_FALSE(CutAt(second - 8, kMustStay).ok());
  EXPECT_THAT(CutAt(end + 8, kMustStay), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_OK(CutAt(end, kMustStay));
  EXPECT_OK(mirror_->health());
  ExpectSame();
}

TEST_F(LogMirrorTest, AnEpochWithoutARecordStaysIfTheOtherLogHasItAndGoesIfNot) {
  MakeMaster();
  OpenMirror();
  ASSERT_OK(CopyRest(*reader_, *mirror_, random_));
  const LogOffset end = mirror_->end();
  const Epoch last = mirror_->epochs().last();
  ASSERT_OK(mirror_->BeginEpoch(Epoch(8), end));
  ASSERT_OK(mirror_->BeginEpoch(Epoch(9), end));
  const auto expect_last = [&](Epoch epoch, size_t more) {
    for (int look = 0; look < 2; ++look) {
      EXPECT_EQ(mirror_->end(), end);
      EXPECT_EQ(mirror_->epochs().last(), epoch);
      EXPECT_EQ(mirror_->epochs().entries().size(), reader_->ReadEpochs()->entries().size() + more);
      OpenMirror();
    }
  };
  expect_last(Epoch(9), 2);
  ASSERT_OK(mirror_->TruncateTo({Epoch(9), end}, kMustStay));
  expect_last(Epoch(9), 2);
  ASSERT_OK(mirror_->TruncateTo({Epoch(8), end}, kMustStay));
  expect_last(Epoch(8), 1);
  ASSERT_OK(mirror_->TruncateTo({last, end}, kMustStay));
  expect_last(last, 0);
  ExpectSame();
  EXPECT_OK(mirror_->BeginEpoch(Epoch(8), end));
}

TEST_F(LogMirrorTest, APromotedMirrorKeepsTheEpochsWithoutARecord) {
  MakeMaster();
  OpenMirror();
  ASSERT_OK(CopyRest(*reader_, *mirror_, random_));
  const LogOffset end = mirror_->end();
  ASSERT_OK(mirror_->BeginEpoch(Epoch(8), end));
  ASSERT_OK(mirror_->BeginEpoch(Epoch(9), end));
  ASSERT_OK(mirror_->Close());
  CommitLogOptions options;
  options.directory = copy_.path();
  options.segment_size_bytes = 64u << 10;
  options.epoch = Epoch(10);
  auto log = CommitLog::Open(options, RealFiles(), clock_);
  ASSERT_OK(log);
  AppendRandom(**log, random_, 3);
  ASSERT_OK((*log)->Close());
  log->reset();
  OpenMirror();
  const Epochs epochs = mirror_->epochs();
  ASSERT_GE(epochs.entries().size(), 3u);
  const std::vector<Epochs::Entry> newest(epochs.entries().end() - 3, epochs.entries().end());
  const std::vector<Epochs::Entry> expected = {{Epoch(8), end}, {Epoch(9), end}, {Epoch(10), end}};
  EXPECT_EQ(newest, expected);
  EXPECT_GT(mirror_->end(), end);
}

TEST_F(LogMirrorTest, WhatReadersMayHaveSeenIsCutOnlyWhenItMayGo) {
  MakeMaster();
  OpenMirror();
  ASSERT_OK(CopyRest(*reader_, *mirror_, random_));
  const LogOffset end = mirror_->end();
  const LogOffset second = ReadAt(LogOffset(0), 1).end;
  const LogOffset third = ReadAt(second, 1).end;
  const auto page = Page();
  page->BeginOrders();
  page->SetReplicated(third);
  EXPECT_THAT(CutAt(second, kMustStay), StatusIs(absl::StatusCode::kFailedPrecondition));
  page->SetReplicated(LogOffset(0));  // of another replicator, which does not know yet
  page->SetShown(third, page->cuts());
  EXPECT_THAT(CutAt(second, kMustStay), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(mirror_->end(), end);
  EXPECT_OK(CutAt(third, kMustStay));
  EXPECT_EQ(page->cuts(), 0u);
  EXPECT_OK(CutAt(second, kMayGo));
  EXPECT_GT(page->cuts(), 0u);
}

// A lone broker shows everything at once and keeps no book of it.
TEST_F(LogMirrorTest, OfALoneBrokersLogReadersHaveSeenAllButNoMoreThanThat) {
  MakeMaster();
  OpenMirror();
  ASSERT_OK(CopyPiece(*reader_, *mirror_, 5'000));
  const LogOffset alone = mirror_->end();
  Page()->SetShown(ControlPage::kEverything, Page()->cuts());
  OpenMirror();
  EXPECT_EQ(Page()->shown(), alone);
  ASSERT_OK(CopyRest(*reader_, *mirror_, random_));
  EXPECT_OK(CutAt(alone, kMustStay));
  EXPECT_THAT(CutAt(LogOffset(0), kMustStay), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(LogMirrorTest, WhatReadersMayHaveSeenIsGivenUpOnlyWhenItMayGoOrHasExpired) {
  MakeMaster();
  OpenMirror();
  ASSERT_OK(CopyRest(*reader_, *mirror_, random_));
  const LogOffset end = mirror_->end();
  const LogOffset second = ReadAt(LogOffset(0), 1).end;
  const auto page = Page();
  page->SetShown(ControlPage::kEverything, page->cuts());  // a lone broker's
  EXPECT_THAT(mirror_->Reset(LogOffset(0), kMustStay),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(mirror_->end(), end);
  ExpectSame();
  page->LowerShown(second);
  EXPECT_THAT(mirror_->Reset(LogOffset(0), kMustStay),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_OK(mirror_->Reset(second, kMustStay));
  EXPECT_EQ(mirror_->end(), second);
  EXPECT_OK(mirror_->Reset(LogOffset(0), kMustStay)) << "there is nothing to be given up";
}

TEST_F(LogMirrorTest, BeginsAnewAnywhere) {
  MakeMaster(4, 80);
  OpenMirror();
  ASSERT_OK(CopyRest(*reader_, *mirror_, random_));
  // The master's first segments have expired since.
  const LogOffset start(3 * (64u << 10));
  {
    const auto log = OpenTestLog(master_.path(), clock_);
    ASSERT_OK(log->DropBefore(start));
    ASSERT_OK(log->Close());
  }
  ASSERT_OK(mirror_->Reset(start, kMayGo));
  EXPECT_EQ(mirror_->start(), start);
  EXPECT_EQ(mirror_->end(), start);
  EXPECT_TRUE(mirror_->epochs().entries().empty());
  EXPECT_GT(Page()->cuts(), 0u);
  EXPECT_EQ(Page()->log_start(), start);
  ASSERT_OK(CopyPiece(*reader_, *mirror_, 10'000));
  OpenMirror();
  EXPECT_EQ(mirror_->start(), start);
  ASSERT_OK(CopyRest(*reader_, *mirror_, random_));
  EXPECT_EQ(Difference(ReadWhole(copy_.path()), ReadWhole(master_.path())), "");
  // The epoch in force at the start began before it, there and here.
  const Epochs there = *reader_->ReadEpochs();
  const Epochs here = mirror_->epochs();
  ASSERT_FALSE(here.entries().empty());
  EXPECT_LT(here.entries().front().start, start);
  EXPECT_EQ(CommonPoint(here, mirror_->end(), there, reader_->end()).offset, mirror_->end());
}

TEST_F(LogMirrorTest, DropsSegmentsFromTheFrontButNotTheLast) {
  MakeMaster(2, 80);
  OpenMirror();
  ASSERT_OK(CopyRest(*reader_, *mirror_, random_));
  const RawReader::Piece first = ReadAt(LogOffset(0));
  const std::string bytes(first.bytes);
  ASSERT_OK(mirror_->DropBefore(LogOffset((64u << 10) + 100)));
  EXPECT_EQ(mirror_->start(), LogOffset(64u << 10));
  EXPECT_EQ(Page()->log_start(), LogOffset(64u << 10));
  EXPECT_EQ(first.bytes, bytes) << "held";
  ASSERT_OK(mirror_->DropBefore(kNoLimit));
  EXPECT_LE(mirror_->start(), mirror_->end());
  const LogOffset start = mirror_->start();
  const LogOffset end = mirror_->end();
  OpenMirror();
  EXPECT_EQ(mirror_->start(), start);
  EXPECT_EQ(mirror_->end(), end);
}

TEST_F(LogMirrorTest, SegmentsOfOtherSizesAreFollowed) {
  std::mt19937 random(1);
  for (const uint64_t size : {64u << 10, 128u << 10, 68u << 10, 64u << 10}) {
    CommitLogOptions options;
    options.directory = master_.path();
    options.segment_size_bytes = size;
    auto log = CommitLog::Open(options, RealFiles(), clock_);
    ASSERT_OK(log);
    AppendRandom(**log, random, 100);
    ASSERT_OK((*log)->Close());
  }
  MakeMaster(1, 1);
  OpenMirror();
  ASSERT_OK(CopyRest(*reader_, *mirror_, random_));
  ExpectSame();
}

TEST_F(LogMirrorTest, APromotedMirrorGoesOnInTheEpochThatItBegan) {
  MakeMaster();
  OpenMirror();
  ASSERT_OK(CopyRest(*reader_, *mirror_, random_));
  const LogOffset end = mirror_->end();
  ASSERT_OK(mirror_->BeginEpoch(Epoch(9), end));
  ASSERT_OK(mirror_->Close());
  CommitLogOptions options;
  options.directory = copy_.path();
  options.segment_size_bytes = 64u << 10;
  for (const uint32_t epoch : {9u, 9u, 10u, 10u}) {
    options.epoch = Epoch(epoch);
    auto log = CommitLog::Open(options, RealFiles(), clock_);
    ASSERT_OK(log);
    EXPECT_EQ((*log)->epoch(), Epoch(epoch));
    AppendRandom(**log, random_, 30);
    ASSERT_OK((*log)->Close());
  }
  options.epoch = Epoch(9);
  EXPECT_THAT(CommitLog::Open(options, RealFiles(), clock_),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  // The old master comes back as a slave of the new one.
  auto reader = RawReader::Open(RealFiles(), copy_.path());
  ASSERT_OK(reader);
  EXPECT_EQ((*reader)->ReadEpochs()->entries().back().epoch, Epoch(10));
  auto follower = LogMirror::Open({master_.path()}, RealFiles());
  ASSERT_OK(follower);
  ASSERT_EQ(CommonPoint((*follower)->epochs(), (*follower)->end(), *(*reader)->ReadEpochs(),
                        (*reader)->end())
                .offset,
            end);
  ASSERT_OK(CopyRest(**reader, **follower, random_));
  EXPECT_EQ(Difference(ReadWhole(master_.path()), ReadWhole(copy_.path())), "");
}

TEST_F(LogMirrorTest, DamageIsToldUntilItIsMadeGood) {
  MakeMaster(1, 60);
  OpenMirror();
  ASSERT_OK(CopyRest(*reader_, *mirror_, random_));
  EXPECT_TRUE(mirror_->damage().empty());
  const LogOffset end = mirror_->end();
  // The last segment is looked at when the log is opened.
  const LogOffset segment(end.value() / (64u << 10) * (64u << 10));
  const LogOffset damaged = ReadAt(segment, 1).end;
  const LogOffset behind = ReadAt(damaged, 1).end;
  ASSERT_LT(behind, end);
  const auto damage = [&] {
    mirror_.reset();
    // Not the newest file: the next segment may have been made ahead of need.
    auto file =
        RealFiles().Open(copy_.path() + "/log/" + SegmentName(segment), OpenMode::kReadWrite);
    ASSERT_OK(file);
    const std::string_view rubbish = "rubbish!";
    ASSERT_OK((*file)->WriteAt(damaged - segment, {&rubbish, 1}));
    OpenMirror();
    EXPECT_EQ(mirror_->end(), end);
    ASSERT_EQ(mirror_->damage().size(), 1u);
    EXPECT_EQ(mirror_->damage()[0].begin, damaged);
    EXPECT_EQ(mirror_->damage()[0].end, behind);
  };
  damage();
  ASSERT_OK(CutAt(damaged, kMayGo));
  EXPECT_TRUE(mirror_->damage().empty());
  ASSERT_OK(CopyRest(*reader_, *mirror_, random_));
  OpenMirror();
  EXPECT_TRUE(mirror_->damage().empty());
  ExpectSame();
  damage();
  ASSERT_OK(mirror_->Reset(LogOffset(0), kMayGo));
  EXPECT_TRUE(mirror_->damage().empty());
}

TEST_F(LogMirrorTest, AFailureOfTheDiskIsFinal) {
  using Operation = ForgetfulFiles::Operation;
  MakeMaster();
  ForgetfulFiles files(RealFiles());
  for (Operation operation : {Operation::kWrite, Operation::kDataSync, Operation::kAllocate}) {
    TempDir directory;
    auto mirror = LogMirror::Open({directory.path()}, files);
    ASSERT_OK(mirror);
    for (int i = 0; i < 3; ++i) ASSERT_OK(CopyPiece(*reader_, **mirror, 8'000));
    files.FailAt(operation, 1, absl::DataLossError("EIO"));
    absl::Status status;
    while (status.ok() && (*mirror)->end() < reader_->end()) {
      status = CopyPiece(*reader_, **mirror, 8'000);
      if (status.ok()) status = (*mirror)->Flush();
    }
    if (operation == Operation::kAllocate && status.ok()) continue;  // the preparer took it
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_THAT((*mirror)->health(), StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_THAT((*mirror)->Flush(), StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_THAT((*mirror)->TruncateTo({}, kMustStay), StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_THAT((*mirror)->Close(), StatusIs(absl::StatusCode::kUnavailable));
    mirror->reset();
    mirror = LogMirror::Open({directory.path()}, files);
    ASSERT_OK(mirror);
    ASSERT_OK(CopyRest(*reader_, **mirror, random_));
    EXPECT_EQ(Difference(ReadWhole(directory.path()), ReadWhole(master_.path())), "");
  }
}

}  // namespace
}  // namespace dunlin::store
