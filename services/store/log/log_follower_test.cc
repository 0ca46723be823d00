#include "services/store/log/log_follower.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "services/base/file.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/store/log/control_page.h"
#include "services/store/log/log_mirror.h"
#include "services/store/log/raw_reader.h"
#include "services/store/log/testing/log_copy.h"

namespace dunlin::store {
namespace {

// Long enough that running into it means that nothing comes any more.
constexpr std::chrono::milliseconds kLost{20'000};

// Tells of each file before it is opened, or takes the place of another.
class HookedFiles final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    if (armed) hook(path);
    return RealFiles().Open(path, mode);
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (armed) hook(to);
    return RealFiles().Rename(from, to);
  }
  absl::Status Remove(const std::string& path) override { return RealFiles().Remove(path); }
  absl::Status CreateDirectories(const std::string& path) override {
    return RealFiles().CreateDirectories(path);
  }
  absl::Status SyncDirectory(const std::string& path) override {
    return RealFiles().SyncDirectory(path);
  }
  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    return RealFiles().List(path);
  }
  absl::StatusOr<DiskSpace> GetDiskSpace(const std::string& path) override {
    return RealFiles().GetDiskSpace(path);
  }

  std::function<void(const std::string& path)> hook;  // set before anything is opened
  std::atomic<bool> armed = false;
};

class LogFollowerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::mt19937 random(1);
    for (int epoch = 0; epoch < 3; ++epoch) {
      const auto log = OpenTestLog(master_.path(), clock_);
      AppendRandom(*log, random, 50);
      ASSERT_OK(log->Close());
    }
    auto reader = RawReader::Open(RealFiles(), master_.path());
    ASSERT_OK(reader);
    reader_ = *std::move(reader);
    auto mirror = LogMirror::Open({copy_.path()}, RealFiles());
    ASSERT_OK(mirror);
    mirror_ = *std::move(mirror);
    auto page = ControlPage::Open(RealFiles(), copy_.path() + "/control");
    ASSERT_OK(page);
    page_ = *std::move(page);
    page_->BeginOrders();
  }
  std::unique_ptr<CommitLog> Follow(LogOffset viewed = LogOffset(0), Epoch epoch = Epoch(0)) {
    auto follower = OpenLogFollower({copy_.path(), viewed, epoch}, RealFiles(), clock_);
    EXPECT_OK(follower);
    return *std::move(follower);
  }
  void Copy(int pieces, size_t max_bytes = 5'000) {
    for (; pieces > 0; --pieces) ASSERT_OK(CopyPiece(*reader_, *mirror_, max_bytes));
  }
  static LogOffset Await(const Watermark& watermark, LogOffset at_least) {
    while (watermark.Get() < at_least) {
      const LogOffset before = watermark.Get();
      if (watermark.WaitAbove(before, kLost) == before) break;  // lost, or closed
    }
    return watermark.Get();
  }
  // Until it sees that what it had shown is no more.
  static void AwaitEnd(const CommitLog& follower) {
    const auto patience = std::chrono::steady_clock::now() + kLost;
    while (follower.health().ok() && std::chrono::steady_clock::now() < patience) {
      std::this_thread::yield();
    }
    EXPECT_THAT(follower.health(), StatusIs(absl::StatusCode::kDataLoss));
  }
  static std::vector<std::string> ReadAll(CommitLog& log) {
    std::vector<std::string> payloads;
    LogOffset at = log.start();
    for (auto record = log.ReadNext(at, log.end()); record.ok();
         record = log.ReadNext(at, log.end())) {
      payloads.emplace_back(record->payload());
      at = record->end();
    }
    return payloads;
  }

  void Reopen(FileSystem& files) {
    mirror_.reset();
    auto mirror = LogMirror::Open({copy_.path()}, files);
    ASSERT_OK(mirror);
    mirror_ = *std::move(mirror);
  }

  TempDir master_;
  TempDir copy_;
  HookedFiles files_;
  ManualClock clock_;
  std::mt19937 random_{3};
  std::unique_ptr<RawReader> reader_;
  std::unique_ptr<LogMirror> mirror_;
  std::unique_ptr<ControlPage> page_;
};

