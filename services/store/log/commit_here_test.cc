// CommitHere: appends that are written by the thread that appended.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/synchronization/blocking_counter.h"

#include "services/base/file.h"
#include "services/base/testing/forgetful_file.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/store/log/commit_log.h"

namespace dunlin::store {
namespace {

class Waiter final : public CommitWaiter {
 public:
  void OnCommitted(const absl::Status& status) override {
    status_ = status;
    thread_ = std::this_thread::get_id();
    ++told_;
    done_.DecrementCount();
  }
  int Told() const { return told_; }
  const absl::Status& Status() const { return status_; }
  bool ToldHere() const { return thread_ == std::this_thread::get_id(); }
  void Wait() { done_.Wait(); }

 private:
  absl::Status status_;
  std::thread::id thread_;
  std::atomic<int> told_{0};
  absl::BlockingCounter done_{1};
};

class CommitHereTest : public ::testing::Test {
 protected:
  void Open(FlushMode mode) {
    CommitLogOptions options;
    options.directory = directory_.path();
    options.flush_mode = mode;
    options.segment_size_bytes = 1u << 20;
    auto log = CommitLog::Open(options, files_, clock_);
    ASSERT_OK(log);
    log_ = *std::move(log);
  }

  absl::Status Append(std::string_view payload, CommitWaiter& waiter, CommitBy by) {
    NewRecord record;
    record.queue = {TopicId(1), 0};
    record.tail = &tail_;
    record.payload = {&payload, 1};
    std::array<Appended, 1> appended;
    return log_->Append({&record, 1}, appended, &waiter, by);
  }

  TempDir directory_;
  ManualClock clock_;
  ForgetfulFiles files_{RealFiles()};
  QueueTailSlot tail_;
  std::unique_ptr<CommitLog> log_;
};

TEST_F(CommitHereTest, WritesAndTellsOnTheCallingThread) {
  Open(FlushMode::kAsync);
  Waiter first;
  Waiter second;
  ASSERT_OK(Append("first", first, CommitBy::kCaller));
  ASSERT_OK(Append("second", second, CommitBy::kCaller));
  EXPECT_EQ(first.Told(), 0);
  log_->CommitHere();
  EXPECT_EQ(first.Told(), 1);
  EXPECT_EQ(second.Told(), 1);
  EXPECT_TRUE(second.ToldHere());
  EXPECT_OK(second.Status());
  EXPECT_EQ(log_->written().Get(), log_->end());
  EXPECT_EQ(log_->confirmed().Get(), log_->end());
  log_->CommitHere();  // nothing to do
  EXPECT_EQ(second.Told(), 1);
}

TEST_F(CommitHereTest, LeavesASyncToTheCommitter) {
  Open(FlushMode::kSync);
  Waiter waiter;
  ASSERT_OK(Append("synced", waiter, CommitBy::kCaller));
  log_->CommitHere();
  waiter.Wait();
  EXPECT_FALSE(waiter.ToldHere());
  EXPECT_OK(waiter.Status());
  EXPECT_EQ(log_->flushed().Get(), log_->end());
}

TEST_F(CommitHereTest, LeavesALargeWriteToTheCommitter) {
  Open(FlushMode::kAsync);
  Waiter waiter;
  ASSERT_OK(Append(std::string(100'000, 'x'), waiter, CommitBy::kCaller));
  log_->CommitHere();
  waiter.Wait();
  EXPECT_FALSE(waiter.ToldHere());
  EXPECT_OK(waiter.Status());
}

TEST_F(CommitHereTest, AFailedWriteIsFinalAsTheCommittersIs) {
  Open(FlushMode::kAsync);
  files_.FailAt(ForgetfulFiles::Operation::kWrite, 1, absl::DataLossError("no such sector"));
  Waiter waiter;
  ASSERT_OK(Append("lost", waiter, CommitBy::kCaller));
  log_->CommitHere();
  EXPECT_TRUE(waiter.ToldHere());
  EXPECT_THAT(waiter.Status(), StatusIs(absl::StatusCode::kUnavailable));
  Waiter next;
  EXPECT_THAT(Append("next", next, CommitBy::kCaller), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(log_->Close(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(CommitHereTest, WhatWasOnlyCollectedIsWrittenAtTheEnd) {
  Open(FlushMode::kAsync);
  Waiter waiter;
  ASSERT_OK(Append("collected", waiter, CommitBy::kCaller));
  ASSERT_OK(log_->Close());
  EXPECT_EQ(waiter.Told(), 1);
  EXPECT_OK(waiter.Status());
}

TEST_F(CommitHereTest, CallersAndCommitterTellEachWaiterOnce) {
  Open(FlushMode::kAsync);
  constexpr int kThreads = 4;
  constexpr int kEach = 2000;
  std::vector<std::unique_ptr<Waiter>> waiters(kThreads * kEach);
  for (auto& waiter : waiters) waiter = std::make_unique<Waiter>();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const CommitBy by = (t + i) % 3 == 0 ? CommitBy::kCommitter : CommitBy::kCaller;
        EXPECT_OK(Append("payload", *waiters[t * kEach + i], by));
        if (by == CommitBy::kCaller) log_->CommitHere();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& waiter : waiters) waiter->Wait();
  ASSERT_OK(log_->Close());
  for (const auto& waiter : waiters) {
    EXPECT_EQ(waiter->Told(), 1);
    EXPECT_OK(waiter->Status());
  }
  log_.reset();
  Open(FlushMode::kAsync);
  QueueOffset expected(0);
  for (auto record = log_->ReadNext(log_->start(), log_->end()); record.ok();
       record = log_->ReadNext(record->end(), log_->end())) {
    EXPECT_EQ(record->header().queue_offset, expected);
    ++expected;
  }
  EXPECT_EQ(expected, QueueOffset(kThreads * kEach));
}

}  // namespace
}  // namespace dunlin::store
