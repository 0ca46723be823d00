#include "services/store/index/queue_chunks.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "services/base/bytes.h"
#include "services/base/status_macros.h"

namespace dunlin::store {
namespace {

constexpr size_t kShards = 64;
// What the state of a queue takes in memory beside its open chunk.
constexpr size_t kQueueBytes = 160;
// {next u64, min u64, log offset of min u64}.
constexpr size_t kTailSize = 24;

std::string ChunkKey(QueueKey queue, uint64_t chunk) { return KeyOf(queue) + BigEndian(chunk); }

}  // namespace

std::string EncodeTail(const QueueTail& tail) {
  std::string bytes(kTailSize, '\0');
  StoreLittle(bytes.data(), tail.next.value());
  StoreLittle(bytes.data() + 8, tail.min.value());
  StoreLittle(bytes.data() + 16, tail.min_log_offset.value());
  return bytes;
}

absl::StatusOr<QueueTail> DecodeTail(std::string_view bytes) {
  if (bytes.size() != kTailSize) return absl::DataLossError("not the tail of a queue");
  return QueueTail{QueueOffset(LoadLittle<uint64_t>(bytes.data())),
                   QueueOffset(LoadLittle<uint64_t>(bytes.data() + 8)),
                   LogOffset(LoadLittle<uint64_t>(bytes.data() + 16))};
}

struct QueueChunks::Queue {
  QueueOffset min;
  LogOffset min_log_offset;  // of the entry at `min`: while the log holds it, `min` is right
  QueueOffset next;
  std::vector<IndexEntry> open;  // chunk next / kChunkEntries
  // Full chunks of the batch under way; few.
  std::vector<std::pair<uint64_t, std::vector<IndexEntry>>> unwritten;
  bool changed = false;  // since the last checkpoint

  const std::vector<IndexEntry>* FindUnwritten(uint64_t chunk) const {
    for (const auto& [number, entries] : unwritten) {
      if (number == chunk) return &entries;
    }
    return nullptr;
  }
  size_t Bytes() const { return kQueueBytes + open.capacity() * sizeof(IndexEntry); }
  uint64_t OpenChunk() const { return next.value() / kChunkEntries; }
  const std::vector<IndexEntry>* FindInMemory(uint64_t chunk) const {
    return chunk == OpenChunk() ? &open : FindUnwritten(chunk);
  }
  bool IsEmpty() const { return min == next; }
};

struct QueueChunks::Shard {
  mutable Mutex mutex;
  absl::flat_hash_map<QueueKey, std::unique_ptr<Queue>> queues ABSL_GUARDED_BY(mutex);
  size_t bytes ABSL_GUARDED_BY(mutex) = 0;  // that they take
  // Saved queues are forgotten again only when they take more than this.
  size_t forget_above ABSL_GUARDED_BY(mutex) = 0;
};

// Keeps `Shard::bytes` right over a change of a queue.
class QueueChunks::Accounting {
 public:
  Accounting(Shard& shard, const Queue& state) ABSL_NO_THREAD_SAFETY_ANALYSIS : shard_(shard),
                                                                                state_(state) {
    shard_.bytes -= state_.Bytes();
  }
  ~Accounting() ABSL_NO_THREAD_SAFETY_ANALYSIS { shard_.bytes += state_.Bytes(); }