TEST_F(LogFollowerTest, NeedsALog) {
  TempDir empty;
  EXPECT_THAT(OpenLogFollower({empty.path()}, RealFiles(), clock_),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(LogFollowerTest, ShowsWhatIsBothHereAndReplicated) {
  const auto follower = Follow();
  EXPECT_EQ(follower->end(), LogOffset(0));
  Copy(3);
  const LogOffset third = mirror_->end();
  Copy(3);
  EXPECT_EQ(follower->confirmed().Get(), LogOffset(0)) << "nobody said that it is confirmed";
  page_->SetReplicated(third);
  EXPECT_EQ(Await(follower->confirmed(), third), third);
  EXPECT_EQ(page_->shown(), third);
  EXPECT_EQ(follower->written().Get(), third);
  EXPECT_EQ(follower->end(), third);
  EXPECT_THAT(follower->Read(third), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_OK(follower->Read(LogOffset(0)));
  page_->SetReplicated(ControlPage::kEverything);
  EXPECT_EQ(Await(follower->confirmed(), mirror_->end()), mirror_->end());
  ASSERT_OK(mirror_->Flush());
  EXPECT_EQ(Await(follower->flushed(), mirror_->end()), mirror_->end());
  EXPECT_OK(follower->health());
}

TEST_F(LogFollowerTest, ReadsWhatTheMasterWroteWhileItComes) {
  const auto follower = Follow();
  page_->SetReplicated(ControlPage::kEverything);
  std::thread writer([&] { ASSERT_OK(CopyRest(*reader_, *mirror_, random_)); });
  int records = 0;
  LogOffset at;
  const auto reader = follower->NewReader();
  while (at < reader_->end()) {
    const LogOffset confirmed = Await(follower->confirmed(), at + 1);
    ASSERT_GT(confirmed, at);
    for (auto record = reader->ReadNext(at, confirmed); record.ok();
         record = reader->ReadNext(at, confirmed)) {
      ++records;
      at = record->end();
    }
    at = confirmed;
  }
  writer.join();
  EXPECT_EQ(records, 150);
  EXPECT_EQ(follower->epoch(), Epoch(3));
  EXPECT_TRUE(follower->damage().empty());
  const auto log = OpenTestLog(master_.path(), clock_);
  EXPECT_EQ(ReadAll(*follower), ReadAll(*log));
}

TEST_F(LogFollowerTest, TakesNothingAndDropsNothing) {
  const auto follower = Follow();
  Appended appended;
  const NewRecord record;
  EXPECT_THAT(follower->Append({&record, 1}, {&appended, 1}, nullptr),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(follower->AppendAndWait(record), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(follower->DropBefore(LogOffset(1)), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_OK(follower->health());
}

TEST_F(LogFollowerTest, FlushesByItselfAndWaitsForWhatIsToCome) {
  const auto follower = Follow();
  page_->SetReplicated(ControlPage::kEverything);
  Copy(4);
  EXPECT_OK(follower->FlushUpTo(mirror_->end()));
  EXPECT_GE(follower->flushed().Get(), mirror_->end());
  const LogOffset later = reader_->end();
  std::thread waiter([&] { EXPECT_OK(follower->FlushUpTo(later)); });
  EXPECT_OK(CopyRest(*reader_, *mirror_, random_));
  waiter.join();
  std::thread closer([&] { EXPECT_OK(follower->Close()); });
  EXPECT_THAT(follower->FlushUpTo(later + 8), StatusIs(absl::StatusCode::kUnavailable));
  closer.join();
}

TEST_F(LogFollowerTest, ATruncationOfWhatWasNotConfirmedGoesByUnseen) {
  const auto follower = Follow();
  Copy(4);
  const LogOffset confirmed = mirror_->end();
  page_->SetReplicated(confirmed);
  EXPECT_EQ(Await(follower->confirmed(), confirmed), confirmed);
  Copy(20);
  ASSERT_OK(
      mirror_->TruncateTo(PointAt(mirror_->epochs(), confirmed), LogMirror::Confirmed::kMustStay));
  EXPECT_OK(CopyRest(*reader_, *mirror_, random_));
  page_->SetReplicated(mirror_->end());
  EXPECT_EQ(Await(follower->confirmed(), mirror_->end()), mirror_->end());
  EXPECT_OK(follower->health());
  EXPECT_EQ(ReadAll(*follower).size(), 150u);
}

TEST_F(LogFollowerTest, ACutOfWhatWasShownEndsIt) {
  auto follower = Follow();
  page_->SetReplicated(ControlPage::kEverything);
  Copy(4);
  const LogOffset fourth = mirror_->end();
  Copy(4);
  EXPECT_EQ(Await(follower->confirmed(), mirror_->end()), mirror_->end());
  ASSERT_OK(mirror_->TruncateTo(PointAt(mirror_->epochs(), fourth), LogMirror::Confirmed::kMayGo));
  EXPECT_OK(CopyRest(*reader_, *mirror_, random_));
  while (follower->health().ok()) std::this_thread::yield();
  EXPECT_THAT(follower->health(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(follower->FlushUpTo(mirror_->end()), StatusIs(absl::StatusCode::kDataLoss));
  follower = Follow();
  EXPECT_EQ(Await(follower->confirmed(), mirror_->end()), mirror_->end());
  EXPECT_OK(follower->health());
}

TEST_F(LogFollowerTest, WhatReadersMayHaveSeenIsKnownAfterARestart) {
  Copy(3);
  const LogOffset third = mirror_->end();
  Copy(3);
  page_->SetReplicated(third);
  EXPECT_EQ(Follow()->end(), third);
  page_->BeginOrders();  // the replicator was started again, and does not know yet
  const auto follower = Follow();
  EXPECT_EQ(follower->end(), LogOffset(0));
  EXPECT_EQ(page_->shown(), third);
  const Epochs epochs = mirror_->epochs();
  EXPECT_THAT(mirror_->TruncateTo({epochs.last(), LogOffset(0)}, LogMirror::Confirmed::kMustStay),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_OK(mirror_->TruncateTo({epochs.last(), third}, LogMirror::Confirmed::kMustStay));
  // Of what is there after a cut of it nobody has seen anything, until it is shown again.
  EXPECT_OK(mirror_->TruncateTo({}, LogMirror::Confirmed::kMayGo));
  EXPECT_EQ(page_->shown(), LogOffset(0));
  EXPECT_OK(CopyRest(*reader_, *mirror_, random_));
  EXPECT_OK(mirror_->TruncateTo({}, LogMirror::Confirmed::kMustStay));
}

// The log is begun anew while a broker opens it: neither the old one nor the new one may be what it
// goes on with.
TEST_F(LogFollowerTest, OneThatIsOpenedInTheMiddleOfACutEnds) {
  for (const bool reset : {true, false}) {
    EXPECT_OK(CopyRest(*reader_, *mirror_, random_));
    page_->SetReplicated(ControlPage::kEverything);
    const LogOffset end = mirror_->end();
    std::unique_ptr<CommitLog> follower;
    // The new epochs are about to take the place of the old ones.
    files_.hook = [&](const std::string& path) {
      if (path.ends_with("/epochs") && follower == nullptr) follower = Follow(end, Epoch(3));
    };
    Reopen(files_);
    files_.armed = true;
    if (reset) {
      ASSERT_OK(mirror_->Reset(LogOffset(0), LogMirror::Confirmed::kMayGo));
    } else {
      ASSERT_OK(mirror_->TruncateTo({}, LogMirror::Confirmed::kMayGo));
    }
    files_.armed = false;
    ASSERT_NE(follower, nullptr);
    EXPECT_OK(CopyRest(*reader_, *mirror_, random_));
    AwaitEnd(*follower);
    follower = Follow();
    EXPECT_EQ(Await(follower->confirmed(), mirror_->end()), mirror_->end());
    EXPECT_EQ(ReadAll(*follower).size(), 150u);
    EXPECT_OK(follower->health());
    Reopen(RealFiles());
  }
}

// A checkpoint notes the epoch of the view's end. After a cut it may note none of the log that came
// after it: the view would be taken for one of that log.
TEST_F(LogFollowerTest, NeverTellsTheEpochsOfALogThatWasCut) {
  EXPECT_OK(CopyRest(*reader_, *mirror_, random_));
  page_->SetReplicated(ControlPage::kEverything);
  std::promise<void> looks;
  std::promise<void> go_on;
  files_.hook = [&](const std::string& path) {
    if (!path.ends_with("/epochs") || !files_.armed.exchange(false)) return;
    looks.set_value();
    go_on.get_future().wait();
  };
  auto opened = OpenLogFollower({copy_.path(), {}, {}}, files_, clock_);
  ASSERT_OK(opened);
  const std::unique_ptr<CommitLog> follower = *std::move(opened);
  const LogOffset end = mirror_->end();
  EXPECT_EQ(Await(follower->confirmed(), end), end);
  files_.armed = true;
  ASSERT_OK(mirror_->BeginEpoch(Epoch(8), end));
  looks.get_future().wait();
  const LogOffset second = reader_->Read(LogOffset(0), LogOffset(UINT64_MAX), 1)->end;
  ASSERT_OK(mirror_->TruncateTo({Epoch(1), second}, LogMirror::Confirmed::kMayGo));
  ASSERT_OK(mirror_->BeginEpoch(Epoch(9), second));
  go_on.set_value();
  AwaitEnd(*follower);
  EXPECT_EQ(follower->EpochAt(end - 1), Epoch(3));
}

TEST_F(LogFollowerTest, WhatAViewHoldsIsConfirmedIfTheViewIsOfThisLog) {
  EXPECT_OK(CopyRest(*reader_, *mirror_, random_));
  const LogOffset end = mirror_->end();
  // No replicator has said anything yet.
  EXPECT_EQ(Follow()->end(), LogOffset(0));
  EXPECT_EQ(Follow(end, Epoch(3))->end(), end);
  EXPECT_EQ(Follow(end, Epoch(2))->end(), LogOffset(0)) << "of another log";
  EXPECT_EQ(Follow(end + 8, Epoch(3))->end(), LogOffset(0)) << "of a longer log";
  page_->SetReplicated(end);
  EXPECT_EQ(Follow()->end(), end);
}

TEST_F(LogFollowerTest, SegmentsThatGoStayReadableForWhoHoldsThem) {
  const auto follower = Follow();
  page_->SetReplicated(ControlPage::kEverything);
  EXPECT_OK(CopyRest(*reader_, *mirror_, random_));
  EXPECT_EQ(Await(follower->confirmed(), mirror_->end()), mirror_->end());
  auto held = follower->Read(LogOffset(0));
  ASSERT_OK(held);
  const std::string payload(held->payload());
  ASSERT_OK(mirror_->DropBefore(LogOffset(2 * (64u << 10))));
  page_->for_broker().Ring();
  while (follower->start() == LogOffset(0)) std::this_thread::yield();
  EXPECT_EQ(follower->start(), LogOffset(2 * (64u << 10)));
  EXPECT_THAT(follower->Read(LogOffset(0)), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(held->payload(), payload);
  EXPECT_FALSE(ReadAll(*follower).empty());
  EXPECT_TRUE(follower->damage().empty());
}

}  // namespace
}  // namespace dunlin::store
