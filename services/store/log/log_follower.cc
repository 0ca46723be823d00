#include "services/store/log/log_follower.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/store/log/control_page.h"
#include "services/store/log/epochs.h"
#include "services/store/log/readable_log.h"

namespace dunlin::store {
namespace {

// The bell ends every wait; this one is for nothing but a page that was overwritten from outside.
constexpr std::chrono::seconds kNap{1};

absl::Status TakesNoMessages() {
  return absl::FailedPreconditionError(
      "a slave takes no messages: its replicator writes the log; send to the master");
}

class LogFollower final : public ReadableLog {
 public:
  LogFollower(LogFollowerOptions options, FileSystem& files, const Clock& clock,
              std::unique_ptr<SegmentSet> segments, std::unique_ptr<ControlPage> page)
      : ReadableLog(std::move(segments), clock),
        options_(std::move(options)),
        files_(files),
        page_(std::move(page)) {}
  ~LogFollower() override { Close().IgnoreError(); }

  absl::Status Start();

  absl::Status Append(std::span<const NewRecord> /*records*/, std::span<Appended> /*appended*/,
                      CommitWaiter* /*waiter*/, CommitBy /*by*/) override {
    return TakesNoMessages();
  }
  void CommitHere() override {}
  absl::StatusOr<Appended> AppendAndWait(const NewRecord& /*record*/) override {
    return TakesNoMessages();
  }
  const Watermark& written() const override { return confirmed_; }
  const Watermark& flushed() const override { return flushed_; }
  Watermark& confirmed() override { return confirmed_; }
  const LogTimes& times() const override { return times_; }
  absl::Status FlushUpTo(LogOffset offset) override ABSL_LOCKS_EXCLUDED(flush_mutex_);
  LogOffset end() const override { return confirmed_.Get(); }
  Epoch epoch() const override ABSL_LOCKS_EXCLUDED(mutex_);
  Epoch EpochAt(LogOffset offset) const override ABSL_LOCKS_EXCLUDED(mutex_);
  void SetViewed(LogOffset offset) override { page_->SetViewed(offset); }
  absl::Status DropBefore(LogOffset /*offset*/) override {
    return absl::FailedPreconditionError(
        "a slave drops no segments itself: its replicator does, when the master has");
  }
  absl::Status health() const override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Close() override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // A generation of the epochs file. Readers may be under way with an older walk, so none goes.
  struct Generation {
    Generation(Epochs known, const SegmentSet& segments)
        : epochs(std::move(known)), walk(segments, epochs) {}
    const Epochs epochs;
    const RecordWalk walk;
  };

  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes over what the page says. The first failure is for good.
  absl::Status Follow() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CheckCuts() const;
  // What was confirmed when the view was written, if the view is of this log.
  LogOffset KnownConfirmed(LogOffset appended) const ABSL_LOCKS_EXCLUDED(mutex_);
  // The epochs file, and what the page said before it was read.
  struct Read {
    Epoch as_of;
    Epochs epochs;
  };
  absl::StatusOr<Read> ReadEpochs() const;
  absl::Status MoveTo(LogOffset confirmed);
  void Publish(Read read) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Fail(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  const LogFollowerOptions options_;
  FileSystem& files_;
  const std::unique_ptr<ControlPage> page_;
  uint64_t cuts_ = 0;     // when it was opened
  Epoch epochs_as_of_;    // what the page said when the epochs were read
  const LogTimes times_;  // empty
  Watermark confirmed_;
  Watermark flushed_;
  LogOffset refreshed_;  // what the segments in the set reach to

  Mutex flush_mutex_;  // one sync at a time
  mutable Mutex mutex_;
  std::deque<Generation> generations_ ABSL_GUARDED_BY(mutex_);
  absl::Status health_ ABSL_GUARDED_BY(mutex_);
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

absl::Status LogFollower::Start() {
  cuts_ = page_->cuts();
  ASSIGN_OR_RETURN(Read read, ReadEpochs());
  Publish(std::move(read));
  const LogOffset appended = page_->appended();
  SetStart(page_->log_start());
  SetWritten(confirmed_);
  RETURN_IF_ERROR(
      MoveTo(std::max(std::min(appended, page_->replicated()), KnownConfirmed(appended))));
  RETURN_IF_ERROR(CheckCuts());
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "log-follower");
  log::Info("following the log {}: {} to {}, of which {} is confirmed", options_.directory,
            start().value(), appended.value(), confirmed_.Get().value());
  return absl::OkStatus();
}

LogOffset LogFollower::KnownConfirmed(LogOffset appended) const {
  const LogOffset viewed = options_.viewed;
  if (viewed == LogOffset(0) || viewed > appended || options_.viewed_epoch == Epoch(0)) {
    return LogOffset(0);
  }
  return EpochAt(viewed - 1) == options_.viewed_epoch ? viewed : LogOffset(0);
}

absl::StatusOr<LogFollower::Read> LogFollower::ReadEpochs() const {
  // In this order: the writer saves the file before it tells of it on the page.
  Read read{.as_of = page_->log_epoch(), .epochs = {}};
  ASSIGN_OR_RETURN(read.epochs, Epochs::Load(files_, options_.directory + "/epochs"));
  return read;
}

void LogFollower::Publish(Read read) {
  MutexLock lock(mutex_);
  generations_.emplace_back(std::move(read.epochs), segments());
  SetWalk(generations_.back().walk);
  epochs_as_of_ = read.as_of;
}

absl::Status LogFollower::CheckCuts() const {
  if (page_->cuts() == cuts_) return absl::OkStatus();
  return absl::DataLossError(
      "the log was cut back behind what had been shown: this view of it is to be opened anew");
}

absl::Status LogFollower::MoveTo(LogOffset confirmed) {
  const LogOffset start = page_->log_start();
  confirmed = std::max(confirmed, start);  // below it nothing is left to be seen
  if (confirmed > refreshed_ || start > this->start()) {
    RETURN_IF_ERROR(segments().Refresh(start, confirmed));
    const std::vector<std::shared_ptr<Segment>> known = segments().List();
    refreshed_ = known.empty() ? confirmed : std::max(confirmed, known.back()->end());
    SetStart(std::max(start, this->start()));
  }
  page_->SetShown(confirmed, cuts_);
  confirmed_.Advance(confirmed);
  flushed_.Advance(std::min(confirmed, page_->flushed()));
  return absl::OkStatus();
}

absl::Status LogFollower::Follow() {
  const LogOffset target = std::min(page_->appended(), page_->replicated());
  // What is below `target` was written in an epoch that the page told of first.
  std::optional<Read> read;
  if (page_->log_epoch() != epochs_as_of_) {
    ASSIGN_OR_RETURN(read, ReadEpochs());
  }
  // Behind the other looks: what was written after a cut is not taken for what had been there; nor
  // is its epoch told for that of what had been there (EpochAt, which a checkpoint notes).
  RETURN_IF_ERROR(CheckCuts());
  if (read.has_value()) Publish(*std::move(read));
  return MoveTo(std::max(target, confirmed_.Get()));
}

absl::Status LogFollower::Fail(const absl::Status& status) {
  MutexLock lock(mutex_);
  if (health_.ok()) {
    health_ = status;
    log::Error("the log is not followed any further: {}", FromAbsl(status.message()));
  }
  return health_;
}

void LogFollower::Loop() {
  for (;;) {
    const uint32_t looked = page_->for_broker().Look();
    {
      MutexLock lock(mutex_);
      if (closing_) return;
    }
    if (const absl::Status followed = Follow(); !followed.ok()) {
      Fail(followed).IgnoreError();
      return;
    }
    page_->for_broker().Wait(looked, kNap);
  }
}

absl::Status LogFollower::FlushUpTo(LogOffset offset) {
  for (;;) {
    RETURN_IF_ERROR(health());
    if (flushed_.Get() >= offset) return absl::OkStatus();
    const LogOffset confirmed = confirmed_.Get();
    if (confirmed < offset) {
      if (confirmed_.closed()) {
        return absl::UnavailableError("the log was closed before it got there");
      }
      confirmed_.WaitAbove(confirmed, std::chrono::milliseconds(100));
      continue;
    }
    MutexLock flush(flush_mutex_);
    for (LogOffset at = flushed_.Get(); at < offset;) {
      const std::shared_ptr<Segment> segment = segments().FindFrom(at);
      if (segment == nullptr || segment->begin() >= offset) break;
      if (const absl::Status synced = segment->Sync(); !synced.ok()) return Fail(synced);
      at = segment->end();
    }
    flushed_.Advance(offset);
  }
}

Epoch LogFollower::epoch() const {
  const LogOffset end = this->end();
  return end == LogOffset(0) ? Epoch(0) : EpochAt(end - 1);
}

Epoch LogFollower::EpochAt(LogOffset offset) const {
  MutexLock lock(mutex_);
  return generations_.back().epochs.At(offset).value_or(Epoch(0));
}

absl::Status LogFollower::health() const {
  MutexLock lock(mutex_);
  return health_;
}

absl::Status LogFollower::Close() {
  if (!thread_.joinable()) return health();
  {
    MutexLock lock(mutex_);
    closing_ = true;
  }
  page_->for_broker().Ring();
  thread_.join();
  confirmed_.Close();
  flushed_.Close();
  return health();
}

}  // namespace

absl::StatusOr<std::unique_ptr<CommitLog>> OpenLogFollower(const LogFollowerOptions& options,
                                                           FileSystem& files, const Clock& clock) {
  ASSIGN_OR_RETURN(std::unique_ptr<SegmentSet> segments,
                   SegmentSet::OpenEmptyForReading(files, options.directory + "/log"));
  ASSIGN_OR_RETURN(std::unique_ptr<ControlPage> page,
                   ControlPage::Open(files, options.directory + "/control"));
  auto follower =
      std::make_unique<LogFollower>(options, files, clock, std::move(segments), std::move(page));
  RETURN_IF_ERROR(follower->Start());
  return std::unique_ptr<CommitLog>(std::move(follower));
}

}  // namespace dunlin::store
