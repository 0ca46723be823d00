#include "services/store/log/commit_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/bytes.h"
#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/store/log/appender.h"
#include "services/store/log/control_page.h"
#include "services/store/log/epochs.h"
#include "services/store/log/mirror_mark.h"
#include "services/store/log/readable_log.h"
#include "services/store/log/recovery.h"
#include "services/store/log/segment_set.h"
#include "services/store/log/store_lock.h"

namespace dunlin::store {
namespace {

constexpr uint64_t kMinSegmentSize = 64u << 10;
constexpr uint64_t kPageSize = 4096;
// What the writer may have under way at a time (appender.cc, recovery.cc).
constexpr uint64_t kMaxUnderWay = 64u << 20;
absl::Status CheckOptions(const CommitLogOptions& options) {
  if (options.segment_size_bytes < kMinSegmentSize || options.segment_size_bytes % kPageSize != 0) {
    return absl::InvalidArgumentError(
        fmt::format("a segment size of {} bytes; choose a multiple of {} from {} on",
                    options.segment_size_bytes, kPageSize, kMinSegmentSize));
  }
  return absl::OkStatus();
}

class RealCommitLog final : public ReadableLog {
 public:
  using CommitLog::Append;
  RealCommitLog(std::unique_ptr<File> lock, std::unique_ptr<SegmentSet> segments,
                std::unique_ptr<ControlPage> control, Epochs epochs, const Clock& clock)
      : ReadableLog(std::move(segments), clock),
        clock_(clock),
        lock_(std::move(lock)),
        control_(std::move(control)),
        epochs_(std::move(epochs)),
        walk_(this->segments(), epochs_) {
    SetWalk(walk_);
  }

  // Finds the end, begins the epoch there and starts the writer.
  absl::Status Start(const CommitLogOptions& options, FileSystem& files);

  absl::Status Append(std::span<const NewRecord> records, std::span<Appended> appended,
                      CommitWaiter* waiter, CommitBy by) override {
    return appender_->Append(records, appended, waiter, by);
  }
  void CommitHere() override { appender_->CommitHere(); }
  absl::StatusOr<Appended> AppendAndWait(const NewRecord& record) override;
  const Watermark& written() const override { return appender_->written(); }
  const Watermark& flushed() const override { return appender_->flushed(); }
  Watermark& confirmed() override { return appender_->confirmed(); }
  const LogTimes& times() const override { return appender_->times(); }
  absl::Status FlushUpTo(LogOffset offset) override { return appender_->FlushUpTo(offset); }
  LogOffset end() const override { return appender_->end(); }
  Epoch epoch() const override { return epochs_.last(); }
  Epoch EpochAt(LogOffset offset) const override { return epochs_.At(offset).value_or(Epoch(0)); }
  void SetViewed(LogOffset offset) override { control_->SetViewed(offset); }
  absl::Status DropBefore(LogOffset offset) override;
  absl::Status health() const override { return appender_->health(); }
  absl::Status Close() override { return appender_->Close(); }

 private:
  // The epoch to write in from `recovered.end` on.
  absl::StatusOr<Epoch> ChooseEpoch(const CommitLogOptions& options,
                                    const Recovered& recovered) const;
  // Everything that was found is on disk when it returns.
  absl::Status SyncFound(LogOffset flushed, LogOffset end);

