#include "services/store/state/database.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/compaction_filter.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/memtablerep.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <cstdarg>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "services/base/bytes.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"

namespace dunlin::store {
namespace {

constexpr std::array<const char*, kFamilies> kNames = {
    "default",  "config",    "progress", "tails",  "chunks",      "keys",
    "pointers", "producers", "timers",   "parked", "transactions"};
// Blocks, indexes and filters of all families.
constexpr size_t kCacheBytes = 32u << 20;
// Made when a read found damage: the next Open starts from nothing.
constexpr char kDamagedMarker[] = "/DAMAGED";

// What nobody reads any more goes when files are merged anyway: rows whose big-endian log offset at
// `offset_at` in the key has expired.
class ExpiredKeys final : public rocksdb::CompactionFilter {
 public:
  ExpiredKeys(const std::atomic<uint64_t>& expiry, size_t offset_at)
      : expiry_(expiry), offset_at_(offset_at) {}

  bool Filter(int /*level*/, const rocksdb::Slice& key, const rocksdb::Slice& /*value*/,
              std::string* /*new_value*/, bool* /*changed*/) const override {
    return key.size() >= offset_at_ + 8 &&
           FromBigEndian64({key.data() + offset_at_, 8}) < expiry_.load(std::memory_order_relaxed);
  }
  const char* Name() const override { return "dunlin.ExpiredKeys"; }

 private:
  const std::atomic<uint64_t>& expiry_;
  const size_t offset_at_;
};

// Rows that begin with the largest log offset they lead to: chunks of the queue index, producers,
// timers, transactions.
class ExpiredRows final : public rocksdb::CompactionFilter {
 public:
  explicit ExpiredRows(const std::atomic<uint64_t>& expiry) : expiry_(expiry) {}

  bool Filter(int /*level*/, const rocksdb::Slice& /*key*/, const rocksdb::Slice& value,
              std::string* /*new_value*/, bool* /*changed*/) const override {
    return value.size() >= 8 &&
           LoadLittle<uint64_t>(value.data()) < expiry_.load(std::memory_order_relaxed);
  }
  const char* Name() const override { return "dunlin.ExpiredRows"; }

 private:
  const std::atomic<uint64_t>& expiry_;
};

rocksdb::DBOptions DatabaseOptions() {
  rocksdb::DBOptions options;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  // All families are written out together: the checkpoint is true for each of them.
  options.atomic_flush = true;
  options.paranoid_checks = true;
  // What is not checkpointed is replayed, never kept.
  options.avoid_flush_during_shutdown = true;
  options.max_background_jobs = 2;
  options.allow_concurrent_memtable_write = false;  // there is one writer; see kKeys below
  options.max_open_files = 256;
  options.keep_log_file_num = 2;
  options.max_log_file_size = 1u << 20;
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

rocksdb::ColumnFamilyOptions FamilyOptions(const std::shared_ptr<rocksdb::Cache>& cache,
                                           const rocksdb::CompactionFilter* filter) {
  rocksdb::ColumnFamilyOptions options;
  if (filter != nullptr) {
    // Rows that come in bulk, are read seldom and go by their age: merged as little as possible.
    options.compaction_style = rocksdb::kCompactionStyleUniversal;
    options.level0_file_num_compaction_trigger = 8;
  }
  // Never full before a checkpoint, which comes after a fraction of this (dispatcher.cc): RocksDB
  // must not write out on its own what the log has not flushed.
  options.write_buffer_size = 256u << 20;
  options.max_write_buffer_number = 4;
  options.arena_block_size = 64u << 10;
  options.compression = rocksdb::kLZ4Compression;
  options.compaction_filter = filter;
  options.periodic_compaction_seconds = 24 * 60 * 60;  // expired rows of quiet times go too
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.cache_index_and_filter_blocks = true;
  // In parts: whole, the filter of millions of rows is larger than the cache has room for, and each
  // read of a row would read and check all of it.
  table.index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
  table.partition_filters = true;
  table.pin_top_level_index_and_filter = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

class NoLog final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char* /*format*/, va_list /*arguments*/) override {}
};

bool IsLocked(const rocksdb::Status& status) {
  return status.IsIOError() && status.ToString().find("lock") != std::string::npos;
}

// Removes what is in `directory`, the file without which RocksDB does not open it first: what a
// crash leaves of it is never taken for a whole database. The directory stays; making a new
// database in it makes the removal durable.
void RemoveContents(const std::string& directory) {
  std::error_code error;
  std::filesystem::remove(directory + "/CURRENT", error);
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    std::filesystem::remove_all(entry.path(), error);
    if (error) log::Warning("cannot remove {}: {}", entry.path().string(), error.message());
  }
}

}  // namespace

