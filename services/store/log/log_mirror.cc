#include "services/store/log/log_mirror.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "services/base/bytes.h"
#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/store/log/chunk.h"
#include "services/store/log/control_page.h"
#include "services/store/log/mirror_mark.h"
#include "services/store/log/recovery.h"
#include "services/store/log/segment_preparer.h"
#include "services/store/log/segment_set.h"
#include "services/store/log/store_lock.h"

namespace dunlin::store {
namespace {

// The kernel is asked to write out in such steps instead of in one go.
constexpr uint64_t kWritebackStep = 8u << 20;
constexpr size_t kZeroStep = 1u << 20;
constexpr std::array<char, 4096> kZeroPage{};

class RealLogMirror final : public LogMirror {
 public:
  RealLogMirror(LogMirrorOptions options, FileSystem& files, std::unique_ptr<File> lock)
      : options_(std::move(options)), files_(files), lock_(std::move(lock)) {}
  ~RealLogMirror() override {
    if (const absl::Status closed = Close(); !closed.ok()) {
      log::Error("the mirror of the log did not close cleanly: {}", closed.ToString());
    }
  }

  absl::Status Start() ABSL_LOCKS_EXCLUDED(mutex_);

  LogOffset start() const override { return Get().start; }
  LogOffset end() const override { return Get().end; }
  LogOffset flushed() const override { return Get().flushed; }
  Epochs epochs() const override ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<DamagedRange> damage() const override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status BeginEpoch(Epoch epoch, LogOffset start) override
      ABSL_LOCKS_EXCLUDED(mutex_, flush_mutex_);
  absl::Status Append(const Chunk& chunk) override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Flush() override ABSL_LOCKS_EXCLUDED(mutex_, flush_mutex_);
  absl::Status TruncateTo(Epochs::Point to, Confirmed confirmed) override
      ABSL_LOCKS_EXCLUDED(mutex_, flush_mutex_);
  absl::Status Reset(LogOffset start, Confirmed confirmed) override
      ABSL_LOCKS_EXCLUDED(mutex_, flush_mutex_);
  absl::Status DropBefore(LogOffset offset) override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status health() const override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Close() override ABSL_LOCKS_EXCLUDED(mutex_, flush_mutex_);

 private:
  struct Place {
    LogOffset start;
    LogOffset end;
    LogOffset flushed;
    // Of the segment that holds `end`, or ends there; both `end` when there is none.
    LogOffset segment_begin;
    LogOffset segment_end;
  };

