#include "services/store/index/transaction_rows.h"

#include <algorithm>
#include <utility>

#include "services/base/bytes.h"
#include "services/base/status_macros.h"

namespace dunlin::store {
namespace {

// Of an open one: place u64, topic u32, queue u32, tag hash u32, checks u32, next check i64 (0:
// none); of a resolved one: place u64, state u8; of a check: place u64. Little-endian.
constexpr size_t kOpenSize = 32;
constexpr size_t kResolvedSize = 9;
constexpr size_t kIdKeySize = 9;
constexpr size_t kCheckKeySize = 17;

std::string IdKey(char prefix, LogOffset id) { return prefix + BigEndian(id.value()); }

std::string CheckKey(TimerKey key) {
  return kCheckPrefix + BigEndian(static_cast<uint64_t>(ToUnixMillis(key.due))) +
         BigEndian(key.id.value());
}

std::string OpenValue(const Transaction& transaction) {
  std::string value(kOpenSize, '\0');
  char* const to = value.data();
  StoreLittle(to, transaction.place.value());
  StoreLittle(to + 8, transaction.queue.topic.value());
  StoreLittle(to + 12, transaction.queue.queue);
  StoreLittle(to + 16, transaction.tag_hash);
  StoreLittle(to + 20, transaction.checks);
  const std::optional<Timestamp>& next = transaction.next_check;
  StoreLittle(to + 24, next.has_value() ? ToUnixMillis(*next) : int64_t{0});
  return value;
}

std::string PlaceValue(LogOffset place) {
  std::string value(8, '\0');
  StoreLittle(value.data(), place.value());
  return value;
}

}  // namespace

absl::StatusOr<Transaction> DecodeTransactionRow(std::string_view key, std::string_view value) {
  Transaction transaction;
  const bool open = key.size() == kIdKeySize && key[0] == kOpenPrefix && value.size() == kOpenSize;
  const bool resolved =
      key.size() == kIdKeySize && key[0] == kResolvedPrefix && value.size() == kResolvedSize;
  if (!open && !resolved) return absl::DataLossError("a transaction has the wrong length");
  const char* const from = value.data();
  transaction.id = LogOffset(FromBigEndian64(key.substr(1)));
  transaction.place = LogOffset(LoadLittle<uint64_t>(from));
  if (resolved) {
    transaction.state = static_cast<TransactionState>(LoadLittle<uint8_t>(from + 8));
    if (transaction.state == TransactionState::kCommitted ||
        transaction.state == TransactionState::kRolledBack) {
      return transaction;
    }
    return absl::DataLossError("a transaction ended in no known way");
  }
  transaction.queue = {TopicId(LoadLittle<uint32_t>(from + 8)), LoadLittle<uint32_t>(from + 12)};
  transaction.tag_hash = LoadLittle<uint32_t>(from + 16);
  transaction.checks = LoadLittle<uint32_t>(from + 20);
  const auto next = LoadLittle<int64_t>(from + 24);
  if (next != 0) transaction.next_check = FromUnixMillis(next);
  return transaction;
}

absl::StatusOr<TimerKey> DecodeCheckKey(std::string_view key) {
  if (key.size() != kCheckKeySize || key[0] != kCheckPrefix) {
    return absl::DataLossError("a check has the wrong length");
  }
  return TimerKey{FromUnixMillis(static_cast<int64_t>(FromBigEndian64(key.substr(1)))),
                  LogOffset(FromBigEndian64(key.substr(9)))};
}

TransactionRows::TransactionRows(Database& database, const CommitLog& log, const Limits& limits)
    : database_(database), log_(log), limits_(limits), window_(limits.window) {}

template <typename Visit>
absl::Status TransactionRows::ScanOpen(LogOffset from, Visit visit) const {
  bool whole = true;
  RETURN_IF_ERROR(database_.Scan(Family::kTransactions, IdKey(kOpenPrefix, from),
                                 [&](std::string_view key, std::string_view value) {
                                   if (!key.starts_with(kOpenPrefix)) return false;
                                   const auto row = DecodeTransactionRow(key, value);
                                   whole = row.ok();
                                   return whole && (!IsThere(row->place) || visit(*row));
                                 }));
  return whole ? absl::OkStatus() : database_.Damaged("a transaction");
}

absl::Status TransactionRows::Load() {
  Counts counts;
  absl::flat_hash_map<QueueKey, uint64_t> open;
  RETURN_IF_ERROR(ScanOpen(LogOffset(0), [&](const Transaction& transaction) {
    ++counts.open;
    counts.parked += transaction.next_check.has_value() ? 0 : 1;
    ++open[transaction.queue];
    return true;
  }));
  MutexLock lock(mutex_);
  counts_ = counts;
  open_ = std::move(open);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Transaction>> TransactionRows::FindOpen(LogOffset id) const {
  const std::string key = IdKey(kOpenPrefix, id);
  ASSIGN_OR_RETURN(const auto value, database_.Get(Family::kTransactions, key));
  if (!value.has_value()) return std::optional<Transaction>();
  const absl::StatusOr<Transaction> row = DecodeTransactionRow(key, *value);
  if (!row.ok()) return database_.Damaged("a transaction");
  if (!IsThere(row->place)) return std::optional<Transaction>();
  return std::optional<Transaction>(*row);
}

absl::StatusOr<Transaction> TransactionRows::Find(LogOffset id) const {
  ASSIGN_OR_RETURN(const std::optional<Transaction> open, FindOpen(id));
  if (open.has_value()) return *open;
  const std::string key = IdKey(kResolvedPrefix, id);
  ASSIGN_OR_RETURN(const auto value, database_.Get(Family::kTransactions, key));
  if (!value.has_value()) return absl::NotFoundError("there is no such transaction");
  const absl::StatusOr<Transaction> row = DecodeTransactionRow(key, *value);
  if (!row.ok()) return database_.Damaged("a transaction");
  if (!IsThere(row->place)) return absl::NotFoundError("the transaction is forgotten");
  return *row;
}

absl::Status TransactionRows::LoadChecks(TimerKey from) {
  std::vector<Timer> loaded;
  bool all = true;
  bool whole = true;
  from.due = std::max(from.due, Timestamp());
  absl::Status status = database_.Scan(
      Family::kTransactions, CheckKey(from), [&](std::string_view key, std::string_view value) {
        if (!key.starts_with(kCheckPrefix)) return false;
        const absl::StatusOr<TimerKey> check = DecodeCheckKey(key);
        whole = check.ok() && value.size() == 8;
        if (!whole) return false;
        if (!IsThere(LogOffset(LoadLittle<uint64_t>(value.data())))) return true;
        all = loaded.size() < limits_.window;
        if (all) loaded.push_back({*check, {}, {}, 0});
        return all;
      });
  if (status.ok() && !whole) status = database_.Damaged("a check of a transaction");
  MutexLock lock(mutex_);
  if (!status.ok()) {
    window_.AbortLoad(from);
    return status;
  }
  window_.FinishLoad(loaded, all);
  for (const Timer& check : loaded) {
    if (taken_.contains(check.key.id) || postponed_.contains(check.key.id)) {
      window_.Erase(check.key);
    }
  }
  return absl::OkStatus();
}

void TransactionRows::TakeKeys(Timestamp now, size_t limit, std::vector<Timer>& keys) {
  limit = std::min(limit, limits_.taken - std::min(limits_.taken, taken_.size()));
  while (keys.size() < limit && !postponed_until_.empty() &&
         postponed_until_.begin()->first <= now) {
    const LogOffset id = postponed_until_.begin()->second;
    postponed_until_.erase(postponed_until_.begin());
    keys.push_back({{postponed_.at(id).due, id}, {}, {}, 0});
    postponed_.erase(id);
  }
  window_.TakeDue(now, limit, keys);
  for (const Timer& key : keys) taken_.insert(key.key.id);
}

std::optional<Timestamp> TransactionRows::NextCheck(Timestamp now) const {
  std::optional<Timestamp> next;
  // An empty window of which the index may hold more is due at once: to be loaded.
  if (window_.NeedsLoad()) next = now;
  if (const auto first = window_.Next(); first.has_value()) next = first->due;
  if (!postponed_until_.empty()) {
    next = std::min(next.value_or(Timestamp::max()), postponed_until_.begin()->first);
  }
  return next;
}

absl::StatusOr<TransactionIndex::Due> TransactionRows::TakeDue(Timestamp now, size_t limit) {
  Due due;
  std::vector<Timer> keys;
  for (bool loaded = false; !loaded;) {
    TimerKey from;
    {
      MutexLock lock(mutex_);
      loaded = !window_.NeedsLoad();
      if (loaded) {
        TakeKeys(now, limit, keys);
        due.next = NextCheck(now);
        due.seen = events_;
      } else {
        from = window_.BeginLoad();
      }
    }
    if (!loaded) RETURN_IF_ERROR(LoadChecks(from));
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    const TimerKey& key = keys[i].key;
    const absl::StatusOr<std::optional<Transaction>> row = FindOpen(key.id);
    if (row.ok() && row->has_value() && (*row)->next_check == key.due) {
      due.transactions.push_back(**row);
      continue;
    }
    MutexLock lock(mutex_);
    taken_.erase(key.id);  // it ended, or was checked, just now
    if (row.ok()) continue;
    for (size_t k = 0; k < keys.size(); ++k) {
      taken_.erase(keys[k].key.id);
      window_.Add(keys[k]);
    }
    return row.status();
  }
  return due;
}

absl::StatusOr<Transaction> TransactionRows::Take(LogOffset id) {
  {
    MutexLock lock(mutex_);
    // Before the row is read: from here on nobody else can end it.
    if (!taken_.insert(id).second) return absl::AbortedError("the transaction is about to change");
  }
  absl::StatusOr<Transaction> found = Find(id);
  MutexLock lock(mutex_);
  if (found.ok() && found->state == TransactionState::kOpen) {
    Unschedule(id, found->next_check);
  } else {
    taken_.erase(id);
  }
  return found;
}

void TransactionRows::Schedule(LogOffset id, std::optional<Timestamp> check) {
  if (check.has_value()) window_.Add({{*check, id}, {}, {}, 0});
}

void TransactionRows::Unschedule(LogOffset id, std::optional<Timestamp> check) {
  if (check.has_value()) window_.Erase({*check, id});
  auto found = postponed_.find(id);
  if (found == postponed_.end()) return;
  postponed_until_.erase({found->second.until, id});
  postponed_.erase(found);
}

void TransactionRows::GiveBack(std::span<const Transaction> transactions) {
  MutexLock lock(mutex_);
  for (const Transaction& transaction : transactions) {
    taken_.erase(transaction.id);
    Schedule(transaction.id, transaction.next_check);
  }
  ++events_;
  changed_.SignalAll();
}

bool TransactionRows::Postpone(const Transaction& transaction, Timestamp until) {
  MutexLock lock(mutex_);
  if (postponed_.size() >= limits_.postponed || !transaction.next_check.has_value()) return false;
  taken_.erase(transaction.id);
  postponed_[transaction.id] = {until, *transaction.next_check};
  postponed_until_.insert({until, transaction.id});
  return true;
}

void TransactionRows::Resume() {
  MutexLock lock(mutex_);
  postponed_until_.clear();
  for (auto& [id, postponed] : postponed_) {
    postponed.until = postponed.due;
    postponed_until_.insert({postponed.due, id});
  }
  ++events_;
  changed_.SignalAll();
}

absl::StatusOr<std::vector<Transaction>> TransactionRows::List(LogOffset from, size_t limit) const {
  std::vector<Transaction> list;
  RETURN_IF_ERROR(ScanOpen(from, [&](const Transaction& transaction) {
    if (list.size() < limit) list.push_back(transaction);
    return list.size() < limit;
  }));
  return list;
}

void TransactionRows::Wait(uint64_t seen, std::chrono::milliseconds timeout) const {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  while (events_ == seen && changed_.WaitUntil(mutex_, deadline)) {
  }
}

void TransactionRows::Interrupt() const {
  MutexLock lock(mutex_);
  ++events_;
  changed_.SignalAll();
}

TransactionIndex::Counts TransactionRows::counts() const {
  MutexLock lock(mutex_);
  return counts_;
}

uint64_t TransactionRows::Open(QueueKey queue) const {
  MutexLock lock(mutex_);
  auto found = open_.find(queue);
  return found == open_.end() ? 0 : found->second;
}

void TransactionRows::PutOpen(const Transaction& transaction, rocksdb::WriteBatch& batch) const {
  rocksdb::ColumnFamilyHandle* const family = database_.handle(Family::kTransactions);
  batch.Put(family, IdKey(kOpenPrefix, transaction.id), OpenValue(transaction));
  if (!transaction.next_check.has_value()) return;
  batch.Put(family, CheckKey({*transaction.next_check, transaction.id}),
            PlaceValue(transaction.place));
}

void TransactionRows::DeleteOpen(LogOffset id, std::optional<Timestamp> check,
                                 rocksdb::WriteBatch& batch) const {
  rocksdb::ColumnFamilyHandle* const family = database_.handle(Family::kTransactions);
  batch.Delete(family, IdKey(kOpenPrefix, id));
  if (check.has_value()) batch.Delete(family, CheckKey({*check, id}));
}

void TransactionRows::Put(const Transaction& transaction, rocksdb::WriteBatch& batch) {
  PutOpen(transaction, batch);
  changes_.push_back({Change::Kind::kAdded, transaction, std::nullopt, false});
}

absl::Status TransactionRows::Move(const Transaction& transaction, rocksdb::WriteBatch& batch) {
  // The row may lead to where the log does not begin any more: this is a rebuild, and it is new.
  ASSIGN_OR_RETURN(const std::optional<Transaction> row, FindOpen(transaction.id));
  std::optional<Timestamp> old_check;
  if (row.has_value()) old_check = row->next_check;
  if (row.has_value()) DeleteOpen(transaction.id, old_check, batch);
  PutOpen(transaction, batch);
  changes_.push_back({Change::Kind::kChanged, transaction, old_check, row.has_value()});
  return absl::OkStatus();
}

absl::Status TransactionRows::Check(const Transaction& checked, rocksdb::WriteBatch& batch) {
  ASSIGN_OR_RETURN(const std::optional<Transaction> row, FindOpen(checked.id));
  if (!row.has_value()) {
    changes_.push_back({Change::Kind::kEnded, checked, std::nullopt, false});
    return absl::OkStatus();
  }
  DeleteOpen(checked.id, row->next_check, batch);
  Transaction now = *row;
  now.checks = checked.checks;
  now.next_check = checked.next_check;
  PutOpen(now, batch);
  changes_.push_back({Change::Kind::kChanged, now, row->next_check, true});
  return absl::OkStatus();
}

void TransactionRows::Resolve(const Transaction& transaction, rocksdb::WriteBatch& batch) {
  // Where the log begins behind the half message there was never a row: this is a rebuild.
  const bool had_row = IsThere(transaction.place);
  if (had_row) {
    DeleteOpen(transaction.id, transaction.next_check, batch);
    std::string value = PlaceValue(transaction.place);
    value.push_back(static_cast<char>(transaction.state));
    // So that the same can be answered again until the half message expires.
    batch.Put(database_.handle(Family::kTransactions), IdKey(kResolvedPrefix, transaction.id),
              value);
  }
  changes_.push_back({Change::Kind::kEnded, transaction, transaction.next_check, had_row});
}

absl::Status TransactionRows::DropTopic(TopicId topic, rocksdb::WriteBatch& batch) {
  return ScanOpen(LogOffset(0), [&](const Transaction& transaction) {
    if (transaction.queue.topic == topic) {
      DeleteOpen(transaction.id, transaction.next_check, batch);
      changes_.push_back({Change::Kind::kEnded, transaction, transaction.next_check, true});
    }
    return true;
  });
}

void TransactionRows::Count(const Transaction& transaction, bool comes) {
  uint64_t& open = open_[transaction.queue];
  const uint64_t parked = transaction.next_check.has_value() ? 0 : 1;
  if (comes) {
    ++open;
    ++counts_.open;
    counts_.parked += parked;
    return;
  }
  // Its topic was deleted meanwhile.
  if (open > 0) {
    --counts_.open;
    counts_.parked -= parked;
    --open;
  }
  if (open == 0) open_.erase(transaction.queue);
}

void TransactionRows::Apply(const Change& change) {
  const Transaction& transaction = change.transaction;
  if (change.kind == Change::Kind::kAdded) {
    Count(transaction, /*comes=*/true);
    // Somebody may have taken it already, who then gives it back or ends it.
    if (!taken_.contains(transaction.id)) Schedule(transaction.id, transaction.next_check);
    return;
  }
  if (change.was_open) {
    Transaction before = transaction;
    before.next_check = change.old_check;
    Count(before, /*comes=*/false);
  }
  taken_.erase(transaction.id);
  Unschedule(transaction.id, change.old_check);
  if (change.kind == Change::Kind::kEnded) return;
  Count(transaction, /*comes=*/true);
  Schedule(transaction.id, transaction.next_check);
}

void TransactionRows::BatchWritten() {
  if (changes_.empty()) return;
  MutexLock lock(mutex_);
  const std::optional<TimerKey> first = window_.Next();
  const bool was_full = taken_.size() >= limits_.taken;
  for (const Change& change : changes_) Apply(change);
  changes_.clear();
  const std::optional<TimerKey> next = window_.Next();
  const bool earlier = next.has_value() && (!first.has_value() || *next < *first);
  if (!earlier && !was_full) return;
  ++events_;
  changed_.SignalAll();
}

absl::StatusOr<std::vector<LogOffset>> TransactionRows::PlacedBefore(LogOffset begin,
                                                                     size_t limit) const {
  std::vector<LogOffset> ids;
  RETURN_IF_ERROR(ScanOpen(LogOffset(0), [&](const Transaction& transaction) {
    if (transaction.id >= begin) return false;  // nor is any that comes behind it
    if (transaction.place < begin) ids.push_back(transaction.id);
    return ids.size() < limit;
  }));
  return ids;
}

}  // namespace dunlin::store
