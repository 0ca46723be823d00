// CommitLog: the only source of truth of a broker; append, wait for durability, read back.
//
// Owns the store directory's log/ (segments), epochs file, control page and lock file. A second
// process that opens the same directory is refused (FAILED_PRECONDITION).
//
// Threads: Append and Read may be called from any thread and never wait for a disk. Three threads
// live inside: `committer` (pwritev, fdatasync, completions), `flusher` (bounds what is dirty under
// ASYNC_FLUSH), `preparer` (makes segments ahead of need).
//
// A crash leaves: whole records, then perhaps a torn tail that was never acknowledged. Open() cuts
// the tail at the first invalid record that nothing proves to have been flushed; an invalid range
// below the flushed offset is damage: kept, listed in damage(), never served, stepped over by
// cursors. The writer starts a new epoch at each Open, so that stale bytes behind the new end can
// never be taken for records.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/latency_histogram.h"
#include "services/base/strong_int.h"
#include "services/store/log/record.h"
#include "services/store/log/record_view.h"
#include "services/store/log/watermark.h"

namespace dunlin::store {

enum class FlushMode {
  kAsync,  // acknowledged when pwritev returned: survives the process
  kSync,   // acknowledged when fdatasync returned: survives the machine
};

struct CommitLogOptions {
  std::string directory;
  FlushMode flush_mode = FlushMode::kAsync;
  uint64_t segment_size_bytes = uint64_t{1} << 30;  // a multiple of 4096, at least 64 KiB
  std::chrono::milliseconds flush_interval{500};    // ASYNC_FLUSH: at most this long not on disk
  // Where a record begins below which everything is known to have been flushed, from the checkpoint
  // of a derived store: recovery does not read what is below. Asked once the directory is locked;
  // may be empty.
  std::function<LogOffset()> known_flushed;

  // The epoch to write in. 0: the one after the last one, as a log has it that is nobody's replica.
  // Else what the replicator has said (ControlPage::wanted): either it begins where the log ends,
  // or it is the last one of the log already and goes on, which is what a LogMirror that was
  // promoted leaves behind (BeginEpoch), and a broker that crashed in the middle of its epoch. It
  // is not gone on with when records of it stand behind a hole, as a loss of power leaves them.
  // FAILED_PRECONDITION then, and for an epoch below the last one.
  Epoch epoch;
  // Then `confirmed` is what is durable here *and* below ControlPage::replicated, for readers and
  // for CommitWaiters alike (confirmer.h). At first that may be less than end(), after a crash in
  // the middle of the epoch: who builds tables to append by waits until it is not. Without it the
  // page's orders are not looked at.
  bool replicated = false;
  // What may wait for the replicas at a time; more is refused with RESOURCE_EXHAUSTED.
  uint64_t max_unconfirmed_bytes = 64u << 20;
  // What the lease on the page is compared with; empty: BootTime.
  std::function<std::chrono::nanoseconds()> boot_time;
};

// The next queue offset of one queue; guarded by the append lock of the log it is used with.
struct QueueTailSlot {
  QueueOffset next;
};

// One record to append. Views must live until Append returns.
struct NewRecord {
  RecordKind kind = RecordKind::kMessage;
  uint8_t flags = 0;
  QueueKey queue;
  // Where the queue offset comes from: `tail->next++` under the append lock; null: queue_offset.
  QueueTailSlot* tail = nullptr;
  QueueOffset queue_offset;
  uint32_t properties_offset = 0;
  std::span<const std::string_view> payload;  // pieces, written one after the other
};

struct Appended {
  LogOffset log_offset;
  QueueOffset queue_offset;
  Timestamp store_time;
};

// Who sees to it that an append is written.
enum class CommitBy {
  kCommitter,  // the committer thread is woken
  kCaller,     // the caller calls CommitHere next
};

// Is told once when an append is confirmed: durable by the log's flush mode, and replicated where
// the log is; or why it is not. Called on the committer's or the confirmer's thread or within
// CommitHere: must not block. Intrusive, so that an append allocates nothing.
class CommitWaiter {
 public:
  virtual void OnCommitted(const absl::Status& status) = 0;

 protected:
  ~CommitWaiter() = default;

 private:
  friend class Appender;
  friend class Confirmer;
  CommitWaiter* next_ = nullptr;
};

// Reads records that stand near each other, cheaper than CommitLog's own reads: it keeps the
// segment it is in at hand, and so mapped. One thread at a time; must not outlive the log.
class RecordReader {
 public:
  virtual ~RecordReader() = default;
  // As CommitLog::Read and ReadNext.
  virtual absl::StatusOr<RecordView> Read(LogOffset offset) = 0;
  virtual absl::StatusOr<RecordView> ReadNext(LogOffset offset, LogOffset limit) = 0;
};

// How long the disk took: writes into the page cache, one for all that had collected, and syncs of
// a segment.
struct LogTimes {
  LatencyHistogram writes;
  LatencyHistogram syncs;
};

class CommitLog {
 public:
  // Errors: FAILED_PRECONDITION (directory in use, wrong segment size, newer format),
  // INVALID_ARGUMENT (options), DATA_LOSS (the log contradicts itself beyond repair), others from
  // the file system. `files` and `clock` must outlive the log.
  static absl::StatusOr<std::unique_ptr<CommitLog>> Open(const CommitLogOptions& options,
                                                         FileSystem& files, const Clock& clock);
  virtual ~CommitLog() = default;

