#include "services/store/log/commit_log.h"

#include <fmt/format.h>
#include <unistd.h>

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
#include "services/store/log/recovery.h"
#include "services/store/log/segment_set.h"

namespace dunlin::store {
namespace {

constexpr uint64_t kMinSegmentSize = 64u << 10;
constexpr uint64_t kPageSize = 4096;
// How far behind a damaged beginning of a segment a record is looked for that tells the time.
constexpr uint64_t kTimeSearch = 1u << 20;

absl::Status CheckOptions(const CommitLogOptions& options) {
  if (options.segment_size_bytes < kMinSegmentSize || options.segment_size_bytes % kPageSize != 0) {
    return absl::InvalidArgumentError(
        fmt::format("a segment size of {} bytes; choose a multiple of {} from {} on",
                    options.segment_size_bytes, kPageSize, kMinSegmentSize));
  }
  return absl::OkStatus();
}

// Takes the lock of the directory; the file names the process that holds it.
absl::StatusOr<std::unique_ptr<File>> LockDirectory(FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> lock, files.Open(path, OpenMode::kCreate));
  const absl::Status locked = lock->Lock();
  if (absl::IsFailedPrecondition(locked)) {
    const absl::StatusOr<std::string> holder = lock->ReadAt(0, 32);
    return absl::FailedPreconditionError(fmt::format(
        "the store is in use by process {}: {}. Stop that process, or give this one another "
        "data directory",
        holder.ok() && !holder->empty() ? *holder : "?", FromAbsl(locked.message())));
  }
  RETURN_IF_ERROR(locked);
  RETURN_IF_ERROR(lock->Truncate(0));
  const std::string pid = std::to_string(getpid());
  const std::string_view piece = pid;
  RETURN_IF_ERROR(lock->WriteAt(0, {&piece, 1}));
  return lock;
}

class RealCommitLog final : public CommitLog {
 public:
  using CommitLog::Append;
  RealCommitLog(std::unique_ptr<File> lock, std::unique_ptr<SegmentSet> segments,
                std::unique_ptr<ControlPage> control, Epochs epochs, const Clock& clock)
      : clock_(clock),
        lock_(std::move(lock)),
        segments_(std::move(segments)),
        control_(std::move(control)),
        epochs_(std::move(epochs)),
        walk_(*segments_, epochs_) {}

  // Finds the end, begins a new epoch there and starts the writer.
  absl::Status Start(const CommitLogOptions& options, FileSystem& files);

  absl::Status Append(std::span<const NewRecord> records, std::span<Appended> appended,
                      CommitWaiter* waiter, CommitBy by) override {
    return appender_->Append(records, appended, waiter, by);
  }
  void CommitHere() override { appender_->CommitHere(); }
  absl::StatusOr<Appended> AppendAndWait(const NewRecord& record) override;
  absl::StatusOr<RecordView> Read(LogOffset offset) override;
  absl::StatusOr<RecordView> ReadNext(LogOffset offset, LogOffset limit) override;
  std::unique_ptr<RecordReader> NewReader() override;
  void Prefetch(LogOffset from, uint64_t length) override;
  const Watermark& written() const override { return appender_->written(); }
  const Watermark& flushed() const override { return appender_->flushed(); }
  Watermark& confirmed() override { return appender_->confirmed(); }
  absl::Status FlushUpTo(LogOffset offset) override { return appender_->FlushUpTo(offset); }
  LogOffset start() const override { return LogOffset(start_.load(std::memory_order_acquire)); }
  LogOffset end() const override { return appender_->end(); }
  Epoch epoch() const override { return epochs_.last(); }
  std::vector<DamagedRange> damage() const override ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<SegmentInfo> Segments() const override;
  absl::Status DropBefore(LogOffset offset) override;
  absl::Status health() const override { return appender_->health(); }
  absl::Status Close() override { return appender_->Close(); }

 private:
  class Reader;

  void AddDamage(DamagedRange range, std::string_view why) ABSL_LOCKS_EXCLUDED(mutex_);