std::string BigEndian(uint32_t value) {
  value = __builtin_bswap32(value);
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

std::string BigEndian(uint64_t value) {
  value = __builtin_bswap64(value);
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

uint32_t FromBigEndian32(std::string_view bytes) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return __builtin_bswap32(value);
}

uint64_t FromBigEndian64(std::string_view bytes) {
  uint64_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return __builtin_bswap64(value);
}

std::string KeyOf(QueueKey queue) {
  return BigEndian(queue.topic.value()) + BigEndian(queue.queue);
}

QueueKey ToQueueKey(std::string_view bytes) {
  return {TopicId(FromBigEndian32(bytes)), FromBigEndian32(bytes.substr(4))};
}

struct Database::Filters {
  std::atomic<uint64_t> expiry{0};
  ExpiredRows rows{expiry};
  ExpiredKeys keys{expiry, /*offset_at=*/8};      // hash, record
  ExpiredKeys pointers{expiry, /*offset_at=*/0};  // origin, DELIVERY record

  const rocksdb::CompactionFilter* Of(Family family) const {
    if (family == Family::kChunks || family == Family::kProducers || family == Family::kTimers ||
        family == Family::kTransactions) {
      return &rows;
    }
    if (family == Family::kKeys) return &keys;
    return family == Family::kPointers ? &pointers : nullptr;
  }
};

Database::Database(std::string directory, bool read_only)
    : directory_(std::move(directory)),
      read_only_(read_only),
      filters_(std::make_unique<Filters>()) {}

Database::~Database() { CloseFiles(); }

void Database::CloseFiles() {
  if (db_ == nullptr) return;
  for (rocksdb::ColumnFamilyHandle* handle : handles_) {
    if (const auto closed = db_->DestroyColumnFamilyHandle(handle); !closed.ok()) {
      log::Warning("closing a column family of {}: {}", directory_, closed.ToString());
    }
  }
  if (const rocksdb::Status closed = db_->Close(); !closed.ok()) {
    log::Warning("closing {}: {}", directory_, closed.ToString());
  }
  db_.reset();
}

rocksdb::Status Database::OpenFiles() {
  const std::shared_ptr<rocksdb::Cache> cache = rocksdb::NewLRUCache(kCacheBytes);
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (size_t i = 0; i < kFamilies; ++i) {
    const auto family = static_cast<Family>(i);
    families.emplace_back(kNames[i], FamilyOptions(cache, filters_->Of(family)));
    if (family == Family::kKeys) {
      // Two rows a message, in the order of hashes, read now and then: sorted when they are written
      // out, or when somebody asks, instead of one by one.
      families.back().options.memtable_factory = std::make_shared<rocksdb::VectorRepFactory>();
    }
  }
  std::vector<rocksdb::ColumnFamilyHandle*> opened;
  rocksdb::DB* db = nullptr;
  rocksdb::DBOptions options = DatabaseOptions();
  if (read_only_) options.info_log = std::make_shared<NoLog>();  // else it writes one next to it
  const rocksdb::Status status =
      read_only_ ? rocksdb::DB::OpenForReadOnly(options, directory_, families, &opened, &db)
                 : rocksdb::DB::Open(options, directory_, families, &opened, &db);
  if (!status.ok()) return status;
  db_.reset(db);
  std::copy(opened.begin(), opened.end(), handles_.begin());
  return status;
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    return absl::InternalError(fmt::format("cannot make {}: {}", directory, error.message()));
  }
  if (std::filesystem::exists(directory + kDamagedMarker, error)) {
    log::Warning("{} was found damaged: rebuilding it from the log", directory);
    RemoveContents(directory);
  }
  std::unique_ptr<Database> database(new Database(directory, /*read_only=*/false));
  rocksdb::Status status = database->OpenFiles();
  if (!status.ok() && !IsLocked(status)) {
    log::Warning("{} cannot be opened ({}): rebuilding it from the log", directory,
                 status.ToString());
    RemoveContents(directory);
    status = database->OpenFiles();
  }
  if (status.ok()) return database;
  if (IsLocked(status)) {
    return absl::FailedPreconditionError(
        fmt::format("{} is in use: {}", directory, status.ToString()));
  }
  return absl::InternalError(fmt::format("cannot make {}: {}", directory, status.ToString()));
}

