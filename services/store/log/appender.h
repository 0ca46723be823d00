// Appender: the one writer of a log; collects appends in memory, writes and syncs them in groups.
//
// Append takes one short lock. One thread at a time, the writer of the turn, swaps what has
// collected, writes it with as few pwritev as possible, syncs it under SYNC_FLUSH, then tells the
// waiters: the batch sizes itself, since it grows while the one before is under way. That is the
// `committer` thread or, for small appends under ASYNC_FLUSH, whoever appends while nobody writes
// (docs/decisions/0003). The `flusher` thread bounds what is dirty under ASYNC_FLUSH, `preparer`
// makes the next segment when the current one is half full. Of a replicated log the waiters are
// told by a Confirmer, and the replicator's bell is rung after each write and each sync.
//
// The first failure of a write or sync is final (architecture, rule 4): waiters are told, and every
// later call returns it.

#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"

#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/store/log/commit_log.h"
#include "services/store/log/confirmer.h"
#include "services/store/log/control_page.h"
#include "services/store/log/segment_preparer.h"
#include "services/store/log/segment_set.h"
#include "services/store/log/watermark.h"

namespace dunlin::store {

class Appender {
 public:
  struct Options {
    FlushMode flush_mode = FlushMode::kAsync;
    std::chrono::milliseconds flush_interval{500};
    LogOffset end;        // where the first record goes
    Epoch epoch;          // of every record
    Timestamp last_time;  // store times do not go below it
    // Of a replicated log only: what is known to be confirmed already, and see CommitLogOptions.
    bool replicated = false;
    LogOffset confirmed;
    uint64_t max_unconfirmed_bytes = 0;
    std::function<std::chrono::nanoseconds()> boot_time;
  };

  // Starts the threads. All arguments must outlive the appender.
  Appender(const Options& options, SegmentSet& segments, ControlPage& control, const Clock& clock);
  ~Appender();

  // See CommitLog.
  absl::Status Append(std::span<const NewRecord> records, std::span<Appended> appended,
                      CommitWaiter* waiter, CommitBy by) ABSL_LOCKS_EXCLUDED(mutex_);
  void CommitHere() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status FlushUpTo(LogOffset offset) ABSL_LOCKS_EXCLUDED(mutex_, flush_mutex_);
  LogOffset end() const ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status health() const ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Close() ABSL_LOCKS_EXCLUDED(mutex_);

  const Watermark& written() const { return written_; }
  const Watermark& flushed() const { return flushed_; }
  Watermark& confirmed() { return confirmed_; }
  const LogTimes& times() const { return times_; }

 private:
  // Memory that becomes one contiguous piece of one segment.
  struct Block {
    LogOffset begin;
    size_t used = 0;
    size_t capacity = 0;
    std::unique_ptr<char[]> bytes;
  };
  // A large payload, copied and summed before the lock is taken.
  struct Prepared {
    std::unique_ptr<char[]> bytes;  // with room for the header; null for a small one
    uint32_t crc = 0;
  };
  struct Batch {
    std::vector<Block> blocks;
    CommitWaiter* waiters = nullptr;
    LogOffset end;
  };

  absl::Status CheckRoom(std::span<const NewRecord> records) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckReplicas() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Place(const NewRecord& record, uint64_t payload_size, Prepared prepared, Appended& appended)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PadSegment() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  char* Reserve(uint64_t space) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  RecordHeader MakeHeader(RecordKind kind, uint64_t payload_size)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void CommitLoop() ABSL_LOCKS_EXCLUDED(mutex_);
  // Writes what has collected on the thread of an appender that has taken the turn.
  void CommitAsCaller() ABSL_LOCKS_EXCLUDED(mutex_);
  bool CallerMayCommit() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool SomethingCollected() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !blocks_.empty() || first_waiter_ != nullptr;
  }
  // Takes the turn with all that has collected; the turn ends in PassTurn.
  void TakeTurn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PassTurn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WakeCommitter() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Writes the batch of the turn and tells who waits for it; how long the write took.
  std::chrono::nanoseconds CommitBatch() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Commit(const Batch& batch);
  // The only way to sync once the threads run: the first failure is final, and known to all before
  // anybody else may try.
  absl::Status SyncOrFail(LogOffset target) ABSL_EXCLUSIVE_LOCKS_REQUIRED(flush_mutex_);
  absl::Status SyncUpTo(LogOffset target) ABSL_EXCLUSIVE_LOCKS_REQUIRED(flush_mutex_);
  void Tell(CommitWaiter* waiters, const absl::Status& status);
  void Fail(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void FlushLoop();
  void StartWriteback(LogOffset from, LogOffset end);
  // Where the preparer looks at us.
  SegmentPreparer::Place CurrentPlace() const ABSL_LOCKS_EXCLUDED(mutex_);

  const Options options_;
  SegmentSet& segments_;
  ControlPage& control_;
  const Clock& clock_;
  Watermark written_;
  Watermark flushed_;
  Watermark confirmed_;
  LogTimes times_;

  mutable Mutex mutex_;
  CondVar work_;        // for the committer
  CondVar background_;  // for the flusher
  std::vector<Block> blocks_ ABSL_GUARDED_BY(mutex_);
  std::vector<Block> free_ ABSL_GUARDED_BY(mutex_);
  CommitWaiter* first_waiter_ ABSL_GUARDED_BY(mutex_) = nullptr;
  CommitWaiter* last_waiter_ ABSL_GUARDED_BY(mutex_) = nullptr;
  LogOffset end_ ABSL_GUARDED_BY(mutex_);
  LogOffset segment_begin_ ABSL_GUARDED_BY(mutex_);
  LogOffset segment_end_ ABSL_GUARDED_BY(mutex_);
  Timestamp last_time_ ABSL_GUARDED_BY(mutex_);
  absl::Status health_ ABSL_GUARDED_BY(mutex_);
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_background_ ABSL_GUARDED_BY(mutex_) = false;
  bool committer_sleeps_ ABSL_GUARDED_BY(mutex_) = false;
  bool turn_taken_ ABSL_GUARDED_BY(mutex_) = false;
  // When callers may write again after a write that took long.
  std::chrono::steady_clock::time_point callers_from_ ABSL_GUARDED_BY(mutex_);
  // Of the turn: whoever has taken it.
  Batch batch_;
  LogOffset writeback_asked_;
  bool writeback_due_ ABSL_GUARDED_BY(mutex_) = false;

  // One sync at a time. Taken before mutex_.
  Mutex flush_mutex_;

  std::thread committer_;
  std::thread flusher_;
  std::optional<Confirmer> confirmer_;  // of a replicated log
  std::optional<SegmentPreparer> preparer_;
};

}  // namespace dunlin::store
