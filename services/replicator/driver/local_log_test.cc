#include "services/replicator/driver/local_log.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/store/log/commit_log.h"
#include "services/store/log/raw_reader.h"

namespace dunlin::replicator {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

class LocalLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteMasters();
    ASSERT_OK(RealFiles().CreateDirectories(dir_.path() + "/slave"));
    auto page = store::ControlPage::Open(RealFiles(), dir_.path() + "/slave/control");
    ASSERT_OK(page);
    page_ = *std::move(page);
    LocalLog::Options options;
    options.mirror.directory = dir_.path() + "/slave";
    options.flush_at_once = true;
    log_ = std::make_unique<LocalLog>(options, *page_, RealFiles(), [this] { ++flushes_; });
    ASSERT_OK(log_->Open());
  }

  // The log of a master, of which the slave gets its frames.
  void WriteMasters() {
    const SystemClock clock;
    store::CommitLogOptions options;
    options.directory = dir_.path() + "/master";
    options.segment_size_bytes = 1 << 20;
    options.epoch = Epoch(1);
    auto log = store::CommitLog::Open(options, RealFiles(), clock);
    ASSERT_OK(log);
    const std::string payload(200, 'x');
    const std::string_view piece = payload;
    for (int i = 0; i < 2; ++i) {
      store::NewRecord record;
      record.payload = {&piece, 1};
      store::Appended appended;
      ASSERT_OK((*log)->Append({&record, 1}, {&appended, 1}, nullptr));
      if (i == 0) first_end_ = (*log)->end();
    }
    end_ = (*log)->end();
    ASSERT_OK((*log)->Close());
  }

  // All that the master has.
  void Fill() {
    auto reader = store::RawReader::Open(RealFiles(), dir_.path() + "/master");
    ASSERT_OK(reader);
    auto piece = (*reader)->Read(LogOffset(0), end_, 1 << 20);
    ASSERT_OK(piece);
    LogReceiver::Frame frame;
    frame.header = {.epoch = Epoch(1),
                    .epoch_start = LogOffset(0),
                    .offset = LogOffset(0),
                    .confirm = LogOffset(0),
                    .end = end_,
                    .begin = LogOffset(0),
                    .segment_end = piece->segment_end,
                    .time = {}};
    frame.records = piece->bytes;
    ASSERT_OK(log_->Append(frame));
    AwaitFlushed();
  }
  void AwaitFlushed() const {
    const auto patience = steady_clock::now() + std::chrono::minutes(1);
    while (log_->state().flushed < log_->state().end) {
      ASSERT_LT(steady_clock::now(), patience);
      Breathe(milliseconds(1));
    }
  }
  static void Breathe(milliseconds time) {
    Mutex mutex;
    CondVar never;
    MutexLock lock(mutex);
    const auto deadline = steady_clock::now() + time;
    while (never.WaitUntil(mutex, deadline)) {
    }
  }
  // Who spins flushes thousands of times meanwhile.
  void ExpectQuiet() {
    const int before = flushes_;
    Breathe(milliseconds(100));
    EXPECT_LE(flushes_, before + 2);
  }

  const TempDir dir_;
  LogOffset first_end_;
  LogOffset end_;
  std::atomic<int> flushes_ = 0;
  std::unique_ptr<store::ControlPage> page_;
  std::unique_ptr<LocalLog> log_;
};

TEST_F(LocalLogTest, WhatIsReceivedIsFlushedAtOnce) {
  Fill();
  EXPECT_EQ(log_->state().flushed, end_);
  ExpectQuiet();
}

TEST_F(LocalLogTest, ALogThatWasCutIsNotFlushedOverAndOver) {
  Fill();
  ASSERT_OK(log_->TruncateTo({Epoch(1), first_end_}, store::LogMirror::Confirmed::kMayGo));
  EXPECT_EQ(log_->state().end, first_end_);
  ExpectQuiet();
}

TEST_F(LocalLogTest, ALogThatBeginsAnewIsNotFlushedOverAndOver) {
  Fill();
  ASSERT_OK(log_->Reset(LogOffset(0), store::LogMirror::Confirmed::kMayGo));
  EXPECT_EQ(log_->state().end, LogOffset(0));
  ExpectQuiet();
  Fill();
  EXPECT_EQ(log_->state().flushed, end_);
}

}  // namespace
}  // namespace dunlin::replicator
