// GatedLog: a log in which messages that are moved ahead of retention wait at a gate, so that tests
// can have other things happen between the decision to move one and its record.

#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "services/base/mutex.h"
#include "services/store/log/commit_log.h"
#include "services/store/log/record.h"

namespace dunlin::store {

class GatedLog final : public CommitLog {
 public:
  explicit GatedLog(std::unique_ptr<CommitLog> log) : log_(std::move(log)) {}

  // The next `passing` messages that are moved go through, those behind them wait.
  void Shut(int passing) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    passing_ = passing;
    shut_ = true;
  }
  void Open() ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    shut_ = false;
    changed_.SignalAll();
  }
  // Returns when one waits at the gate.
  void AwaitOne() ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    while (!waiting_) changed_.Wait(mutex_);
  }

  absl::Status Append(std::span<const NewRecord> records, std::span<Appended> appended,
                      CommitWaiter* waiter, CommitBy by) override {
    const bool moved = std::any_of(records.begin(), records.end(), [](const NewRecord& record) {
      return (record.flags & kFlagRelocated) != 0;
    });
    if (moved) Pass();
    return log_->Append(records, appended, waiter, by);
  }
  void CommitHere() override { log_->CommitHere(); }
  absl::StatusOr<Appended> AppendAndWait(const NewRecord& record) override {
    return log_->AppendAndWait(record);
  }
  absl::StatusOr<RecordView> Read(LogOffset offset) override { return log_->Read(offset); }
  absl::StatusOr<RecordView> ReadNext(LogOffset offset, LogOffset limit) override {
    return log_->ReadNext(offset, limit);
  }
  std::unique_ptr<RecordReader> NewReader() override { return log_->NewReader(); }
  void Prefetch(LogOffset from, uint64_t length) override { log_->Prefetch(from, length); }
  const Watermark& written() const override { return log_->written(); }
  const Watermark& flushed() const override { return log_->flushed(); }
  Watermark& confirmed() override { return log_->confirmed(); }
  const LogTimes& times() const override { return log_->times(); }
  absl::Status FlushUpTo(LogOffset offset) override { return log_->FlushUpTo(offset); }
  LogOffset start() const override { return log_->start(); }
  LogOffset end() const override { return log_->end(); }
  Epoch epoch() const override { return log_->epoch(); }
  Epoch EpochAt(LogOffset offset) const override { return log_->EpochAt(offset); }
  void SetViewed(LogOffset offset) override { log_->SetViewed(offset); }
  std::vector<DamagedRange> damage() const override { return log_->damage(); }
  std::vector<SegmentInfo> Segments() const override { return log_->Segments(); }
  absl::Status DropBefore(LogOffset offset) override { return log_->DropBefore(offset); }
  absl::Status health() const override { return log_->health(); }
  absl::Status Close() override { return log_->Close(); }

 private:
  void Pass() ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    if (shut_ && passing_-- > 0) return;
    waiting_ = shut_;
    changed_.SignalAll();
    while (shut_) changed_.Wait(mutex_);
    waiting_ = false;
  }

  const std::unique_ptr<CommitLog> log_;
  Mutex mutex_;
  CondVar changed_;
  int passing_ ABSL_GUARDED_BY(mutex_) = 0;
  bool shut_ ABSL_GUARDED_BY(mutex_) = false;
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace dunlin::store
