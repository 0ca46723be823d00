#include "services/store/state/database.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/compaction_filter.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::store {
namespace {

constexpr std::array<const char*, kFamilies> kNames = {"default", "config", "progress", "tails",
                                                       "chunks",  "keys",   "pointers"};
// Made when a read found damage: the next Open starts from nothing.
constexpr char kDamagedMarker[] = "/DAMAGED";

// What nobody reads any more goes when files are merged anyway: rows of the key index and of the
// pointers whose record has expired.
class ExpiredKeys final : public rocksdb::CompactionFilter {
 public:
  // `offset_at`: where in the key the big-endian log offset stands.
  ExpiredKeys(std::shared_ptr<std::atomic<uint64_t>> expiry, size_t offset_at)
      : expiry_(std::move(expiry)), offset_at_(offset_at) {}

  bool Filter(int /*level*/, const rocksdb::Slice& key, const rocksdb::Slice& /*value*/,
              std::string* /*new_value*/, bool* /*changed*/) const override {
    return key.size() >= offset_at_ + 8 &&
           FromBigEndian64({key.data() + offset_at_, 8}) < expiry_->load();
  }
  const char* Name() const override { return "dunlin.ExpiredKeys"; }

 private:
  const std::shared_ptr<std::atomic<uint64_t>> expiry_;
  const size_t offset_at_;
};

rocksdb::DBOptions DatabaseOptions() {
  rocksdb::DBOptions options;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  // All families are written out together: the checkpoint is true for each of them.
  options.atomic_flush = true;
  options.paranoid_checks = true;
  options.max_background_jobs = 2;
  options.max_open_files = 256;
  options.keep_log_file_num = 2;
  options.max_log_file_size = 1u << 20;
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

rocksdb::ColumnFamilyOptions FamilyOptions(
    const std::shared_ptr<rocksdb::Cache>& cache,
    const std::shared_ptr<const rocksdb::CompactionFilter>& filter) {
  rocksdb::ColumnFamilyOptions options;
  // Never full before a checkpoint, which comes after a fraction of this (dispatcher.cc): RocksDB
  // must not write out on its own what the log has not flushed.
  options.write_buffer_size = 256u << 20;
  options.max_write_buffer_number = 4;
  options.arena_block_size = 64u << 10;
  options.compression = rocksdb::kLZ4Compression;
  options.compaction_filter = filter.get();
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.cache_index_and_filter_blocks = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

// RocksDB keeps raw pointers to the filters: they live as long as the process.
struct Filters {
  std::shared_ptr<std::atomic<uint64_t>> expiry = std::make_shared<std::atomic<uint64_t>>(0);
  std::shared_ptr<const rocksdb::CompactionFilter> keys = std::make_shared<ExpiredKeys>(expiry, 8);
  std::shared_ptr<const rocksdb::CompactionFilter> pointers =
      std::make_shared<ExpiredKeys>(expiry, 8);
};

bool IsLocked(const rocksdb::Status& status) {
  return status.IsIOError() && status.ToString().find("lock") != std::string::npos;
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

Database::Database(std::string directory, std::unique_ptr<rocksdb::DB> db,
                   std::array<rocksdb::ColumnFamilyHandle*, kFamilies> handles,
                   std::shared_ptr<std::atomic<uint64_t>> expiry)
    : directory_(std::move(directory)),
      db_(std::move(db)),
      handles_(handles),
      expiry_(std::move(expiry)) {}

Database::~Database() {
  for (rocksdb::ColumnFamilyHandle* handle : handles_) {
    (void)db_->DestroyColumnFamilyHandle(handle);
  }
  if (const rocksdb::Status closed = db_->Close(); !closed.ok()) {
    log::Warning("closing {}: {}", directory_, closed.ToString());
  }
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& directory) {
  std::error_code ignored;
  if (std::filesystem::exists(directory + kDamagedMarker, ignored)) {
    log::Warning("{} was found damaged: rebuilding it from the log", directory);
    std::filesystem::remove_all(directory, ignored);
  }
  for (int attempt = 0;; ++attempt) {
    // RocksDB keeps plain pointers to the filters.
    static const auto& filters = *new Filters;
    const std::shared_ptr<rocksdb::Cache> cache = rocksdb::NewLRUCache(8u << 20);
    std::vector<rocksdb::ColumnFamilyDescriptor> families;
    for (size_t i = 0; i < kFamilies; ++i) {
      const bool keys = i == static_cast<size_t>(Family::kKeys);
      const bool pointers = i == static_cast<size_t>(Family::kPointers);
      families.emplace_back(kNames[i], FamilyOptions(cache, keys       ? filters.keys
                                                            : pointers ? filters.pointers
                                                                       : nullptr));
    }
    std::vector<rocksdb::ColumnFamilyHandle*> opened;
    rocksdb::DB* db = nullptr;
    const rocksdb::Status status =
        rocksdb::DB::Open(DatabaseOptions(), directory, families, &opened, &db);
    if (status.ok()) {
      std::array<rocksdb::ColumnFamilyHandle*, kFamilies> handles{};
      std::copy(opened.begin(), opened.end(), handles.begin());
      return std::unique_ptr<Database>(
          new Database(directory, std::unique_ptr<rocksdb::DB>(db), handles, filters.expiry));
    }
    if (IsLocked(status)) {
      return absl::FailedPreconditionError(
          fmt::format("{} is in use: {}", directory, status.ToString()));
    }
    if (attempt > 0) {
      return absl::InternalError(fmt::format("cannot make {}: {}", directory, status.ToString()));
    }
    log::Warning("{} cannot be opened ({}): rebuilding it from the log", directory,
                 status.ToString());
    std::filesystem::remove_all(directory, ignored);
  }
}

absl::Status Database::Checked(const rocksdb::Status& status, const char* what) const {
  if (status.ok()) return absl::OkStatus();
  const std::string message = fmt::format("{} in {}: {}", what, directory_, status.ToString());
  if (status.IsCorruption()) {
    std::ofstream(directory_ + kDamagedMarker) << message << "\n";
    return absl::DataLossError(message + ". A restart rebuilds it from the log");
  }
  return absl::InternalError(message);
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

absl::Status Database::Clear() {
  rocksdb::WriteBatch batch;
  // Behind every key there is: keys are at most 24 bytes.
  const std::string last(32, '\xff');
  for (rocksdb::ColumnFamilyHandle* handle : handles_) {
    batch.DeleteRange(handle, rocksdb::Slice(), last);
  }
  return Write(batch);
}

}  // namespace dunlin::store