  const Clock& clock_;
  const std::unique_ptr<File> lock_;  // held as long as the log is open
  const std::unique_ptr<SegmentSet> segments_;
  const std::unique_ptr<ControlPage> control_;
  Epochs epochs_;  // does not change once the writer runs
  const RecordWalk walk_;
  std::atomic<uint64_t> start_{0};
  std::unique_ptr<Appender> appender_;

  mutable Mutex mutex_;
  std::vector<DamagedRange> damage_ ABSL_GUARDED_BY(mutex_);
};

class RealCommitLog::Reader final : public RecordReader {
 public:
  explicit Reader(RealCommitLog& log) : log_(log) {}

  absl::StatusOr<RecordView> Read(LogOffset offset) override {
    if (offset >= log_.start() && offset < log_.written().Get() && Take(offset)) {
      absl::StatusOr<RecordView> record = log_.walk_.At(offset, segment_);
      if (record.ok()) return record;
    }
    return log_.Read(offset);  // says what is wrong
  }
  absl::StatusOr<RecordView> ReadNext(LogOffset offset, LogOffset limit) override {
    if (offset >= log_.start() && offset < limit && offset < log_.written().Get() && Take(offset)) {
      absl::StatusOr<RecordView> record = log_.walk_.At(offset, segment_);
      if (record.ok() && record->header().kind != RecordKind::kPadding) return record;
    }
    return log_.ReadNext(offset, limit);  // steps over padding and damage
  }

 private:
  // Whether the segment of `offset` is at hand.
  bool Take(LogOffset offset) {
    if (segment_ == nullptr || offset < segment_->begin() || offset >= segment_->end()) {
      segment_ = log_.segments_->Find(offset);
    }
    return segment_ != nullptr;
  }

  RealCommitLog& log_;
  std::shared_ptr<Segment> segment_;
};

void RealCommitLog::Prefetch(LogOffset from, uint64_t length) {
  const LogOffset end = std::min(from + length, written().Get());
  while (from < end) {
    const std::shared_ptr<Segment> segment = segments_->Find(from);
    if (segment == nullptr) return;
    segment->Prefetch(from, end - from);
    from = segment->end();
  }
}

std::unique_ptr<RecordReader> RealCommitLog::NewReader() { return std::make_unique<Reader>(*this); }

absl::Status RealCommitLog::Start(const CommitLogOptions& options, FileSystem& files) {
  const std::vector<std::shared_ptr<Segment>> segments = segments_->List();
  const LogOffset first = segments.empty() ? LogOffset(0) : segments.front()->begin();
  const LogOffset last = segments.empty() ? LogOffset(0) : segments.back()->end();
  start_.store(first.value());
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
    const std::shared_ptr<Segment> before = segments_->Find(from - 1);
    if (before != nullptr) from = before->begin();
  }
  const Recovered recovered = Recover(*segments_, walk_, from, flushed);
  {
    MutexLock lock(mutex_);
    damage_ = recovered.damage;
  }
  const Epoch epoch =
      Epoch(std::max({epochs_.last(), recovered.last_epoch,
                      Epoch(static_cast<uint32_t>(control_->offsets().epoch.load()))})
                .value() +
            1);
  const std::string epochs_path = options.directory + "/epochs";
  epochs_.Prune(first);
  epochs_.Begin(epoch, recovered.end);
  RETURN_IF_ERROR(epochs_.Save(files, epochs_path));
  control_->offsets().epoch.store(epoch.value());
  control_->offsets().appended.store(recovered.end.value());

