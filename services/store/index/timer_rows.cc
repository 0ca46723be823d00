#include "services/store/index/timer_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "services/base/bytes.h"
#include "services/base/status_macros.h"

namespace dunlin::store {
namespace {

// Value: place u64, topic u32, queue u32, tag hash u32, recalled u8; little-endian.
constexpr size_t kKeySize = 16;
constexpr size_t kValueSize = 21;

std::array<char, kKeySize> KeyBytes(TimerKey key) {
  std::array<char, kKeySize> bytes;  // big-endian, as all keys; due times are after 1970
  StoreLittle(bytes.data(), __builtin_bswap64(static_cast<uint64_t>(ToUnixMillis(key.due))));
  StoreLittle(bytes.data() + 8, __builtin_bswap64(key.id.value()));
  return bytes;
}

std::array<char, kValueSize> ValueBytes(const TimerRow& row) {
  std::array<char, kValueSize> bytes;
  StoreLittle(bytes.data(), row.timer.place.value());
  StoreLittle(bytes.data() + 8, row.timer.queue.topic.value());
  StoreLittle(bytes.data() + 12, row.timer.queue.queue);
  StoreLittle(bytes.data() + 16, row.timer.tag_hash);
  StoreLittle(bytes.data() + 20, static_cast<uint8_t>(row.recalled));
  return bytes;
}

template <size_t size>
rocksdb::Slice SliceOf(const std::array<char, size>& bytes) {
  return {bytes.data(), size};
}

}  // namespace

std::string EncodeTimerKey(TimerKey key) {
  const auto bytes = KeyBytes(key);
  return {bytes.data(), bytes.size()};
}

TimerKey DecodeTimerKey(std::string_view bytes) {
  return {FromUnixMillis(static_cast<int64_t>(FromBigEndian64(bytes))),
          LogOffset(FromBigEndian64(bytes.substr(8)))};
}

std::string EncodeTimerRow(const TimerRow& row) {
  const auto bytes = ValueBytes(row);
  return {bytes.data(), bytes.size()};
}

absl::StatusOr<TimerRow> DecodeTimerRow(std::string_view key, std::string_view value) {
  if (key.size() != kKeySize || value.size() != kValueSize) {
    return absl::DataLossError("a timer has the wrong length");
  }
  TimerRow row;
  row.timer.key = DecodeTimerKey(key);
  row.timer.place = LogOffset(LoadLittle<uint64_t>(value.data()));
  row.timer.queue = {TopicId(LoadLittle<uint32_t>(value.data() + 8)),
                     LoadLittle<uint32_t>(value.data() + 12)};
  row.timer.tag_hash = LoadLittle<uint32_t>(value.data() + 16);
  row.recalled = LoadLittle<uint8_t>(value.data() + 20) != 0;
  return row;
}

TimerRows::TimerRows(Database& database, const CommitLog& log, const Limits& limits)
    : database_(database), log_(log), limits_(limits), window_(limits.window) {}

absl::Status TimerRows::LoadCounts() {
  bool whole = true;
  std::vector<std::pair<QueueKey, uint64_t>> saved;
  RETURN_IF_ERROR(
      database_.Scan(Family::kParked, "", [&](std::string_view key, std::string_view value) {
        whole = key.size() == 8 && value.size() == 8;
        if (whole) saved.emplace_back(ToQueueKey(key), LoadLittle<uint64_t>(value.data()));
        return whole;
      }));
  if (!whole) return database_.Damaged("a count of timers");
  MutexLock lock(mutex_);
  for (const auto& [queue, count] : saved) {
    counts_[queue] = count;
    pending_ += count;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<TimerRow>> TimerRows::Find(TimerKey key) const {
  const std::string bytes = EncodeTimerKey(key);
  ASSIGN_OR_RETURN(const std::optional<std::string> value, database_.Get(Family::kTimers, bytes));
  if (!value.has_value()) return std::optional<TimerRow>();
  const absl::StatusOr<TimerRow> row = DecodeTimerRow(bytes, *value);
  if (!row.ok()) return database_.Damaged("a timer");
  return std::optional<TimerRow>(*row);
}

absl::Status TimerRows::Load(TimerKey from) {
  std::vector<Timer> loaded;
  bool all = true;
  bool whole = true;
  // Not before the first moment that a key can name.
  from.due = std::max(from.due, Timestamp());
  absl::Status status = database_.Scan(
      Family::kTimers, EncodeTimerKey(from), [&](std::string_view key, std::string_view value) {
        const absl::StatusOr<TimerRow> row = DecodeTimerRow(key, value);
        whole = row.ok();
        if (!whole) return false;
        if (row->recalled || !IsThere(row->timer)) return true;
        all = loaded.size() < limits_.window;
        if (all) loaded.push_back(row->timer);
        return all;
      });
  if (status.ok() && !whole) status = database_.Damaged("a timer");
  MutexLock lock(mutex_);
  if (!status.ok()) {
    window_.AbortLoad(from);
    return status;
  }
  window_.FinishLoad(loaded, all);
  for (const Timer& timer : loaded) {
    if (taken_.contains(timer.key.id)) window_.Erase(timer.key);
  }
  return absl::OkStatus();
}

absl::StatusOr<TimerIndex::Due> TimerRows::TakeDue(Timestamp now, size_t limit) {
  for (;;) {
    TimerKey from;
    {
      MutexLock lock(mutex_);
      if (!window_.NeedsLoad()) {
        Due due;
        const size_t room = limits_.taken - std::min(limits_.taken, taken_.size());
        window_.TakeDue(now, std::min(limit, room), due.timers);
        for (const Timer& timer : due.timers) taken_.insert(timer.key.id);
        due.seen = events_;
        // An empty window of which the index may hold more is due at once: to be loaded.
        if (window_.NeedsLoad()) due.next = now;
        if (const auto next = window_.Next(); next.has_value()) due.next = next->due;
        due.full = due.next.has_value() && *due.next <= now && due.timers.size() == room;
        return due;
      }
      from = window_.BeginLoad();
    }
    RETURN_IF_ERROR(Load(from));
  }
}

absl::StatusOr<Timer> TimerRows::Take(TimerKey key) {
  {
    MutexLock lock(mutex_);
    if (taken_.contains(key.id)) return absl::AbortedError("the timer is about to end");
    // Before the row is read: from here on nobody else can end it.
    taken_.insert(key.id);
  }
  absl::StatusOr<std::optional<TimerRow>> row = Find(key);
  MutexLock lock(mutex_);
  absl::Status status = row.status();
  if (status.ok() && (!row->has_value() || !IsThere((*row)->timer))) {
    status = absl::NotFoundError("there is no such timer");
  } else if (status.ok() && (*row)->recalled) {
    status = absl::AlreadyExistsError("the timer was recalled");
  }
  if (status.ok()) {
    window_.Erase(key);
    return (*row)->timer;
  }
  taken_.erase(key.id);
  return status;
}

void TimerRows::GiveBack(std::span<const Timer> timers) {
  MutexLock lock(mutex_);
  for (const Timer& timer : timers) {
    taken_.erase(timer.key.id);
    window_.Add(timer);
  }
  ++events_;
  changed_.SignalAll();
}

void TimerRows::Wait(uint64_t seen, std::chrono::milliseconds timeout) const {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  MutexLock lock(mutex_);
  while (events_ == seen && changed_.WaitUntil(mutex_, deadline)) {
  }
}

void TimerRows::Interrupt() const {
  MutexLock lock(mutex_);
  ++events_;
  changed_.SignalAll();
}

uint64_t TimerRows::Pending(QueueKey queue) const {
  MutexLock lock(mutex_);
  auto found = counts_.find(queue);
  return found == counts_.end() ? 0 : found->second;
}

uint64_t TimerRows::Pending() const {
  MutexLock lock(mutex_);
  return pending_;
}

void TimerRows::PutRow(const Timer& timer, rocksdb::WriteBatch& batch) const {
  batch.Put(database_.handle(Family::kTimers), SliceOf(KeyBytes(timer.key)),
            SliceOf(ValueBytes({timer, false})));
}

void TimerRows::Put(const Timer& timer, rocksdb::WriteBatch& batch) {
  PutRow(timer, batch);
  changes_.push_back({Change::Kind::kParked, timer, 1});
}

absl::Status TimerRows::Move(const Timer& timer, rocksdb::WriteBatch& batch) {
  ASSIGN_OR_RETURN(const std::optional<TimerRow> row, Find(timer.key));
  PutRow(timer, batch);
  // It is new when the log begins behind the record it was moved from.
  changes_.push_back({Change::Kind::kMoved, timer, row.has_value() ? 0 : 1});
  return absl::OkStatus();
}

void TimerRows::PutDelivered(rocksdb::WriteBatch& batch) {
  if (delivered_.empty()) return;
  // In their order, which is many times as fast as in any other.
  std::sort(delivered_.begin(), delivered_.end(),
            [](const Timer& a, const Timer& b) { return a.key < b.key; });
  for (const Timer& timer : delivered_) {
    // Where the log begins behind the message there was never a row: this is a rebuild.
    const bool had_row = IsThere(timer);
    if (had_row) batch.Delete(database_.handle(Family::kTimers), SliceOf(KeyBytes(timer.key)));
    changes_.push_back({Change::Kind::kEnded, timer, had_row ? -1 : 0});
  }
  delivered_.clear();
}

absl::Status TimerRows::Recalled(TimerKey key, rocksdb::WriteBatch& batch) {
  ASSIGN_OR_RETURN(std::optional<TimerRow> row, Find(key));
  if (!row.has_value() || row->recalled) {
    changes_.push_back({Change::Kind::kEnded, {key, {}, {}, 0}, 0});
    return absl::OkStatus();
  }
  // The row stays, so that the recall can be answered again, until the message expires.
  row->recalled = true;
  batch.Put(database_.handle(Family::kTimers), EncodeTimerKey(key), EncodeTimerRow(*row));
  changes_.push_back({Change::Kind::kEnded, row->timer, -1});
  return absl::OkStatus();
}

void TimerRows::Apply(const Change& change) {
  const Timer& timer = change.timer;
  switch (change.kind) {
    case Change::Kind::kParked:
      // Somebody may have taken it already, who then gives it back or ends it.
      if (!taken_.contains(timer.key.id)) window_.Add(timer);
      break;
    case Change::Kind::kMoved:
      taken_.erase(timer.key.id);
      window_.Add(timer);
      break;
    case Change::Kind::kEnded:
      taken_.erase(timer.key.id);
      window_.Erase(timer.key);
      break;
  }
  if (change.count == 0) return;
  uint64_t& count = counts_[timer.queue];
  if (change.count < 0 && count == 0) return;  // its topic was deleted
  count += static_cast<uint64_t>(change.count);
  pending_ += static_cast<uint64_t>(change.count);
  changed_counts_.insert(timer.queue);
}

void TimerRows::BatchWritten() {
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

void TimerRows::PutCounts(rocksdb::WriteBatch& batch) {
  MutexLock lock(mutex_);
  for (QueueKey queue : changed_counts_) {
    auto found = counts_.find(queue);
    if (found == counts_.end()) continue;
    if (found->second == 0) {
      batch.Delete(database_.handle(Family::kParked), KeyOf(queue));
      counts_.erase(found);
      continue;
    }
    std::array<char, 8> value;
    StoreLittle(value.data(), found->second);
    batch.Put(database_.handle(Family::kParked), KeyOf(queue), SliceOf(value));
  }
  changed_counts_.clear();
}

void TimerRows::ForgetTopic(TopicId topic, rocksdb::WriteBatch& batch) {
  MutexLock lock(mutex_);
  for (auto queue = counts_.begin(); queue != counts_.end();) {
    auto current = queue++;
    if (current->first.topic != topic) continue;
    // One by one: RocksDB frees the iterator of a range deleted twice if its file is damaged.
    batch.Delete(database_.handle(Family::kParked), KeyOf(current->first));
    pending_ -= current->second;
    counts_.erase(current);
  }
}

absl::StatusOr<std::vector<TimerKey>> TimerRows::PlacedBefore(LogOffset begin, size_t limit) const {
  std::vector<TimerKey> keys;
  bool whole = true;
  RETURN_IF_ERROR(
      database_.Scan(Family::kTimers, "", [&](std::string_view key, std::string_view value) {
        const absl::StatusOr<TimerRow> row = DecodeTimerRow(key, value);
        whole = row.ok();
        if (whole && !row->recalled && IsThere(row->timer) && row->timer.place < begin) {
          keys.push_back(row->timer.key);
        }
        return whole && keys.size() < limit;
      }));
  if (!whole) return database_.Damaged("a timer");
  return keys;
}

}  // namespace dunlin::store