  Place Get() const ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(mutex_);
    return place_;
  }
  std::string EpochsPath() const { return options_.directory + "/epochs"; }
  Place PlaceOf(LogOffset start, LogOffset end) const;
  absl::Status CheckChunk(const Chunk& chunk) const ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::shared_ptr<Segment>> SegmentOf(const Chunk& chunk);
  absl::Status Write(Segment& segment, const Chunk& chunk);
  void Advance(LogOffset end, const Segment& segment) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status SyncAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(flush_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  LogOffset Safe() const;  // below it, readers may have seen what is in the log
  void CheckShown(LogOffset end);
  absl::Status CheckCut(LogOffset end, Confirmed confirmed) const;
  absl::Status CheckBoundary(LogOffset end) const;
  absl::Status Cut(Epochs::Point to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(flush_mutex_)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Counts it again: who opened the log meanwhile may have seen a part of the old one.
  void EndCut();
  absl::Status FillWithZeros(LogOffset from, LogOffset to);
  // The log is empty, or was cut: sets what the page and we know of it.
  void Settle(const Place& place) ABSL_LOCKS_EXCLUDED(mutex_);
  void StartPreparing();
  SegmentPreparer::Place WhereToPrepare() const;
  // Remembers the first failure; returns what is remembered.
  absl::Status Fail(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void SyncLoop() ABSL_LOCKS_EXCLUDED(mutex_);
  void StartWriteback(LogOffset from, LogOffset end);

  const LogMirrorOptions options_;
  FileSystem& files_;
  std::unique_ptr<File> lock_;  // held until Close
  std::unique_ptr<SegmentSet> segments_;
  std::unique_ptr<ControlPage> page_;
  LogOffset writeback_asked_;  // of the one thread that appends
  std::optional<SegmentPreparer> preparer_;

  // One sync at a time, and none while the log is cut. Taken before mutex_.
  Mutex flush_mutex_;
  mutable Mutex mutex_;
  CondVar background_;
  Place place_ ABSL_GUARDED_BY(mutex_);
  Epochs epochs_ ABSL_GUARDED_BY(mutex_);
  std::vector<DamagedRange> damage_ ABSL_GUARDED_BY(mutex_);
  absl::Status health_ ABSL_GUARDED_BY(mutex_);
  bool writeback_due_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread sync_;
};

Epochs RealLogMirror::epochs() const {
  MutexLock lock(mutex_);
  return epochs_;
}

std::vector<DamagedRange> RealLogMirror::damage() const {
  MutexLock lock(mutex_);
  return damage_;
}

absl::Status RealLogMirror::health() const {
  MutexLock lock(mutex_);
  if (health_.ok() && closed_) return absl::UnavailableError("the mirror of the log is closed");
  return health_;
}

absl::Status RealLogMirror::Fail(const absl::Status& status) {
  MutexLock lock(mutex_);
  if (!health_.ok()) return health_;
  health_ = absl::UnavailableError(
      fmt::format("the mirror of the log takes no more: {}", FromAbsl(status.message())));
  log::Critical("{}", FromAbsl(health_.message()));
  return health_;
}

RealLogMirror::Place RealLogMirror::PlaceOf(LogOffset start, LogOffset end) const {
  Place place{start, end, end, end, end};
  std::shared_ptr<Segment> segment = segments_->Find(end);
  if (segment == nullptr && end > start) segment = segments_->Find(end - 1);
  if (segment != nullptr) {
    place.segment_begin = segment->begin();
    place.segment_end = segment->end();
  }
  return place;
}

absl::Status RealLogMirror::Start() {
  const std::string& directory = options_.directory;
  ASSIGN_OR_RETURN(segments_, SegmentSet::Open(files_, directory + "/log", /*segment_size=*/0,
                                               SegmentSet::Expired::kIsRemoved));
  ASSIGN_OR_RETURN(page_, ControlPage::Open(files_, directory + "/control"));
  absl::StatusOr<Epochs> epochs = Epochs::Load(files_, EpochsPath());
  if (absl::IsDataLoss(epochs.status())) {
    // Without it the records' own epochs are believed. The master will find nothing in common.
    log::Error("{}; it is made anew", FromAbsl(epochs.status().message()));
    epochs = Epochs();
  }
  RETURN_IF_ERROR(epochs.status());
  ASSIGN_OR_RETURN(const Unflushed unflushed, ReadMirrorMark(files_, directory));

  const std::vector<std::shared_ptr<Segment>> segments = segments_->List();
  LogOffset start = epochs->entries().empty() ? LogOffset(0) : epochs->entries().back().start;
  Recovered recovered;
  recovered.end = start;
  if (!segments.empty()) {
    start = segments.front()->begin();
    const LogOffset last = segments.back()->end();
    if (page_->flushed() > last) {
      log::Error("the log ends at {} although {} had been flushed: files are missing at its end",
                 last.value(), page_->flushed().value());
    }
    const LogOffset flushed = std::clamp(page_->flushed(), start, last);
    // A record begins where a segment does, whatever the page says.
    const std::shared_ptr<Segment> from = segments_->FindFrom(flushed);
    const RecordWalk walk(*segments_, *epochs);
    recovered =
        Recover(*segments_, walk, from == nullptr ? segments.back()->begin() : from->begin(),
                flushed, unflushed);
  }
  epochs->CutAt(std::max(start, recovered.end));
  RETURN_IF_ERROR(SetMirrorMark(files_, directory));
  // Made ahead, or behind a hole: made again when it is needed.
  RETURN_IF_ERROR(segments_->RemoveFrom(recovered.end));
  for (const std::shared_ptr<Segment>& segment : segments_->List()) {
    if (segment->end() > page_->flushed()) RETURN_IF_ERROR(segment->Sync());
  }
  {
    MutexLock lock(mutex_);
    epochs_ = *epochs;
    damage_ = std::move(recovered.damage);
  }
  writeback_asked_ = recovered.end;
  Settle(PlaceOf(start, recovered.end));
  CheckShown(recovered.end);
  StartPreparing();
  sync_ = std::thread([this] { SyncLoop(); });
  pthread_setname_np(sync_.native_handle(), "mirror-sync");
  log::Info("mirror of the log {} open: {} to {}, epoch {}, {} records read to find the end",
            directory, start.value(), recovered.end.value(), epochs->last().value(),
            recovered.records);
  return absl::OkStatus();
}

void RealLogMirror::CheckShown(LogOffset end) {
  const LogOffset shown = page_->shown();
  if (shown == ControlPage::kEverything) {
    // A lone broker kept no book. What is written from here on has been shown to nobody.
    page_->LowerShown(end);
  } else if (shown > end) {
    // A disk lost it, or a cut was not finished: a follower that goes on is to open it anew.
    EndCut();
  }
}

void RealLogMirror::Settle(const Place& place) {
  Epoch epoch;
  {
    MutexLock lock(mutex_);
    place_ = place;
    epoch = epochs_.last();
  }
  page_->SetLogEpoch(epoch);
  page_->SetLogStart(place.start);
  page_->SetFlushed(place.flushed);
  page_->SetAppended(place.end);
  page_->for_broker().Ring();
}

SegmentPreparer::Place RealLogMirror::WhereToPrepare() const {
  const Place place = Get();
  // Nothing is made behind a log that has no segment yet: its size is the master's to say.
  const uint64_t size = place.segment_end - place.segment_begin;
  if (size == 0) return {place.end, place.end, place.end + 2, 0};
  return {place.end, place.segment_begin, place.segment_end, size};
}

void RealLogMirror::StartPreparing() {
  preparer_.emplace(
      *segments_, [this] { return WhereToPrepare(); }, "mirror-prepare");
}

absl::Status RealLogMirror::BeginEpoch(Epoch epoch, LogOffset start) {
  RETURN_IF_ERROR(health());
  const Place place = Get();
  Epochs epochs = this->epochs();
  const Epochs::Entry entry{epoch, start};
  if (!epochs.entries().empty() && epochs.entries().back() == entry) return absl::OkStatus();
  // An empty log may begin in the middle of an epoch.
  const bool fits = start == place.end || (start < place.end && place.start == place.end);
  if (!fits || epoch <= epochs.last()) {
    return absl::FailedPreconditionError(
        fmt::format("epoch {} cannot begin at log offset {}: the log ends at {} in epoch {}",
                    epoch.value(), start.value(), place.end.value(), epochs.last().value()));
  }
  RETURN_IF_ERROR(Flush());
  epochs.Prune(place.start);
  epochs.Begin(epoch, start);
  if (const absl::Status saved = epochs.Save(files_, EpochsPath()); !saved.ok()) return Fail(saved);
  {
    MutexLock lock(mutex_);
    epochs_ = std::move(epochs);
  }
  page_->SetLogEpoch(epoch);
  page_->for_broker().Ring();
  return absl::OkStatus();
}

absl::Status RealLogMirror::CheckChunk(const Chunk& chunk) const {
  RETURN_IF_ERROR(health());
  MutexLock lock(mutex_);
  if (chunk.at != place_.end || chunk.epoch != epochs_.last()) {
    return absl::FailedPreconditionError(fmt::format(
        "bytes for log offset {} in epoch {}, but the log ends at {} in epoch {}", chunk.at.value(),
        chunk.epoch.value(), place_.end.value(), epochs_.last().value()));
  }
  if (place_.end < place_.segment_end && chunk.segment_end != place_.segment_end) {
    return absl::FailedPreconditionError(
        fmt::format("the segment at log offset {} ends at {} here and at {} there; start anew",
                    chunk.at.value(), place_.segment_end.value(), chunk.segment_end.value()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<Segment>> RealLogMirror::SegmentOf(const Chunk& chunk) {
  for (;;) {
    std::shared_ptr<Segment> segment = segments_->Find(chunk.at);
    if (segment == nullptr) {
      ASSIGN_OR_RETURN(segment, segments_->FindOrMake(chunk.at, chunk.segment_end - chunk.at));
    }
    if (segment->end() == chunk.segment_end) return segment;
    // Made ahead, perhaps just now, with the size of the one before.
    RETURN_IF_ERROR(segments_->RemoveFrom(chunk.at));
  }
}

absl::Status RealLogMirror::Write(Segment& segment, const Chunk& chunk) {
  // Whole pages, as the master's appender writes them: what is behind need not be read first.
  std::array<std::string_view, 2> pieces = {chunk.bytes, {}};
  const LogOffset end = chunk.at + chunk.bytes.size();
  const uint64_t beyond = (end - segment.begin()) % kZeroPage.size();
  if (beyond != 0) pieces[1] = {kZeroPage.data(), kZeroPage.size() - beyond};
  return segment.Write(chunk.at, pieces);
}

absl::Status RealLogMirror::Append(const Chunk& chunk) {
  RETURN_IF_ERROR(CheckChunk(chunk));
  ASSIGN_OR_RETURN(const LogOffset end, CheckRecords(chunk));
  if (Get().segment_end == chunk.at)
    RETURN_IF_ERROR(CheckSegmentSize(chunk.segment_end - chunk.at));
  absl::StatusOr<std::shared_ptr<Segment>> segment = SegmentOf(chunk);
  if (!segment.ok()) return Fail(segment.status());
  if (const absl::Status written = Write(**segment, chunk); !written.ok()) return Fail(written);
  Advance(end, **segment);
  page_->SetAppended(end);
  page_->for_broker().Ring();
  return absl::OkStatus();
}

void RealLogMirror::Advance(LogOffset end, const Segment& segment) {
  MutexLock lock(mutex_);
  const LogOffset half = segment.begin() + segment.size() / 2;
  const bool new_segment = place_.segment_begin != segment.begin();
  if ((new_segment || place_.end < half) && end >= half) preparer_->Look();
  place_.end = end;
  place_.segment_begin = segment.begin();
  place_.segment_end = segment.end();
  if (end - writeback_asked_ >= kWritebackStep) {
    writeback_asked_ = end;
    writeback_due_ = true;
    background_.SignalAll();
  }
}

absl::Status RealLogMirror::Flush() {
  MutexLock flush(flush_mutex_);
  return SyncAll();
}

absl::Status RealLogMirror::SyncAll() {
  // Somebody else's sync may have failed meanwhile: one that succeeds after it proves nothing.
  RETURN_IF_ERROR(health());
  const Place place = Get();
  LogOffset at = place.flushed;
  if (at == place.end) return absl::OkStatus();
  while (at < place.end) {
    const std::shared_ptr<Segment> segment = segments_->FindFrom(at);
    if (segment == nullptr || segment->begin() >= place.end) break;
    if (const absl::Status synced = segment->Sync(); !synced.ok()) return Fail(synced);
    at = segment->end();
  }
  {
    MutexLock lock(mutex_);
    place_.flushed = place.end;
  }
  page_->SetFlushed(place.end);
  page_->for_broker().Ring();
  return absl::OkStatus();
}

absl::Status RealLogMirror::CheckBoundary(LogOffset end) const {
  const Epochs epochs = this->epochs();
  const std::shared_ptr<Segment> segment = segments_->Find(end);
  if (segment == nullptr) return absl::OkStatus();  // the end of the log is that of a segment
  LogOffset at = segment->begin();
  while (at < end) {
    ASSIGN_OR_RETURN(const RecordHeader header,
                     CheckHeader(segment->From(at), {at, epochs.At(at)}));
    at += RoundUp(header.length, kRecordAlignment);
    if (header.kind == RecordKind::kPadding) at = segment->end();
  }
  if (at == end) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("the log cannot be cut at {}, in the middle of a record", end.value()));
}

LogOffset RealLogMirror::Safe() const {
  const LogOffset end = this->end();
  return std::max(std::min(page_->replicated(), end), std::min(page_->shown(), end));
}

absl::Status RealLogMirror::CheckCut(LogOffset end, Confirmed confirmed) const {
  const Place place = Get();
  if (end < place.start || end > place.end) {
    return absl::FailedPreconditionError(
        fmt::format("the log goes from {} to {}: it cannot be cut at {}", place.start.value(),
                    place.end.value(), end.value()));
  }
  RETURN_IF_ERROR(CheckBoundary(end));
  const LogOffset safe = Safe();
  if (end >= safe || confirmed == Confirmed::kMayGo) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("the log is not cut at {}: everything below {} had been confirmed", end.value(),
                  safe.value()));
}

absl::Status RealLogMirror::TruncateTo(Epochs::Point to, Confirmed confirmed) {
  const LogOffset end = to.offset;
  RETURN_IF_ERROR(health());
  RETURN_IF_ERROR(CheckCut(end, confirmed));
  // An epoch that only this log has begun goes, too.
  if (end == Get().end && epochs().last() <= to.epoch) return Flush();
  log::Warning("the log is cut at {}; it ended at {}", end.value(), Get().end.value());
  preparer_.reset();
  absl::Status cut;
  {
    MutexLock flush(flush_mutex_);
    const bool counted = end < Get().end && (confirmed == Confirmed::kMayGo || end < Safe());
    if (counted) page_->CountCut();
    cut = Cut(to);
    if (counted) EndCut();
  }
  StartPreparing();
  return cut.ok() ? cut : Fail(cut);
}

absl::Status RealLogMirror::Cut(Epochs::Point to) {
  const LogOffset end = to.offset;
  const Place before = Get();
  page_->SetAppended(end);
  RETURN_IF_ERROR(page_->LowerFlushed(end));
  Epochs epochs = this->epochs();
  epochs.TruncateTo(to);
  RETURN_IF_ERROR(epochs.Save(files_, EpochsPath()));
  RETURN_IF_ERROR(segments_->RemoveFrom(end));
  if (const std::shared_ptr<Segment> last = segments_->Find(end); last != nullptr) {
    RETURN_IF_ERROR(FillWithZeros(end, std::min(before.end, last->end())));
  }
  for (const std::shared_ptr<Segment>& segment : segments_->List()) {
    if (segment->end() > std::min(before.flushed, end)) RETURN_IF_ERROR(segment->Sync());
  }
  {
    MutexLock lock(mutex_);
    epochs_ = std::move(epochs);
    std::erase_if(damage_, [end](const DamagedRange& range) { return range.begin >= end; });
  }
  writeback_asked_ = end;
  Settle(PlaceOf(before.start, end));
  return absl::OkStatus();
}

void RealLogMirror::EndCut() {
  page_->CountCut();
  page_->for_broker().Ring();
}

absl::Status RealLogMirror::FillWithZeros(LogOffset from, LogOffset to) {
  const std::string zeros(std::min<uint64_t>(to - from, kZeroStep), '\0');
  const std::shared_ptr<Segment> segment = segments_->Find(from);
  while (from < to) {
    const std::string_view piece =
        std::string_view(zeros).substr(0, std::min<uint64_t>(to - from, zeros.size()));
    RETURN_IF_ERROR(segment->Write(from, {&piece, 1}));
    from += piece.size();
  }
  return absl::OkStatus();
}

absl::Status RealLogMirror::Reset(LogOffset start, Confirmed confirmed) {
  RETURN_IF_ERROR(health());
  if (const LogOffset safe = Safe();
      start < safe && safe > this->start() && confirmed == Confirmed::kMustStay) {
    return absl::FailedPreconditionError(
        fmt::format("the log is not given up for one that begins at {}: everything below {} had "
                    "been confirmed",
                    start.value(), safe.value()));
  }
  preparer_.reset();
  const Place before = Get();
  absl::Status status;
  {
    MutexLock flush(flush_mutex_);
    const bool counted = before.end > before.start;
    if (counted) {
      log::Warning("the log from {} to {} is given up; it begins anew at {}", before.start.value(),
                   before.end.value(), start.value());
      page_->CountCut();
    }
    page_->SetAppended(before.start);
    status = page_->LowerFlushed(LogOffset(0));
    if (status.ok()) status = Epochs().Save(files_, EpochsPath());
    if (status.ok()) status = segments_->RemoveFrom(LogOffset(0));
    if (status.ok()) {
      {
        MutexLock lock(mutex_);
        epochs_ = Epochs();
        damage_.clear();
      }
      writeback_asked_ = start;
      Settle(PlaceOf(start, start));
    }
    if (counted) EndCut();
  }
  StartPreparing();
  return status.ok() ? status : Fail(status);
}

absl::Status RealLogMirror::DropBefore(LogOffset offset) {
  RETURN_IF_ERROR(health());
  LogOffset begin = start();
  for (const std::shared_ptr<Segment>& segment : segments_->List()) {
    if (segment->end() <= offset && segment->end() < end()) begin = segment->end();
  }
  // First nobody may find them, then they go.
  {
    MutexLock lock(mutex_);
    place_.start = begin;
    std::erase_if(damage_, [begin](const DamagedRange& range) { return range.end <= begin; });
  }
  page_->SetLogStart(begin);
  page_->for_broker().Ring();
  return segments_->DropBefore(begin);
}

void RealLogMirror::StartWriteback(LogOffset from, LogOffset end) {
  while (from < end) {
    const std::shared_ptr<Segment> segment = segments_->FindFrom(from);
    if (segment == nullptr || segment->begin() >= end) return;
    from = std::max(from, segment->begin());
    const LogOffset to = std::min(end, segment->end());
    segment->StartWriteback(from, to - from);
    from = to;
  }
}

void RealLogMirror::SyncLoop() {
  auto next = std::chrono::steady_clock::now() + options_.flush_interval;
  LogOffset written_back = end();
  for (;;) {
    LogOffset end;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && !writeback_due_ && std::chrono::steady_clock::now() < next) {
        background_.WaitUntil(mutex_, next);
      }
      if (stopping_) return;
      writeback_due_ = false;
      if (!health_.ok()) {
        next = std::chrono::steady_clock::now() + options_.flush_interval;
        continue;
      }
      end = place_.end;
    }
    const auto now = std::chrono::steady_clock::now();
    if (now >= next) {
      next = now + options_.flush_interval;
      Flush().IgnoreError();  // remembered in health()
    } else {
      StartWriteback(written_back, end);
    }
    written_back = end;
  }
}

absl::Status RealLogMirror::Close() {
  {
    MutexLock lock(mutex_);
    if (closed_) return health_;
    stopping_ = true;
    background_.SignalAll();
  }
  preparer_.reset();
  absl::Status status;
  if (sync_.joinable()) {  // else it was never open
    sync_.join();
    status = Flush();
    if (status.ok()) status = ClearMirrorMark(files_, options_.directory);
  }
  MutexLock lock(mutex_);
  closed_ = true;
  lock_.reset();
  return status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LogMirror>> LogMirror::Open(const LogMirrorOptions& options,
                                                           FileSystem& files) {
  RETURN_IF_ERROR(files.CreateDirectories(options.directory));
  ASSIGN_OR_RETURN(std::unique_ptr<File> lock, LockStore(files, options.directory));
  auto mirror = std::make_unique<RealLogMirror>(options, files, std::move(lock));
  RETURN_IF_ERROR(mirror->Start());
  return std::unique_ptr<LogMirror>(std::move(mirror));
}

}  // namespace dunlin::store