  // Appends `records` in order, contiguously, all or none, and fills `appended` (same length).
  // `waiter` may be null; without records it is told when everything appended before is committed.
  // Errors: UNAVAILABLE (closed, the disk failed, or no longer the master: final for this log),
  // RESOURCE_EXHAUSTED (too much waits for the disk or for replicas already; retry later),
  // FAILED_PRECONDITION (a follower: somebody else writes this log), INVALID_ARGUMENT
  // (record larger than kMaxRecordLength or than a segment). On error nothing was appended and
  // `waiter` is not told.
  virtual absl::Status Append(std::span<const NewRecord> records, std::span<Appended> appended,
                              CommitWaiter* waiter, CommitBy by) = 0;
  absl::Status Append(std::span<const NewRecord> records, std::span<Appended> appended,
                      CommitWaiter* waiter) {
    return Append(records, appended, waiter, CommitBy::kCommitter);
  }

  // Writes what was appended on the calling thread, if the log does not sync before it
  // acknowledges, nobody else is writing and there is little to write; else leaves it to the
  // committer. Saves a lone append two changes of threads (docs/decisions/0003). Tells waiters of
  // this and of other callers: no lock may be held that a waiter takes.
  virtual void CommitHere() = 0;

  // Append and wait for durability. For rare, small records; never on an RPC thread.
  virtual absl::StatusOr<Appended> AppendAndWait(const NewRecord& record) = 0;

  // The record at `offset`, its CRC verified. Errors: OUT_OF_RANGE (not written yet), NOT_FOUND
  // (expired by retention), DATA_LOSS (damaged; names the place).
  virtual absl::StatusOr<RecordView> Read(LogOffset offset) = 0;

  // The first valid record at or behind `offset` and below `limit`, stepping over padding, segment
  // ends and damage; OUT_OF_RANGE when there is none yet. For the dispatcher and for scans.
  virtual absl::StatusOr<RecordView> ReadNext(LogOffset offset, LogOffset limit) = 0;

  virtual std::unique_ptr<RecordReader> NewReader() = 0;
  // Who reads on from `from` will need so many bytes: has them brought into memory meanwhile.
  virtual void Prefetch(LogOffset from, uint64_t length) = 0;

  // appended >= written >= flushed. `confirmed` is what readers may see: written under ASYNC_FLUSH,
  // flushed under SYNC_FLUSH; replicated, too, where the log is.
  virtual const Watermark& written() const = 0;
  virtual const Watermark& flushed() const = 0;
  virtual Watermark& confirmed() = 0;

  // Of this log since it was opened; a follower, which writes nothing, has none.
  virtual const LogTimes& times() const = 0;

  // Returns when everything below `offset` is on disk. Waits for the disk.
  virtual absl::Status FlushUpTo(LogOffset offset) = 0;

  // First offset still held; grows by retention.
  virtual LogOffset start() const = 0;
  // End of what was appended.
  virtual LogOffset end() const = 0;
  virtual Epoch epoch() const = 0;
  // The epoch in force at `offset`; 0 when that is not known any more. Two logs that have the same
  // one somewhere are the same up to there.
  virtual Epoch EpochAt(LogOffset offset) const = 0;

  // The derived stores hold everything below `offset`, on disk.
  virtual void SetViewed(LogOffset offset) = 0;

  // Ranges that fail their checks, found by recovery or by a read.
  virtual std::vector<DamagedRange> damage() const = 0;

  // Segments, oldest first: what retention chooses from.
  struct SegmentInfo {
    LogOffset begin;
    LogOffset end;  // exclusive; of the last one: where it will end when full
    Timestamp last_write;
    uint64_t bytes_on_disk = 0;
  };
  virtual std::vector<SegmentInfo> Segments() const = 0;

  // Gives up every segment that ends at or below `offset`: recycled or removed once no view points
  // into it. Never the segment that is written to. REQUIRES: derived stores no longer need it.
  virtual absl::Status DropBefore(LogOffset offset) = 0;

  // The sticky error of the writer, OK while it works.
  virtual absl::Status health() const = 0;

  // Writes and flushes everything, stops the threads. Idempotent; Append fails afterwards.
  virtual absl::Status Close() = 0;
};

}  // namespace dunlin::store
