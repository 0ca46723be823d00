// TransactionRows: the transaction index as it is kept: RocksDB rows, and the next checks in
// memory.
//
// docs/formats/rocksdb.md has the rows. The write side is the dispatcher's.

#pragma once

#include <rocksdb/write_batch.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"

#include "services/base/mutex.h"
#include "services/store/index/timer_window.h"
#include "services/store/index/transaction_index.h"
#include "services/store/log/commit_log.h"
#include "services/store/state/database.h"

namespace dunlin::store {

// First letters of the keys in Family::kTransactions.
inline constexpr char kOpenPrefix = 'O';      // id
inline constexpr char kResolvedPrefix = 'R';  // id
inline constexpr char kCheckPrefix = 'C';     // time of the check, id

// A row of an open or a resolved transaction. DATA_LOSS when it is none.
absl::StatusOr<Transaction> DecodeTransactionRow(std::string_view key, std::string_view value);
// The time and the id of a row of a check. DATA_LOSS when it is none.
absl::StatusOr<TimerKey> DecodeCheckKey(std::string_view key);

class TransactionRows final : public TransactionIndex {
 public:
  // How many checks are kept in memory, may be in somebody's hands, and postponed.
  struct Limits {
    size_t window = 65'536;
    size_t taken = 16'384;
    size_t postponed = 65'536;
  };
  // Both must outlive the index.
  TransactionRows(Database& database, const CommitLog& log, const Limits& limits);
  TransactionRows(Database& database, const CommitLog& log)
      : TransactionRows(database, log, Limits()) {}

  // TransactionIndex
  absl::StatusOr<Due> TakeDue(Timestamp now, size_t limit) override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<Transaction> Take(LogOffset id) override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<Transaction> Find(LogOffset id) const override;
  void GiveBack(std::span<const Transaction> transactions) override ABSL_LOCKS_EXCLUDED(mutex_);
  bool Postpone(const Transaction& transaction, Timestamp until) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Resume() override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::vector<Transaction>> List(LogOffset from, size_t limit) const override;
  void Wait(uint64_t seen, std::chrono::milliseconds timeout) const override
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Interrupt() const override ABSL_LOCKS_EXCLUDED(mutex_);
  Counts counts() const override ABSL_LOCKS_EXCLUDED(mutex_);
  uint64_t Open(QueueKey queue) const override ABSL_LOCKS_EXCLUDED(mutex_);

  // What is below is for one thread. Once, before anything else: counts what is open.
  absl::Status Load() ABSL_LOCKS_EXCLUDED(mutex_);

  // A half message was stored.
  void Put(const Transaction& transaction, rocksdb::WriteBatch& batch);
  // It was moved to `transaction.place`. REQUIRES: the batch was written.
  absl::Status Move(const Transaction& transaction, rocksdb::WriteBatch& batch);
  // Checks were made, or are to be. REQUIRES: the batch was written.
  absl::Status Check(const Transaction& checked, rocksdb::WriteBatch& batch);
  // It has ended as `transaction.state` says.
  void Resolve(const Transaction& transaction, rocksdb::WriteBatch& batch);
  // Those of the topic are gone. REQUIRES: the batch was written.
  absl::Status DropTopic(TopicId topic, rocksdb::WriteBatch& batch);

  // The batch is readable now.
  void BatchWritten() ABSL_LOCKS_EXCLUDED(mutex_);

  // Open ones whose half message stands below `begin`, at most `limit`, for retention; any thread.
  absl::StatusOr<std::vector<LogOffset>> PlacedBefore(LogOffset begin, size_t limit) const;

 private:
  struct Change {
    enum class Kind { kAdded, kChanged, kEnded };
    Kind kind;
    Transaction transaction;  // as it is now; of one that ended, as it was
    std::optional<Timestamp> old_check;
    bool was_open = false;
  };
  struct Postponed {
    Timestamp until;
    Timestamp due;  // as the row says
  };

  absl::StatusOr<std::optional<Transaction>> FindOpen(LogOffset id) const;
  // Calls `visit` with each open transaction from `from` on while it returns true.
  template <typename Visit>
  absl::Status ScanOpen(LogOffset from, Visit visit) const;
  void PutOpen(const Transaction& transaction, rocksdb::WriteBatch& batch) const;
  void DeleteOpen(LogOffset id, std::optional<Timestamp> check, rocksdb::WriteBatch& batch) const;
  absl::Status LoadChecks(TimerKey from) ABSL_LOCKS_EXCLUDED(mutex_);
  // Names of checks that are due, taken.
  void TakeKeys(Timestamp now, size_t limit, std::vector<Timer>& keys)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<Timestamp> NextCheck(Timestamp now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Schedule(LogOffset id, std::optional<Timestamp> check) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unschedule(LogOffset id, std::optional<Timestamp> check)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Apply(const Change& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Count(const Transaction& transaction, bool comes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsThere(LogOffset place) const { return place >= log_.start(); }

  Database& database_;
  const CommitLog& log_;
  const Limits limits_;

  std::vector<Change> changes_;  // in the batch under way; of the dispatcher's thread

  mutable Mutex mutex_;
  mutable CondVar changed_;
  TimerWindow window_ ABSL_GUARDED_BY(mutex_);  // checks: of a Timer only the key counts
  absl::flat_hash_set<LogOffset> taken_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<LogOffset, Postponed> postponed_ ABSL_GUARDED_BY(mutex_);
  absl::btree_set<std::pair<Timestamp, LogOffset>> postponed_until_ ABSL_GUARDED_BY(mutex_);
  mutable uint64_t events_ ABSL_GUARDED_BY(mutex_) = 0;
  Counts counts_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<QueueKey, uint64_t> open_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::store