  const Clock& clock_;
  const std::unique_ptr<File> lock_;  // held as long as the log is open
  const std::unique_ptr<ControlPage> control_;
  Epochs epochs_;  // does not change once the writer runs
  const RecordWalk walk_;
  std::unique_ptr<Appender> appender_;
};

absl::StatusOr<Epoch> RealCommitLog::ChooseEpoch(const CommitLogOptions& options,
                                                 const Recovered& recovered) const {
  const Epoch last = std::max(epochs_.last(), recovered.last_epoch);
  if (options.epoch == Epoch(0)) return std::max(last, control_->log_epoch()) + 1;
  if (options.epoch > last) return options.epoch;
  if (options.epoch < last || options.epoch != epochs_.last()) {
    return absl::FailedPreconditionError(
        fmt::format("epoch {} is over: the log has records of epoch {}; take a higher one",
                    options.epoch.value(), last.value()));
  }
  // An epoch has one record for each offset. One behind a hole may have been seen elsewhere, and
  // what is written over it would be another one.
  const std::optional<RecordView> behind =
      walk_.Search(recovered.end, recovered.end + kMaxUnderWay);
  if (!behind.has_value()) return options.epoch;
  return absl::FailedPreconditionError(fmt::format(
      "epoch {} cannot go on: the log ends at {}, behind which it had gone on to {} at least; take "
      "a higher one",
      options.epoch.value(), recovered.end.value(), behind->end().value()));
}

absl::Status RealCommitLog::SyncFound(LogOffset flushed, LogOffset end) {
  for (const std::shared_ptr<Segment>& segment : segments().List()) {
    if (segment->end() > flushed && segment->begin() <= end) {
      RETURN_IF_ERROR(segment->Sync());
    }
  }
  return absl::OkStatus();
}

absl::Status RealCommitLog::Start(const CommitLogOptions& options, FileSystem& files) {
  const std::vector<std::shared_ptr<Segment>> found = segments().List();
  LogOffset first(0);
  if (!found.empty()) {
    first = found.front()->begin();
  } else if (options.epoch != Epoch(0) && !epochs_.entries().empty()) {
    first = epochs_.entries().back().start;  // a mirror that was begun there, and got nothing yet
  }
  const LogOffset last = found.empty() ? first : found.back()->end();
  SetStart(first);
  LogOffset known = options.known_flushed ? options.known_flushed() : LogOffset(0);
  if (const LogOffset promised = std::max(known, control_->flushed()); promised > last) {
    log::Error("the log ends at {} although {} had been flushed: files are missing at its end",
               last.value(), promised.value());
  }
  if (known > last) known = first;
  LogOffset from = std::max(known, first);
  const LogOffset flushed = std::min(std::max(from, control_->flushed()), last);
  if (epochs_.last() == Epoch(0) && from > first) {
    // Without the epochs file the records before the end tell which epoch is in force there.
    const std::shared_ptr<Segment> before = segments().Find(from - 1);
    if (before != nullptr) from = before->begin();
  }
  ASSIGN_OR_RETURN(const Unflushed unflushed, ReadMirrorMark(files, options.directory));
  const Recovered recovered = Recover(segments(), walk_, from, flushed, unflushed);
  SetDamage(recovered.damage);
  ASSIGN_OR_RETURN(const Epoch epoch, ChooseEpoch(options, recovered));
  epochs_.Prune(first);
  if (epoch != epochs_.last()) {
    // A lone writer told nobody of an epoch in which it wrote nothing.
    if (options.epoch == Epoch(0)) epochs_.DropEmpty(recovered.end);
    epochs_.Begin(epoch, recovered.end);
    RETURN_IF_ERROR(epochs_.Save(files, options.directory + "/epochs"));
  }
  control_->SetLogEpoch(epoch);
  control_->SetLogStart(first);
  control_->SetAppended(recovered.end);
  // Who shows everything at once keeps no book of it.
  control_->SetShown(options.replicated ? std::min(recovered.end, control_->replicated())
                                        : ControlPage::kEverything,
                     control_->cuts());

  Appender::Options appender;
  appender.flush_mode = options.flush_mode;
  appender.flush_interval = options.flush_interval;
  appender.end = recovered.end;
  appender.epoch = epoch;
  appender.last_time = recovered.last_time;
  appender.replicated = options.replicated;
  appender.confirmed = std::max(first, std::min(recovered.end, control_->replicated()));
  appender.max_unconfirmed_bytes = options.max_unconfirmed_bytes;
  appender.boot_time = options.boot_time ? options.boot_time : BootTime;
  const std::shared_ptr<Segment> tail = segments().Find(recovered.end);
  RETURN_IF_ERROR(segments().FindOrMake(tail != nullptr ? tail->begin() : recovered.end).status());
  // What survived a crash of the process may still be in memory only: nothing of it is taken for
  // flushed until it is.
  RETURN_IF_ERROR(SyncFound(flushed, recovered.end));
  RETURN_IF_ERROR(ClearMirrorMark(files, options.directory));
  control_->SetFlushed(recovered.end);
  appender_ = std::make_unique<Appender>(appender, segments(), *control_, clock_);
  SetWritten(appender_->written());
  log::Info("commit log {} open: {} to {}, epoch {}, {} records read to find the end, {} damaged",
            options.directory, first.value(), recovered.end.value(), epoch.value(),
            recovered.records, recovered.damage.size());
  return absl::OkStatus();
}

absl::StatusOr<Appended> RealCommitLog::AppendAndWait(const NewRecord& record) {
  class Waiter final : public CommitWaiter {
   public:
    void OnCommitted(const absl::Status& status) override {
      MutexLock lock(mutex_);
      status_ = status;
      done_ = true;
      changed_.Signal();
    }
    absl::Status Wait() {
      MutexLock lock(mutex_);
      while (!done_) changed_.Wait(mutex_);
      return status_;
    }

   private:
    Mutex mutex_;
    CondVar changed_;
    bool done_ ABSL_GUARDED_BY(mutex_) = false;
    absl::Status status_ ABSL_GUARDED_BY(mutex_);
  };
  Waiter waiter;
  Appended appended;
  RETURN_IF_ERROR(Append({&record, 1}, {&appended, 1}, &waiter));
  RETURN_IF_ERROR(waiter.Wait());
  return appended;
}

absl::Status RealCommitLog::DropBefore(LogOffset offset) {
  const LogOffset writing = written().Get();
  LogOffset begin = start();
  for (const std::shared_ptr<Segment>& segment : segments().List()) {
    if (segment->end() <= offset && segment->end() <= writing) begin = segment->end();
  }
  // First nobody may find them, then they go.
  SetStart(begin);
  control_->SetLogStart(begin);
  return segments().DropBefore(begin);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CommitLog>> CommitLog::Open(const CommitLogOptions& options,
                                                           FileSystem& files, const Clock& clock) {
  RETURN_IF_ERROR(CheckOptions(options));
  RETURN_IF_ERROR(files.CreateDirectories(options.directory));
  ASSIGN_OR_RETURN(std::unique_ptr<File> lock, LockStore(files, options.directory));
  ASSIGN_OR_RETURN(std::unique_ptr<SegmentSet> segments,
                   SegmentSet::Open(files, options.directory + "/log", options.segment_size_bytes,
                                    options.replicated ? SegmentSet::Expired::kIsRemoved
                                                       : SegmentSet::Expired::kIsReused));
  ASSIGN_OR_RETURN(std::unique_ptr<ControlPage> control,
                   ControlPage::Open(files, options.directory + "/control"));
  absl::StatusOr<Epochs> epochs = Epochs::Load(files, options.directory + "/epochs");
  if (absl::IsDataLoss(epochs.status())) {
    // Without the file the records' own epochs are believed; a new file is written below.
    log::Error("{}; it is made anew", FromAbsl(epochs.status().message()));
    epochs = Epochs();
  }
  RETURN_IF_ERROR(epochs.status());
  auto log = std::make_unique<RealCommitLog>(std::move(lock), std::move(segments),
                                             std::move(control), *std::move(epochs), clock);
  RETURN_IF_ERROR(log->Start(options, files));
  return std::unique_ptr<CommitLog>(std::move(log));
}

}  // namespace dunlin::store
