// Database: the one RocksDB of a store; its column families, keys and raw access.
//
// For the rooms that build the view (state, index, dispatch); others see StateStore, QueueIndex and
// KeyIndex. docs/formats/rocksdb.md lists keys and values. Reads from any thread, writes from one.

#pragma once

#include <rocksdb/db.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/mutex.h"
#include "services/base/strong_int.h"
#include "services/store/state/database_usage.h"

namespace dunlin::store {

enum class Family : size_t {
  kMeta,          // the checkpoint
  kConfig,        // topics, groups
  kProgress,      // of each group in each queue
  kTails,         // next offset of each queue
  kChunks,        // the queue index
  kKeys,          // the key index
  kPointers,      // DELIVERY records by the message they point to
  kProducers,     // the last PRODUCER record of each producer in each queue
  kTimers,        // parked messages by due time
  kParked,        // how many of them each queue has
  kTransactions,  // half messages, when to check them, how they ended
};
inline constexpr size_t kFamilies = 11;

// Big-endian, so that the order of bytes is the order of numbers.
std::string BigEndian(uint32_t value);
std::string BigEndian(uint64_t value);
uint32_t FromBigEndian32(std::string_view bytes);
uint64_t FromBigEndian64(std::string_view bytes);
// topic, queue: 8 bytes.
std::string KeyOf(QueueKey queue);
QueueKey ToQueueKey(std::string_view bytes);

class Database {
 public:
  // Opens or creates. What is there but cannot be opened is removed and made anew, with a line in
  // the log: it is only a view. FAILED_PRECONDITION when another process has it open.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& directory);
  // As it is, for tools: nothing is written, made or removed. NOT_FOUND when there is none,
  // DATA_LOSS when it cannot be opened.
  static absl::StatusOr<std::unique_ptr<Database>> OpenForReading(const std::string& directory);
  // Keeps on disk what the last Flush wrote, nothing else: rows behind the checkpoint would be a
  // view of log that a crash may yet take back.
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // nullopt when there is none. DATA_LOSS: the database is damaged; the next Open makes it anew.
  absl::StatusOr<std::optional<std::string>> Get(Family family, std::string_view key) const;
  absl::Status Write(rocksdb::WriteBatch& batch);
  // Starts to write out everything written so far, all families as one; `wait` until it is on disk.
  absl::Status Flush(bool wait);
  // Calls `visit` with each key and value from `begin` on while it returns true.
  template <typename Visit>
  absl::Status Scan(Family family, std::string_view begin, Visit visit) const;
  // The same downwards, from the last key that is at most `end`.
  template <typename Visit>
  absl::Status ScanBack(Family family, std::string_view end, Visit visit) const;

  rocksdb::ColumnFamilyHandle* handle(Family family) const {
    return handles_[static_cast<size_t>(family)];
  }

  // Removes everything, durably: the view is to be rebuilt. REQUIRES: no other call is under way.
  absl::Status Clear();

  // Rows that point below this log offset may be forgotten by compaction.
  void SetExpiry(LogOffset start);

  // Reads every block of every file. DATA_LOSS names the first that fails its checksum.
  absl::Status Verify() const;

  // What a reader reports when a row makes no sense: DATA_LOSS, and a mark on disk by which the
  // next Open makes everything anew.
  absl::Status Damaged(std::string_view what) const ABSL_LOCKS_EXCLUDED(mutex_);
  // The first damage that was met; OK while there was none.
  absl::Status health() const ABSL_LOCKS_EXCLUDED(mutex_);

  DatabaseUsage usage() const;

 private:
  struct Filters;

  Database(std::string directory, bool read_only);
  rocksdb::Status OpenFiles();
  void CloseFiles();
  absl::Status Checked(const rocksdb::Status& status, const char* what) const;

  const std::string directory_;
  const bool read_only_;
  const std::unique_ptr<Filters> filters_;  // RocksDB keeps plain pointers to them
  std::unique_ptr<rocksdb::DB> db_;
  std::array<rocksdb::ColumnFamilyHandle*, kFamilies> handles_{};
  mutable Mutex mutex_;
  mutable absl::Status health_ ABSL_GUARDED_BY(mutex_);
};

template <typename Visit>
absl::Status Database::Scan(Family family, std::string_view begin, Visit visit) const {
  const std::unique_ptr<rocksdb::Iterator> row(
      db_->NewIterator(rocksdb::ReadOptions(), handle(family)));
  for (row->Seek(rocksdb::Slice(begin.data(), begin.size())); row->Valid(); row->Next()) {
    if (!visit(row->key().ToStringView(), row->value().ToStringView())) break;
  }
  return Checked(row->status(), "scan");
}

template <typename Visit>
absl::Status Database::ScanBack(Family family, std::string_view end, Visit visit) const {
  const std::unique_ptr<rocksdb::Iterator> row(
      db_->NewIterator(rocksdb::ReadOptions(), handle(family)));
  for (row->SeekForPrev(rocksdb::Slice(end.data(), end.size())); row->Valid(); row->Prev()) {
    if (!visit(row->key().ToStringView(), row->value().ToStringView())) break;
  }
  return Checked(row->status(), "scan");
}

}  // namespace dunlin::store
