#include "services/store/retention/retention.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/base/status_macros.h"
#include "services/store/index/queue_index.h"
#include "services/store/log/record.h"

namespace dunlin::store {
namespace {

// How much of the log one round reads to find out what is still needed.
constexpr uint64_t kNeededStep = 256u << 20;
// For so long at least an idempotent producer is known.
constexpr std::chrono::hours kProducersKept{1};

class RealRetention final : public Retention {
 public:
  RealRetention(const RetentionOptions& options, CommitLog& log, Dispatcher& dispatcher,
                FileSystem& files, std::string directory, const Clock& clock)
      : options_(options),
        log_(log),
        dispatcher_(dispatcher),
        files_(files),
        directory_(std::move(directory)),
        clock_(clock) {
    thread_ = std::thread([this] { Loop(); });
    pthread_setname_np(thread_.native_handle(), "retention");
  }
  ~RealRetention() override { Stop(); }

  absl::Status Step() override;
  bool DiskIsFull() const override { return disk_is_full_.load(std::memory_order_relaxed); }
  void Stop() override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  // Where the log may begin from now on; nullopt when all of it stays.
  absl::StatusOr<std::optional<LogOffset>> Choose() ABSL_LOCKS_EXCLUDED(step_mutex_);
  // The first record that something still needs, at or before `end`: all before it are of queues
  // that do not reach back so far any more. Goes on where it stopped, and only so far at a time.
  absl::StatusOr<LogOffset> FindNeeded(LogOffset end) ABSL_LOCKS_EXCLUDED(step_mutex_);
  absl::StatusOr<bool> IsNeeded(const RecordHeader& header) const;

  const RetentionOptions options_;
  CommitLog& log_;
  Dispatcher& dispatcher_;
  FileSystem& files_;
  const std::string directory_;
  const Clock& clock_;
  std::atomic<bool> disk_is_full_{false};

  Mutex step_mutex_;
  LogOffset needed_ ABSL_GUARDED_BY(step_mutex_);

  Mutex mutex_;
  CondVar stop_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

absl::StatusOr<std::optional<LogOffset>> RealRetention::Choose() {
  ASSIGN_OR_RETURN(const DiskSpace disk, files_.GetDiskSpace(directory_));
  const uint64_t used = disk.total_bytes - std::min(disk.free_bytes, disk.total_bytes);
  const bool full = used > disk.total_bytes / 100 * options_.disk_full_percent;
  if (full != disk_is_full_.exchange(full)) {
    if (full) {
      log::Error("the disk of {} is over {} % full: sends are refused until there is room",
                 directory_, options_.disk_full_percent);
    } else {
      log::Info("the disk of {} has room again: sends are accepted", directory_);
    }
  }
  const uint64_t high = disk.total_bytes / 100 * options_.disk_high_percent;
  uint64_t over_disk = used > high ? used - high : 0;
  const std::vector<CommitLog::SegmentInfo> segments = log_.Segments();
  uint64_t total = 0;
  for (const CommitLog::SegmentInfo& segment : segments) total += segment.bytes_on_disk;
  const LogOffset written = log_.written().Get();
  const LogOffset dispatched = dispatcher_.dispatched().Get();
  ASSIGN_OR_RETURN(const LogOffset needed, FindNeeded(std::min(written, dispatched)));
  std::optional<LogOffset> begin;
  for (const CommitLog::SegmentInfo& segment : segments) {
    // The one being written to stays, and what the index still needs.
    if (segment.end > written || segment.end > dispatched) break;
    const bool old = options_.max_age != std::chrono::milliseconds::max() &&
                     clock_.Now() - segment.last_write > options_.max_age;
    const bool too_much = options_.max_bytes != 0 && total > options_.max_bytes;
    if (!old && !too_much && over_disk == 0 && segment.end > needed) break;
    begin = segment.end;
    total -= segment.bytes_on_disk;
    over_disk -= std::min(over_disk, segment.bytes_on_disk);
  }
  return begin;
}

absl::StatusOr<bool> RealRetention::IsNeeded(const RecordHeader& header) const {
  switch (header.kind) {
    case RecordKind::kProducer:
      // By it a message that a producer sends again is known.
      return clock_.Now() - header.store_time < kProducersKept;
    case RecordKind::kMessage:
    case RecordKind::kDelivery:
    case RecordKind::kResolution:
      break;
    default:
      return false;
  }
  // What waits, or waited, for its time or its transaction: to move it would be to write it again
  // and again.
  if ((header.flags & (kFlagParked | kFlagPrepared)) != 0) return true;
  if (header.kind == RecordKind::kResolution && (header.flags & kFlagDue) == 0) return false;
  std::vector<IndexEntry> entry;
  const absl::Status read = dispatcher_.queues().Read(header.queue, header.queue_offset, 1, entry);
  if (absl::IsOutOfRange(read)) return false;
  RETURN_IF_ERROR(read);
  // Else the topic is gone, or something further on stands in the message's place.
  return !entry.empty() && entry.front().log_offset == header.log_offset;
}

absl::StatusOr<LogOffset> RealRetention::FindNeeded(LogOffset end) {
  MutexLock lock(step_mutex_);
  needed_ = std::max(needed_, log_.start());
  const LogOffset stop = std::min(end, needed_ + kNeededStep);
  while (needed_ < stop) {
    const absl::StatusOr<RecordView> record = log_.ReadNext(needed_, stop);
    if (absl::IsOutOfRange(record.status())) break;
    RETURN_IF_ERROR(record.status());
    ASSIGN_OR_RETURN(const bool is_needed, IsNeeded(record->header()));
    if (is_needed) {
      needed_ = record->header().log_offset;  // nothing but the end of a segment is before it
      break;
    }
    needed_ = record->end();
  }
  return needed_;
}

absl::Status RealRetention::Step() {
  ASSIGN_OR_RETURN(const std::optional<LogOffset> begin, Choose());
  if (!begin.has_value()) return absl::OkStatus();
  // Before anything goes, what it says of the state must stand further on, and on disk.
  if (!dispatcher_.snapshot().exists || dispatcher_.snapshot().as_of < *begin) {
    RETURN_IF_ERROR(dispatcher_.Snapshot());
    if (dispatcher_.snapshot().as_of < *begin) {
      return absl::AbortedError("the snapshot did not become whole");
    }
  }
  RETURN_IF_ERROR(dispatcher_.MoveBefore(*begin));
  RETURN_IF_ERROR(dispatcher_.Checkpoint());
  RETURN_IF_ERROR(dispatcher_.DropBefore(*begin));
  log::Info("the log now begins at {}: what was older has expired", begin->value());
  return absl::OkStatus();
}

void RealRetention::Loop() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    mutex_.Unlock();
    if (const absl::Status done = Step(); !done.ok()) {
      log::Warning("old messages cannot be removed now, trying again: {}", done.ToString());
    }
    mutex_.Lock();
    const auto wake = std::chrono::steady_clock::now() + options_.interval;
    while (!stopping_ && stop_.WaitUntil(mutex_, wake)) {
    }
  }
}

void RealRetention::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    stop_.Signal();
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace

std::unique_ptr<Retention> Retention::Start(const RetentionOptions& options, CommitLog& log,
                                            Dispatcher& dispatcher, FileSystem& files,
                                            const std::string& directory, const Clock& clock) {
  return std::make_unique<RealRetention>(options, log, dispatcher, files, directory, clock);
}

}  // namespace dunlin::store