absl::StatusOr<std::unique_ptr<Database>> Database::OpenForReading(const std::string& directory) {
  std::error_code error;
  if (!std::filesystem::exists(directory + "/CURRENT", error)) {
    return absl::NotFoundError(fmt::format("there is no database in {}", directory));
  }
  std::unique_ptr<Database> database(new Database(directory, /*read_only=*/true));
  const rocksdb::Status status = database->OpenFiles();
  if (status.ok()) return database;
  return absl::DataLossError(fmt::format("cannot open {}: {}", directory, status.ToString()));
}

absl::Status Database::Verify() const { return Checked(db_->VerifyChecksum(), "verification"); }

absl::Status Database::Clear() {
  CloseFiles();
  RemoveContents(directory_);
  {
    MutexLock lock(mutex_);
    health_ = absl::OkStatus();
  }
  const rocksdb::Status status = OpenFiles();
  if (status.ok()) return absl::OkStatus();
  return absl::InternalError(fmt::format("cannot make {}: {}", directory_, status.ToString()));
}

void Database::SetExpiry(LogOffset start) {
  filters_->expiry.store(start.value(), std::memory_order_relaxed);
}

absl::Status Database::Damaged(std::string_view what) const {
  const std::string message =
      fmt::format("{} is damaged: {}; a restart rebuilds it from the log", directory_, what);
  if (read_only_) return absl::DataLossError(message);
  MutexLock lock(mutex_);
  if (health_.ok()) {
    log::Error("{}", message);
    std::ofstream(directory_ + kDamagedMarker) << message << "\n";
    health_ = absl::DataLossError(message);
  }
  return absl::DataLossError(message);
}

DatabaseUsage Database::usage() const {
  const auto total = [this](const std::string& property) {
    uint64_t value = 0;
    return db_->GetAggregatedIntProperty(property, &value) ? value : 0;
  };
  using Properties = rocksdb::DB::Properties;
  DatabaseUsage usage{.files = total(Properties::kTotalSstFilesSize),
                      .memtables = total(Properties::kCurSizeAllMemTables),
                      .block_cache = 0,
                      .pending_compaction = total(Properties::kEstimatePendingCompactionBytes),
                      .writes_stopped = total(Properties::kIsWriteStopped) != 0};
  // All families have the same one.
  db_->GetIntProperty(Properties::kBlockCacheUsage, &usage.block_cache);
  return usage;
}

absl::Status Database::health() const {
  MutexLock lock(mutex_);
  return health_;
}

absl::Status Database::Checked(const rocksdb::Status& status, const char* what) const {
  if (status.ok()) return absl::OkStatus();
  if (status.IsCorruption()) return Damaged(fmt::format("{}: {}", what, status.ToString()));
  return absl::InternalError(fmt::format("{} in {}: {}", what, directory_, status.ToString()));
}

absl::StatusOr<std::optional<std::string>> Database::Get(Family family,
                                                         std::string_view key) const {
  std::string value;
  const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), handle(family),
                                          rocksdb::Slice(key.data(), key.size()), &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  RETURN_IF_ERROR(Checked(status, "read"));
  return std::optional<std::string>(std::move(value));
}

absl::Status Database::Write(rocksdb::WriteBatch& batch) {
  rocksdb::WriteOptions options;
  options.disableWAL = true;  // the commit log is the log
  return Checked(db_->Write(options, &batch), "write");
}

absl::Status Database::Flush(bool wait) {
  rocksdb::FlushOptions options;
  options.wait = wait;
  options.allow_write_stall = true;
  return Checked(db_->Flush(options, {handles_.begin(), handles_.end()}), "flush");
}

}  // namespace dunlin::store