 private:
  Shard& shard_;
  const Queue& state_;
};

QueueChunks::QueueChunks(Database& database, CommitLog& log, size_t memory_bytes)
    : database_(database),
      log_(log),
      shard_bytes_(memory_bytes / kShards),
      shards_(std::make_unique<Shard[]>(kShards)) {}
QueueChunks::~QueueChunks() = default;

QueueChunks::Shard& QueueChunks::ShardOf(QueueKey queue) const {
  return shards_[absl::Hash<QueueKey>()(queue) % kShards];
}

absl::StatusOr<std::vector<IndexEntry>> QueueChunks::LoadChunk(QueueKey queue,
                                                               uint64_t chunk) const {
  ASSIGN_OR_RETURN(const std::optional<std::string> row,
                   database_.Get(Family::kChunks, ChunkKey(queue, chunk)));
  if (!row.has_value()) return std::vector<IndexEntry>();
  absl::StatusOr<std::vector<IndexEntry>> entries = DecodeChunk(*row);
  if (!entries.ok()) {
    return database_.Damaged(
        fmt::format("chunk {} of queue {} of topic {}", chunk, queue.queue, queue.topic.value()));
  }
  return entries;
}

absl::StatusOr<QueueChunks::Queue*> QueueChunks::Find(Shard& shard, QueueKey queue, bool make) const
    ABSL_NO_THREAD_SAFETY_ANALYSIS {
  auto found = shard.queues.find(queue);
  if (found != shard.queues.end()) return found->second.get();
  ASSIGN_OR_RETURN(const std::optional<std::string> tail,
                   database_.Get(Family::kTails, KeyOf(queue)));
  if (!tail.has_value() && !make) return nullptr;
  auto state = std::make_unique<Queue>();
  if (tail.has_value()) {
    const absl::StatusOr<QueueTail> saved = DecodeTail(*tail);
    if (!saved.ok()) return database_.Damaged("the tail of a queue");
    state->next = saved->next;
    state->min = saved->min;
    state->min_log_offset = saved->min_log_offset;
    ASSIGN_OR_RETURN(state->open, LoadChunk(queue, state->OpenChunk()));
    state->open.resize(state->next.value() % kChunkEntries);
  }
  if (shard.bytes >= std::max(shard_bytes_, shard.forget_above)) ForgetSaved(shard);
  shard.bytes += state->Bytes();
  return shard.queues.emplace(queue, std::move(state)).first->second.get();
}

void QueueChunks::ForgetSaved(Shard& shard) const ABSL_NO_THREAD_SAFETY_ANALYSIS {
  // Any half: which of them are used next is not known.
  for (auto queue = shard.queues.begin();
       queue != shard.queues.end() && shard.bytes > shard_bytes_ / 2;) {
    auto current = queue++;
    const Queue& state = *current->second;
    if (state.changed || !state.unwritten.empty()) continue;
    shard.bytes -= state.Bytes();
    shard.queues.erase(current);
  }
  // What is not saved stays until the checkpoint: no use to look again for each new one.
  shard.forget_above = shard.bytes * 2;
}

absl::StatusOr<std::vector<IndexEntry>> QueueChunks::ChunkOf(const Queue& state, QueueKey queue,
                                                             uint64_t chunk) const {
  const std::vector<IndexEntry>* const in_memory = state.FindInMemory(chunk);
  if (in_memory != nullptr) return *in_memory;
  return LoadChunk(queue, chunk);
}

absl::Status QueueChunks::AdvanceMin(Queue& state, QueueKey queue) const {
  if (state.IsEmpty() || state.min_log_offset >= log_.start()) return absl::OkStatus();
  return SeekMin(state, queue);
}

absl::Status QueueChunks::SeekMin(Queue& state, QueueKey queue) const {
  const LogOffset start = log_.start();
  while (state.min < state.next) {
    const uint64_t chunk = state.min.value() / kChunkEntries;
    ASSIGN_OR_RETURN(const std::vector<IndexEntry> entries, ChunkOf(state, queue, chunk));
    for (uint64_t i = state.min.value() % kChunkEntries; i < entries.size(); ++i) {
      if (entries[i].length == 0 || entries[i].log_offset < start) continue;
      state.min = QueueOffset(chunk * kChunkEntries + i);
      state.min_log_offset = entries[i].log_offset;
      return absl::OkStatus();
    }
    state.min = std::min(QueueOffset((chunk + 1) * kChunkEntries), state.next);
  }
  return absl::OkStatus();
}

absl::StatusOr<QueueBounds> QueueChunks::FindBounds(QueueKey queue) const {
  Shard& shard = ShardOf(queue);
  MutexLock lock(shard.mutex);
  ASSIGN_OR_RETURN(Queue* const state, Find(shard, queue, /*make=*/false));
  if (state == nullptr) return QueueBounds();
  RETURN_IF_ERROR(AdvanceMin(*state, queue));
  return QueueBounds{state->min, state->next};
}

QueueBounds QueueChunks::Bounds(QueueKey queue) const {
  return FindBounds(queue).value_or(QueueBounds());
}

absl::StatusOr<QueueOffset> QueueChunks::NextOffset(QueueKey queue) const {
  Shard& shard = ShardOf(queue);
  MutexLock lock(shard.mutex);
  ASSIGN_OR_RETURN(const Queue* const state, Find(shard, queue, /*make=*/false));
  return state == nullptr ? QueueOffset() : state->next;
}

absl::Status QueueChunks::VisitTails(absl::FunctionRef<void(QueueKey, QueueOffset)> visit) const {
  absl::Status decoded;
  RETURN_IF_ERROR(
      database_.Scan(Family::kTails, "", [&](std::string_view key, std::string_view value) {
        const absl::StatusOr<QueueTail> tail = DecodeTail(value);
        if (!tail.ok()) decoded = database_.Damaged("the tail of a queue");
        if (decoded.ok()) visit(ToQueueKey(key), tail->next);
        return decoded.ok();
      }));
  RETURN_IF_ERROR(decoded);
  for (size_t i = 0; i < kShards; ++i) {
    MutexLock lock(shards_[i].mutex);
    for (const auto& [queue, state] : shards_[i].queues) visit(queue, state->next);
  }
  return absl::OkStatus();
}

absl::Status QueueChunks::Read(QueueKey queue, QueueOffset from, size_t limit,
                               std::vector<IndexEntry>& entries) const {
  ASSIGN_OR_RETURN(const QueueBounds bounds, FindBounds(queue));
  if (from < bounds.min || from > bounds.max) {
    return absl::OutOfRangeError(fmt::format("offset {} is outside the queue, which holds {} to {}",
                                             from.value(), bounds.min.value(), bounds.max.value()));
  }
  const LogOffset start = log_.start();
  const QueueOffset end = bounds.max - from < limit ? bounds.max : from + limit;
  const auto take = [&](const std::vector<IndexEntry>& chunk) {
    for (uint64_t i = from.value() % kChunkEntries; i < kChunkEntries && from < end; ++i, ++from) {
      const bool there = i < chunk.size() && chunk[i].log_offset >= start;
      entries.push_back(there ? chunk[i] : IndexEntry());
    }
  };
  while (from < end) {
    const uint64_t chunk = from.value() / kChunkEntries;
    {
      Shard& shard = ShardOf(queue);
      MutexLock lock(shard.mutex);
      ASSIGN_OR_RETURN(const Queue* const state, Find(shard, queue, /*make=*/false));
      if (state == nullptr) return absl::OkStatus();  // the topic was just deleted
      const std::vector<IndexEntry>* const in_memory = state->FindInMemory(chunk);
      if (in_memory != nullptr) {
        take(*in_memory);
        continue;
      }
    }
    ASSIGN_OR_RETURN(const std::vector<IndexEntry> loaded, LoadChunk(queue, chunk));
    take(loaded);
  }
  return absl::OkStatus();
}

absl::StatusOr<QueueOffset> QueueChunks::FindByTime(QueueKey queue, Timestamp time) const {
  ASSIGN_OR_RETURN(const QueueBounds bounds, FindBounds(queue));
  uint64_t low = bounds.min.value();
  uint64_t high = bounds.max.value();
  std::vector<IndexEntry> entry;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    // What is damaged, or was moved ahead of retention, tells no time of its own: its next
    // neighbour to the right does.
    std::optional<Timestamp> stored;
    uint64_t told = middle;
    for (; told < high; ++told) {
      entry.clear();
      RETURN_IF_ERROR(Read(queue, QueueOffset(told), 1, entry));
      if (entry.empty()) return absl::AbortedError("the queue was deleted");
      if (entry.front().length == 0) continue;
      const absl::StatusOr<RecordView> record = log_.Read(entry.front().log_offset);
      if (!record.ok() || (record->header().flags & kFlagRelocated) != 0) continue;
      stored = record->header().store_time;
      break;
    }
    if (!stored.has_value() || *stored >= time) {
      high = middle;
    } else {
      low = told + 1;
    }
  }
  return QueueOffset(low);
}

