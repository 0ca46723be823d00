// TimerRows: the timer index as it is kept: one RocksDB row per timer, and the next ones in memory.
//
// docs/formats/rocksdb.md has the rows. The write side is the dispatcher's.

#pragma once

#include <rocksdb/write_batch.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"

#include "services/base/mutex.h"
#include "services/store/index/timer_index.h"
#include "services/store/index/timer_window.h"
#include "services/store/log/commit_log.h"
#include "services/store/state/database.h"

namespace dunlin::store {

struct TimerRow {
  Timer timer;
  bool recalled = false;
};
std::string EncodeTimerKey(TimerKey key);
TimerKey DecodeTimerKey(std::string_view bytes);  // REQUIRES: 16 bytes
std::string EncodeTimerRow(const TimerRow& row);
// DATA_LOSS when it is none.
absl::StatusOr<TimerRow> DecodeTimerRow(std::string_view key, std::string_view value);

class TimerRows final : public TimerIndex {
 public:
  // How many are kept in memory, and may be in somebody's hands at a time.
  struct Limits {
    size_t window = 131'072;
    size_t taken = 65'536;
  };
  // Both must outlive the index.
  TimerRows(Database& database, const CommitLog& log, const Limits& limits);
  TimerRows(Database& database, const CommitLog& log) : TimerRows(database, log, Limits()) {}

  // TimerIndex
  absl::StatusOr<Due> TakeDue(Timestamp now, size_t limit) override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<Timer> Take(TimerKey key) override ABSL_LOCKS_EXCLUDED(mutex_);
  void GiveBack(std::span<const Timer> timers) override ABSL_LOCKS_EXCLUDED(mutex_);
  void Wait(uint64_t seen, std::chrono::milliseconds timeout) const override
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Interrupt() const override ABSL_LOCKS_EXCLUDED(mutex_);
  uint64_t Pending(QueueKey queue) const override ABSL_LOCKS_EXCLUDED(mutex_);
  uint64_t Pending() const override ABSL_LOCKS_EXCLUDED(mutex_);

  // What is below is for one thread. Once, before anything else: the counts of the last checkpoint.
  absl::Status LoadCounts() ABSL_LOCKS_EXCLUDED(mutex_);

  // A message was parked.
  void Put(const Timer& timer, rocksdb::WriteBatch& batch);
  // It was moved to `timer.place`. REQUIRES: the batch was written.
  absl::Status Move(const Timer& timer, rocksdb::WriteBatch& batch);
  // A DELIVERY or RECALL has ended it. Deliveries are put into the batch by PutDelivered; before a
  // recall the batch has to be written.
  void Delivered(const Timer& timer) { delivered_.push_back(timer); }
  void PutDelivered(rocksdb::WriteBatch& batch);
  absl::Status Recalled(TimerKey key, rocksdb::WriteBatch& batch);

  // The batch is readable now.
  void BatchWritten() ABSL_LOCKS_EXCLUDED(mutex_);
  // Counts that changed since the last checkpoint.
  void PutCounts(rocksdb::WriteBatch& batch) ABSL_LOCKS_EXCLUDED(mutex_);
  void ForgetTopic(TopicId topic, rocksdb::WriteBatch& batch) ABSL_LOCKS_EXCLUDED(mutex_);

  // Timers not ended whose message stands below `begin`, at most `limit`, for retention. Reads all
  // rows; any thread.
  absl::StatusOr<std::vector<TimerKey>> PlacedBefore(LogOffset begin, size_t limit) const;

 private:
  struct Change {
    enum class Kind { kParked, kMoved, kEnded };
    Kind kind;
    Timer timer;
    int64_t count = 0;  // by how much the number of pending timers changes
  };

  absl::Status Load(TimerKey from) ABSL_LOCKS_EXCLUDED(mutex_);
  void Apply(const Change& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PutRow(const Timer& timer, rocksdb::WriteBatch& batch) const;
  absl::StatusOr<std::optional<TimerRow>> Find(TimerKey key) const;
  bool IsThere(const Timer& timer) const { return timer.place >= log_.start(); }

  Database& database_;
  const CommitLog& log_;
  const Limits limits_;

  // Of the dispatcher's thread.
  std::vector<Timer> delivered_;
  std::vector<Change> changes_;  // in the batch under way

  mutable Mutex mutex_;
  mutable CondVar changed_;
  TimerWindow window_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<LogOffset> taken_ ABSL_GUARDED_BY(mutex_);
  mutable uint64_t events_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t pending_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<QueueKey, uint64_t> counts_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<QueueKey> changed_counts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::store