  Appender::Options appender;
  appender.flush_mode = options.flush_mode;
  appender.flush_interval = options.flush_interval;
  appender.end = recovered.end;
  appender.epoch = epoch;
  appender.last_time = recovered.last_time;
  RETURN_IF_ERROR(segments_
                      ->FindOrMake(segments_->Find(recovered.end) != nullptr
                                       ? segments_->Find(recovered.end)->begin()
                                       : recovered.end)
                      .status());
  // What survived a crash of the process may still be in memory only: nothing of it is taken for
  // flushed until it is.
  for (const std::shared_ptr<Segment>& segment : segments_->List()) {
    if (segment->end() > flushed && segment->begin() <= recovered.end) {
      RETURN_IF_ERROR(segment->Sync());
    }
  }
  control_->SetFlushed(recovered.end);
  appender_ = std::make_unique<Appender>(appender, *segments_, *control_, clock_);
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

absl::StatusOr<RecordView> RealCommitLog::Read(LogOffset offset) {
  if (offset < start()) {
    return absl::NotFoundError(fmt::format("log offset {} has expired; the log begins at {}",
                                           offset.value(), start().value()));
  }
  if (offset >= written().Get()) {
    return absl::OutOfRangeError(fmt::format("log offset {} is not written yet", offset.value()));
  }
  absl::StatusOr<RecordView> record = walk_.At(offset);
  if (record.ok()) return record;
  if (absl::IsOutOfRange(record.status())) {
    return absl::DataLossError(
        fmt::format("log offset {}: its segment is missing", offset.value()));
  }
  AddDamage({offset, offset + kRecordAlignment}, FromAbsl(record.status().message()));
  return record;
}

absl::StatusOr<RecordView> RealCommitLog::ReadNext(LogOffset offset, LogOffset limit) {
  limit = std::min(limit, written().Get());
  offset = std::max(offset, start());
  while (offset < limit) {
    offset = walk_.SkipRest(offset);
    if (offset >= limit) break;
    absl::StatusOr<RecordView> record = walk_.At(offset);
    if (record.ok()) {
      if (record->header().kind != RecordKind::kPadding) return record;
      offset = segments_->Find(offset)->end();
      continue;
    }
    std::optional<RecordView> next = walk_.Search(offset + kRecordAlignment, limit);
    const LogOffset end = next.has_value() ? next->header().log_offset : limit;
    AddDamage({offset, end}, FromAbsl(record.status().message()));
    offset = end;
  }
  return absl::OutOfRangeError("no further record yet");
}

void RealCommitLog::AddDamage(DamagedRange range, std::string_view why) {
  MutexLock lock(mutex_);
  for (DamagedRange& known : damage_) {
    if (range.begin >= known.begin && range.begin < known.end) {
      known.end = std::max(known.end, range.end);
      return;
    }
  }
  damage_.push_back(range);
  log::Error("the log is damaged at {}: {}", range.begin.value(), why);
}

std::vector<DamagedRange> RealCommitLog::damage() const {
  MutexLock lock(mutex_);
  return damage_;
}

std::vector<CommitLog::SegmentInfo> RealCommitLog::Segments() const {
  std::vector<SegmentInfo> infos;
  const LogOffset end = written().Get();
  for (const std::shared_ptr<Segment>& segment : segments_->List()) {
    SegmentInfo info;
    info.begin = segment->begin();
    info.end = segment->end();
    info.bytes_on_disk = segment->size();
    infos.push_back(info);
  }
  // The first record behind a segment tells when the segment was last written to. Where it cannot
  // be read a later one does: too late a time keeps a segment, too early a one throws it away.
  Timestamp later = clock_.Now();
  for (auto info = infos.rbegin(); info != infos.rend(); ++info) {
    const LogOffset from = info->end < end ? info->end : info->begin;
    const std::optional<RecordView> record = walk_.Search(from, std::min(from + kTimeSearch, end));
    if (record.has_value()) later = record->header().store_time;
    info->last_write = later;
  }
  return infos;
}

absl::Status RealCommitLog::DropBefore(LogOffset offset) {
  const LogOffset writing = written().Get();
  LogOffset begin = start();
  for (const std::shared_ptr<Segment>& segment : segments_->List()) {
    if (segment->end() <= offset && segment->end() <= writing) begin = segment->end();
  }
  // First nobody may find them, then they go.
  start_.store(begin.value(), std::memory_order_release);
  return segments_->DropBefore(begin);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CommitLog>> CommitLog::Open(const CommitLogOptions& options,
                                                           FileSystem& files, const Clock& clock) {
  RETURN_IF_ERROR(CheckOptions(options));
  RETURN_IF_ERROR(files.CreateDirectories(options.directory));
  ASSIGN_OR_RETURN(std::unique_ptr<File> lock, LockDirectory(files, options.directory + "/LOCK"));
  ASSIGN_OR_RETURN(std::unique_ptr<SegmentSet> segments,
                   SegmentSet::Open(files, options.directory + "/log", options.segment_size_bytes));
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