void QueueChunks::MarkChanged(Queue& state, QueueKey queue) {
  if (state.changed) return;
  state.changed = true;
  changed_.push_back(queue);
}

absl::Status QueueChunks::Put(QueueKey queue, QueueOffset offset, const IndexEntry& entry,
                              rocksdb::WriteBatch& batch) {
  return PutRun(queue, offset, {&entry, 1}, batch);
}

absl::Status QueueChunks::PutRun(QueueKey queue, QueueOffset first,
                                 std::span<const IndexEntry> entries, rocksdb::WriteBatch& batch) {
  Shard& shard = ShardOf(queue);
  MutexLock lock(shard.mutex);
  ASSIGN_OR_RETURN(Queue* const state, Find(shard, queue, /*make=*/true));
  const Accounting accounting(shard, *state);
  MarkChanged(*state, queue);
  while (!entries.empty() && first < state->next) {
    RETURN_IF_ERROR(Replace(*state, queue, first, entries.front(), batch));
    entries = entries.subspan(1);
    ++first;
  }
  if (entries.empty()) return absl::OkStatus();
  if (state->IsEmpty()) {
    // The first entry that is still there: nothing is missing before it.
    state->min = first;
    state->min_log_offset = entries.front().log_offset;
  }
  if (first != state->next) SkipTo(*state, queue, first, batch);
  while (!entries.empty()) {
    const size_t count = std::min(entries.size(), kChunkEntries - state->open.size());
    const uint64_t chunk = state->OpenChunk();
    state->open.insert(state->open.end(), entries.begin(), entries.begin() + count);
    state->next += count;
    entries = entries.subspan(count);
    if (state->open.size() == kChunkEntries) {
      PutFull(*state, queue, chunk, std::exchange(state->open, {}), batch);
      state->open.reserve(kChunkEntries);
    }
  }
  return absl::OkStatus();
}

