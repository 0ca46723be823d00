// What a slave's log keeps when the power goes at any time: in the middle of what is copied, of a
// cut, of a change of masters.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "services/base/file.h"
#include "services/base/testing/forgetful_file.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/store/log/commit_log.h"
#include "services/store/log/log_mirror.h"
#include "services/store/log/raw_reader.h"
#include "services/store/log/testing/log_copy.h"

namespace dunlin::store {
namespace {

constexpr auto kMustStay = LogMirror::Confirmed::kMustStay;

// A log that somebody was the master of, closed.
struct Master {
  TempDir directory;
  std::unique_ptr<RawReader> reader;

  void OpenReader() {
    auto opened = RawReader::Open(RealFiles(), directory.path());
    ASSERT_OK(opened);
    reader = *std::move(opened);
  }
};

class MirrorPowerLossTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  int Below(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }

  // Each has a part of what the one before had, and goes on in higher epochs.
  void MakeMasters() {
    for (uint32_t i = 0; i < 3; ++i) {
      Master& master = masters_[i];
      if (i > 0) {
        auto mirror = LogMirror::Open({master.directory.path()}, RealFiles());
        ASSERT_OK(mirror);
        for (int piece = 20 + Below(60); piece > 0; --piece) {
          if (!CopyPiece(*masters_[i - 1].reader, **mirror, 2'000).ok()) break;
        }
        ASSERT_OK((*mirror)->Close());
      }
      for (uint32_t epoch = 1; epoch <= 2; ++epoch) {
        CommitLogOptions options;
        options.directory = master.directory.path();
        options.segment_size_bytes = 64u << 10;
        options.epoch = Epoch(10 * (i + 1) + epoch);
        auto log = CommitLog::Open(options, RealFiles(), clock_);
        ASSERT_OK(log);
        AppendRandom(**log, random_, 30 + Below(40), 4000);
        ASSERT_OK((*log)->Close());
      }
      master.OpenReader();
    }
  }

  std::string PagePath() const { return directory_.path() + "/control"; }
  void SavePage() {
    auto bytes = ReadWholeFile(RealFiles(), PagePath());
    ASSERT_OK(bytes);
    old_page_ = *bytes;
  }
  void Open() {
    auto mirror = LogMirror::Open({directory_.path(), std::chrono::hours(1)}, files_);
    ASSERT_OK(mirror);
    mirror_ = *std::move(mirror);
  }
  // After it, what is there is the beginning of what some master had, at least what was synced.
  void LosePower() {
    files_.CutPower(static_cast<uint32_t>(random_()));
    mirror_.reset();
    if (Below(2) == 0) {
      auto file = RealFiles().Open(PagePath(), OpenMode::kReadWrite);
      ASSERT_OK(file);
      const std::string_view page = old_page_;
      ASSERT_OK((*file)->WriteAt(0, {&page, 1}));
    }
    Open();
    if (HasFatalFailure()) return;
    SavePage();
    EXPECT_GE(mirror_->end(), safe_);
    ExpectCommonPart();
  }
  Epochs::Point Common(const Master& master) {
    return CommonPoint(mirror_->epochs(), mirror_->end(), *master.reader->ReadEpochs(),
                       master.reader->end());
  }
  void ExpectCommonPart() {
    for (const Master& master : masters_) {
      const LogOffset common = Common(master).offset;
      ASSERT_EQ(Difference(ReadWhole(directory_.path(), common),
                           ReadWhole(master.directory.path(), common)),
                "");
    }
  }
  // The power may go within; then it is tried again.
  void Follow(const Master& master) {
    using Operation = ForgetfulFiles::Operation;
    for (bool again = true; again;) {
      const Epochs::Point common = Common(master);
      safe_ = std::min(safe_, common.offset);
      again = Below(2) == 0;
      if (again) {
        const Operation operations[] = {Operation::kWrite, Operation::kDataSync, Operation::kRename,
                                        Operation::kSyncDirectory};
        files_.FailAt(operations[Below(4)], 1 + Below(3), absl::DataLossError("the power goes"));
      }
      const absl::Status cut = mirror_->TruncateTo(common, kMustStay);
      if (cut.ok()) {
        ASSERT_EQ(mirror_->end(), common.offset);
        safe_ = common.offset;
        SavePage();
      }
      if (again) LosePower();
      if (HasFatalFailure()) return;
    }
  }

  std::mt19937 random_{GetParam()};
  ManualClock clock_;
  Master masters_[3];
  TempDir directory_;
  ForgetfulFiles files_{RealFiles()};
  std::string old_page_;  // as it may still be on disk
  LogOffset safe_;        // what is below was on disk
  std::unique_ptr<LogMirror> mirror_;
};

INSTANTIATE_TEST_SUITE_P(Seeds, MirrorPowerLossTest, ::testing::Range(1u, 25u));

TEST_P(MirrorPowerLossTest, ResumesAndEndsAsTheLastMaster) {
  MakeMasters();
  Open();
  SavePage();
  for (const Master& master : masters_) {
    Follow(master);
    if (HasFatalFailure()) return;
    for (int steps = 20 + Below(60); steps > 0; --steps) {
      const absl::Status copied =
          CopyPiece(*master.reader, *mirror_, static_cast<size_t>(Below(9'000)));
      if (absl::IsOutOfRange(copied)) break;
      ASSERT_OK(copied);
      if (Below(6) == 0) {
        ASSERT_OK(mirror_->Flush());
        safe_ = mirror_->flushed();
      }
      if (Below(10) == 0) SavePage();
      if (Below(12) == 0) LosePower();
      if (HasFatalFailure()) return;
    }
  }
  ASSERT_OK(CopyRest(*masters_[2].reader, *mirror_, random_));
  EXPECT_EQ(Difference(ReadWhole(directory_.path()), ReadWhole(masters_[2].directory.path())), "");
  EXPECT_EQ(mirror_->epochs().entries(), masters_[2].reader->ReadEpochs()->entries());
  ASSERT_OK(mirror_->Close());
  mirror_.reset();

  // And a broker can open it: nothing is damaged.
  CommitLogOptions options;
  options.directory = directory_.path();
  auto log = CommitLog::Open(options, files_, clock_);
  ASSERT_OK(log);
  EXPECT_TRUE((*log)->damage().empty());
  EXPECT_EQ((*log)->end(), masters_[2].reader->end());
}

// The promise of a record, that what is before it had been flushed, is the master's: here, what
// was never synced may be torn anywhere, and is no damage.
TEST_P(MirrorPowerLossTest, ATornTailIsNoDamageWhoeverOpensTheLog) {
  MakeMasters();
  Open();
  const RawReader& reader = *masters_[0].reader;
  while (mirror_->end() < reader.end()) {
    ASSERT_OK(CopyPiece(*masters_[0].reader, *mirror_, 3'000));
    if (mirror_->end() < LogOffset(20'000)) ASSERT_OK(mirror_->Flush());
  }
  const LogOffset flushed = mirror_->flushed();
  files_.CutPower(static_cast<uint32_t>(random_()));
  mirror_.reset();
  CommitLogOptions options;
  options.directory = directory_.path();
  auto log = CommitLog::Open(options, files_, clock_);
  ASSERT_OK(log);
  EXPECT_TRUE((*log)->damage().empty());
  const LogOffset end = (*log)->end();
  EXPECT_GE(end, flushed);
  EXPECT_EQ(
      Difference(ReadWhole(directory_.path(), end), ReadWhole(masters_[0].directory.path(), end)),
      "");
}

}  // namespace
}  // namespace dunlin::store