absl::Status QueueChunks::Replace(Queue& state, QueueKey queue, QueueOffset offset,
                                  const IndexEntry& entry, rocksdb::WriteBatch& batch) {
  if (offset <= state.min || state.IsEmpty()) {
    state.min = offset;
    state.min_log_offset = entry.log_offset;
  }
  const uint64_t place = offset.value() % kChunkEntries;
  const uint64_t chunk = offset.value() / kChunkEntries;
  if (chunk == state.OpenChunk()) {
    state.open[place] = entry;
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(std::vector<IndexEntry> entries, ChunkOf(state, queue, chunk));
  entries.resize(kChunkEntries);
  entries[place] = entry;
  PutFull(state, queue, chunk, std::move(entries), batch);
  return absl::OkStatus();
}

void QueueChunks::SkipTo(Queue& state, QueueKey queue, QueueOffset offset,
                         rocksdb::WriteBatch& batch) {
  const uint64_t chunk = state.OpenChunk();
  state.next = offset;
  if (state.OpenChunk() != chunk) {
    // Whole chunks without an entry have no row.
    std::vector<IndexEntry> left = std::exchange(state.open, {});
    if (!left.empty()) PutFull(state, queue, chunk, std::move(left), batch);
  }
  state.open.resize(offset.value() % kChunkEntries);
}

void QueueChunks::PutFull(Queue& state, QueueKey queue, uint64_t chunk,
                          std::vector<IndexEntry> entries, rocksdb::WriteBatch& batch) {
  PutChunk(queue, chunk, entries, batch);
  std::erase_if(state.unwritten, [chunk](const auto& other) { return other.first == chunk; });
  state.unwritten.emplace_back(chunk, std::move(entries));
  with_full_.push_back(queue);
}

absl::Status QueueChunks::Trim(QueueKey queue, QueueOffset offset, rocksdb::WriteBatch& batch) {
  Shard& shard = ShardOf(queue);
  MutexLock lock(shard.mutex);
  ASSIGN_OR_RETURN(Queue* const state, Find(shard, queue, /*make=*/false));
  if (state == nullptr || offset <= state->min || state->IsEmpty()) return absl::OkStatus();
  const uint64_t first = state->min.value() / kChunkEntries;
  state->min = std::min(offset, state->next);
  const uint64_t kept = std::min(state->min.value() / kChunkEntries, state->OpenChunk());
  for (uint64_t chunk = first; chunk < kept; ++chunk) {
    batch.Delete(database_.handle(Family::kChunks), ChunkKey(queue, chunk));
  }
  MarkChanged(*state, queue);
  return SeekMin(*state, queue);
}

absl::Status QueueChunks::Remove(QueueKey queue, std::span<const QueueOffset> offsets,
                                 rocksdb::WriteBatch& batch) {
  Shard& shard = ShardOf(queue);
  MutexLock lock(shard.mutex);
  ASSIGN_OR_RETURN(Queue* const state, Find(shard, queue, /*make=*/false));
  if (state == nullptr) return absl::OkStatus();
  for (size_t i = 0; i < offsets.size();) {
    const uint64_t chunk = offsets[i].value() / kChunkEntries;
    ASSIGN_OR_RETURN(std::vector<IndexEntry> entries, ChunkOf(*state, queue, chunk));
    for (; i < offsets.size() && offsets[i].value() / kChunkEntries == chunk; ++i) {
      const uint64_t place = offsets[i].value() % kChunkEntries;
      if (place < entries.size()) entries[place] = IndexEntry();
    }
    if (chunk == state->OpenChunk()) {
      std::copy(entries.begin(), entries.end(), state->open.begin());
    } else if (!entries.empty()) {
      PutFull(*state, queue, chunk, std::move(entries), batch);
    }
  }
  MarkChanged(*state, queue);
  return SeekMin(*state, queue);
}

absl::Status QueueChunks::RaiseTail(QueueKey queue, QueueOffset next, rocksdb::WriteBatch& batch) {
  Shard& shard = ShardOf(queue);
  MutexLock lock(shard.mutex);
  ASSIGN_OR_RETURN(Queue* const state, Find(shard, queue, /*make=*/true));
  if (next <= state->next) return absl::OkStatus();
  const Accounting accounting(shard, *state);
  MarkChanged(*state, queue);
  const bool empty = state->IsEmpty();
  SkipTo(*state, queue, next, batch);
  if (empty) state->min = next;
  return absl::OkStatus();
}

void QueueChunks::CheckpointWritten() {
  for (QueueKey queue : changed_) {
    Shard& shard = ShardOf(queue);
    MutexLock lock(shard.mutex);
    auto found = shard.queues.find(queue);
    if (found != shard.queues.end()) found->second->changed = false;
  }
  changed_.clear();
  for (size_t i = 0; i < kShards; ++i) {
    MutexLock lock(shards_[i].mutex);
    shards_[i].forget_above = 0;  // what was changed is saved now
  }
}

void QueueChunks::BatchWritten() {
  for (QueueKey queue : with_full_) {
    Shard& shard = ShardOf(queue);
    MutexLock lock(shard.mutex);
    auto found = shard.queues.find(queue);
    if (found != shard.queues.end()) std::exchange(found->second->unwritten, {});
  }
  with_full_.clear();
}

void QueueChunks::PutChunk(QueueKey queue, uint64_t chunk, const std::vector<IndexEntry>& entries,
                           rocksdb::WriteBatch& batch) const {
  batch.Put(database_.handle(Family::kChunks), ChunkKey(queue, chunk), EncodeChunk(entries));
}

void QueueChunks::PutTail(QueueKey queue, const Queue& state, rocksdb::WriteBatch& batch) const {
  batch.Put(database_.handle(Family::kTails), KeyOf(queue),
            EncodeTail({state.next, state.min, state.min_log_offset}));
}

void QueueChunks::PutOpenChunks(rocksdb::WriteBatch& batch) {
  for (QueueKey queue : changed_) {
    Shard& shard = ShardOf(queue);
    MutexLock lock(shard.mutex);
    auto found = shard.queues.find(queue);
    if (found == shard.queues.end()) continue;  // its topic was deleted
    const Queue& state = *found->second;
    if (!state.open.empty()) PutChunk(queue, state.OpenChunk(), state.open, batch);
    PutTail(queue, state, batch);
  }
}

void QueueChunks::DropRows(TopicId topic, rocksdb::WriteBatch& batch) const {
  const std::string begin = BigEndian(topic.value());
  const std::string end = BigEndian(topic.value() + 1);
  batch.DeleteRange(database_.handle(Family::kChunks), begin, end);
  batch.DeleteRange(database_.handle(Family::kTails), begin, end);
}

void QueueChunks::DropRows(QueueKey queue, rocksdb::WriteBatch& batch) const {
  const std::string begin = KeyOf(queue);
  batch.DeleteRange(database_.handle(Family::kChunks), begin,
                    KeyOf({queue.topic, queue.queue + 1}));
  batch.Delete(database_.handle(Family::kTails), begin);
}

void QueueChunks::Forget(QueueKey queue) {
  Shard& shard = ShardOf(queue);
  MutexLock lock(shard.mutex);
  auto found = shard.queues.find(queue);
  if (found == shard.queues.end()) return;
  shard.bytes -= found->second->Bytes();
  shard.queues.erase(found);
}

void QueueChunks::ForgetTopic(TopicId topic) {
  for (size_t i = 0; i < kShards; ++i) {
    MutexLock lock(shards_[i].mutex);
    for (auto queue = shards_[i].queues.begin(); queue != shards_[i].queues.end();) {
      auto current = queue++;
      if (current->first.topic != topic) continue;
      shards_[i].bytes -= current->second->Bytes();
      shards_[i].queues.erase(current);
    }
  }
}

}  // namespace dunlin::store
