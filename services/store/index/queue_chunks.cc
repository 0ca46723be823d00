#include "services/store/index/queue_chunks.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "services/base/bytes.h"
#include "services/base/crc32c.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"

namespace dunlin::store {
namespace {

constexpr size_t kShards = 64;
// Queues whose state a shard keeps in memory; beyond it those that are saved are forgotten.
constexpr size_t kMaxQueuesPerShard = 4096;
// {log offset u64, length u32, tag hash u32} per entry, then CRC-32C u32 of them.
constexpr size_t kEntrySize = 16;

std::string EncodeChunk(const std::vector<IndexEntry>& entries) {
  std::string bytes(entries.size() * kEntrySize + 4, '\0');
  char* to = bytes.data();
  for (const IndexEntry& entry : entries) {
    StoreLittle(to, entry.log_offset.value());
    StoreLittle(to + 8, entry.length);
    StoreLittle(to + 12, entry.tag_hash);
    to += kEntrySize;
  }
  StoreLittle(to, Crc32c({bytes.data(), entries.size() * kEntrySize}));
  return bytes;
}

absl::StatusOr<std::vector<IndexEntry>> DecodeChunk(std::string_view bytes) {
  if (bytes.size() < 4 || (bytes.size() - 4) % kEntrySize != 0 ||
      bytes.size() > kChunkEntries * kEntrySize + 4 ||
      Crc32c(bytes.substr(0, bytes.size() - 4)) !=
          LoadLittle<uint32_t>(bytes.data() + bytes.size() - 4)) {
    return absl::DataLossError("a chunk of the queue index is damaged");
  }
  std::vector<IndexEntry> entries((bytes.size() - 4) / kEntrySize);
  const char* from = bytes.data();
  for (IndexEntry& entry : entries) {
    entry.log_offset = LogOffset(LoadLittle<uint64_t>(from));
    entry.length = LoadLittle<uint32_t>(from + 8);
    entry.tag_hash = LoadLittle<uint32_t>(from + 12);
    from += kEntrySize;
  }
  return entries;
}

std::string ChunkKey(QueueKey queue, uint64_t chunk) { return KeyOf(queue) + BigEndian(chunk); }

}  // namespace

struct QueueChunks::Queue {
  QueueOffset min;
  LogOffset min_log_offset;  // of the entry at `min`: while the log holds it, `min` is right
  QueueOffset next;
  std::vector<IndexEntry> open;                           // chunk next / kChunkEntries
  std::map<uint64_t, std::vector<IndexEntry>> unwritten;  // full chunks of the batch under way
  bool changed = false;

  uint64_t OpenChunk() const { return next.value() / kChunkEntries; }
};

struct QueueChunks::Shard {
  mutable Mutex mutex;
  absl::flat_hash_map<QueueKey, std::unique_ptr<Queue>> queues;  // guarded by mutex
};

QueueChunks::QueueChunks(Database& database, CommitLog& log)
    : database_(database), log_(log), shards_(std::make_unique<Shard[]>(kShards)) {}
QueueChunks::~QueueChunks() = default;

QueueChunks::Shard& QueueChunks::ShardOf(QueueKey queue) const {
  return shards_[absl::Hash<QueueKey>()(queue) % kShards];
}

absl::StatusOr<std::vector<IndexEntry>> QueueChunks::LoadChunk(QueueKey queue,
                                                               uint64_t chunk) const {
  ASSIGN_OR_RETURN(const std::optional<std::string> row,
                   database_.Get(Family::kChunks, ChunkKey(queue, chunk)));
  if (!row.has_value()) return std::vector<IndexEntry>();
  return DecodeChunk(*row);
}

// A tail is {next u64, min u64, log offset of min u64}.
absl::StatusOr<QueueChunks::Queue*> QueueChunks::Find(Shard& shard, QueueKey queue,
                                                      bool make) const {
  auto found = shard.queues.find(queue);
  if (found != shard.queues.end()) return found->second.get();
  ASSIGN_OR_RETURN(const std::optional<std::string> tail,
                   database_.Get(Family::kTails, KeyOf(queue)));
  if (!tail.has_value() && !make) return nullptr;
  auto state = std::make_unique<Queue>();
  if (tail.has_value()) {
    if (tail->size() != 24) return absl::DataLossError("a queue tail is damaged");
    state->next = QueueOffset(LoadLittle<uint64_t>(tail->data()));
    state->min = QueueOffset(LoadLittle<uint64_t>(tail->data() + 8));
    state->min_log_offset = LogOffset(LoadLittle<uint64_t>(tail->data() + 16));
    ASSIGN_OR_RETURN(state->open, LoadChunk(queue, state->OpenChunk()));
    state->open.resize(state->next.value() % kChunkEntries);
  }
  return shard.queues.emplace(queue, std::move(state)).first->second.get();
}

absl::StatusOr<std::vector<IndexEntry>> QueueChunks::ChunkOf(const Queue& state, QueueKey queue,
                                                             uint64_t chunk) const {
  if (chunk == state.OpenChunk()) return state.open;
  auto unwritten = state.unwritten.find(chunk);
  if (unwritten != state.unwritten.end()) return unwritten->second;
  return LoadChunk(queue, chunk);
}

absl::Status QueueChunks::AdvanceMin(Queue& state, QueueKey queue) const {
  const LogOffset start = log_.start();
  if (state.min == state.next || state.min_log_offset >= start) return absl::OkStatus();
  uint64_t chunk = state.min.value() / kChunkEntries;
  while (state.min < state.next) {
    ASSIGN_OR_RETURN(const std::vector<IndexEntry> entries, ChunkOf(state, queue, chunk));
    for (uint64_t i = state.min.value() % kChunkEntries; i < entries.size(); ++i) {
      if (entries[i].length != 0 && entries[i].log_offset >= start) {
        state.min_log_offset = entries[i].log_offset;
        return absl::OkStatus();
      }
      ++state.min;
      if (state.min == state.next) return absl::OkStatus();
    }
    ++chunk;
    state.min = std::max(state.min, QueueOffset(chunk * kChunkEntries));
    state.min = std::min(state.min, state.next);
  }
  return absl::OkStatus();
}

QueueBounds QueueChunks::Bounds(QueueKey queue) const {
  Shard& shard = ShardOf(queue);
  MutexLock lock(shard.mutex);
  const absl::StatusOr<Queue*> state = Find(shard, queue, /*make=*/false);
  if (!state.ok() || *state == nullptr) return {};
  // An index that cannot be read says so when its entries are read.
  AdvanceMin(**state, queue).IgnoreError();
  return {(*state)->min, (*state)->next};
}

absl::Status QueueChunks::Read(QueueKey queue, QueueOffset from, size_t limit,
                               std::vector<IndexEntry>& entries) const {
  const QueueBounds bounds = Bounds(queue);
  if (from < bounds.min || from > bounds.max) {
    return absl::OutOfRangeError(fmt::format("offset {} is outside the queue, which holds {} to {}",
                                             from.value(), bounds.min.value(), bounds.max.value()));
  }
  const QueueOffset end(std::min(bounds.max.value(), from.value() + limit));
  while (from < end) {
    const uint64_t chunk = from.value() / kChunkEntries;
    absl::StatusOr<std::vector<IndexEntry>> found = std::vector<IndexEntry>();
    bool in_memory = false;
    {
      Shard& shard = ShardOf(queue);
      MutexLock lock(shard.mutex);
      ASSIGN_OR_RETURN(const Queue* const state, Find(shard, queue, /*make=*/false));
      if (state == nullptr) return absl::OkStatus();  // the topic was just deleted
      if (chunk == state->OpenChunk() || state->unwritten.contains(chunk)) {
        found = ChunkOf(*state, queue, chunk);
        in_memory = true;
      }
    }
    if (!in_memory) found = LoadChunk(queue, chunk);  // not under the lock
    RETURN_IF_ERROR(found.status());
    for (uint64_t i = from.value() % kChunkEntries; i < kChunkEntries && from < end; ++i, ++from) {
      entries.push_back(i < found->size() ? (*found)[i] : IndexEntry());
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<QueueOffset> QueueChunks::FindByTime(QueueKey queue, Timestamp time) const {
  const QueueBounds bounds = Bounds(queue);
  uint64_t low = bounds.min.value();
  uint64_t high = bounds.max.value();
  std::vector<IndexEntry> entry;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    entry.clear();
    RETURN_IF_ERROR(Read(queue, QueueOffset(middle), 1, entry));
    const absl::StatusOr<RecordView> record = log_.Read(entry.front().log_offset);
    // A damaged one tells no time: look to its right, where what is left of it is not missed.
    if (record.ok() && record->header().store_time >= time) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return QueueOffset(low);
}

absl::Status QueueChunks::Put(QueueKey queue, QueueOffset offset, const IndexEntry& entry,
                              rocksdb::WriteBatch& batch) {
  Shard& shard = ShardOf(queue);
  MutexLock lock(shard.mutex);
  ASSIGN_OR_RETURN(Queue* const state, Find(shard, queue, /*make=*/true));
  if (!state->changed) {
    state->changed = true;
    changed_.push_back(queue);
  }
  if (offset < state->next) {
    const uint64_t chunk = offset.value() / kChunkEntries;
    ASSIGN_OR_RETURN(std::vector<IndexEntry> entries, ChunkOf(*state, queue, chunk));
    const uint64_t place = offset.value() % kChunkEntries;
    if (entries.size() <= place) entries.resize(place + 1);
    entries[place] = entry;
    if (chunk == state->OpenChunk()) {
      state->open = std::move(entries);
    } else {
      PutChunk(queue, chunk, entries, batch);
      state->unwritten[chunk] = std::move(entries);
      with_full_.push_back(queue);
    }
    return absl::OkStatus();
  }
  if (state->min == state->next) {
    // The first entry that is still there: nothing is missing before it.
    state->min = offset;
    state->min_log_offset = entry.log_offset;
    if (offset.value() / kChunkEntries != state->OpenChunk()) state->open.clear();
    state->next = offset;
    state->open.resize(offset.value() % kChunkEntries);
  }
  while (state->next <= offset) {
    state->open.push_back(state->next == offset ? entry : IndexEntry());
    const uint64_t chunk = state->OpenChunk();
    ++state->next;
    if (state->open.size() < kChunkEntries) continue;
    PutChunk(queue, chunk, state->open, batch);
    state->unwritten[chunk] = std::move(state->open);
    state->open.clear();
    with_full_.push_back(queue);
  }
  return absl::OkStatus();
}

absl::Status QueueChunks::RaiseTail(QueueKey queue, QueueOffset next, rocksdb::WriteBatch& batch) {
  Shard& shard = ShardOf(queue);
  MutexLock lock(shard.mutex);
  ASSIGN_OR_RETURN(Queue* const state, Find(shard, queue, /*make=*/true));
  if (next <= state->next) return absl::OkStatus();
  if (!state->open.empty()) PutChunk(queue, state->OpenChunk(), state->open, batch);
  if (state->min == state->next) state->min = next;
  state->next = next;
  state->open.assign(next.value() % kChunkEntries, IndexEntry());
  if (!state->changed) {
    state->changed = true;
    changed_.push_back(queue);
  }
  return absl::OkStatus();
}

void QueueChunks::CheckpointWritten() {
  for (size_t i = 0; i < kShards; ++i) {
    MutexLock lock(shards_[i].mutex);
    if (shards_[i].queues.size() <= kMaxQueuesPerShard) continue;
    for (auto queue = shards_[i].queues.begin(); queue != shards_[i].queues.end();) {
      auto current = queue++;
      if (!current->second->changed) shards_[i].queues.erase(current);
    }
  }
}

void QueueChunks::BatchWritten() {
  for (QueueKey queue : with_full_) {
    Shard& shard = ShardOf(queue);
    MutexLock lock(shard.mutex);
    auto found = shard.queues.find(queue);
    if (found != shard.queues.end()) found->second->unwritten.clear();
  }
  with_full_.clear();
}

void QueueChunks::PutChunk(QueueKey queue, uint64_t chunk, const std::vector<IndexEntry>& entries,
                           rocksdb::WriteBatch& batch) const {
  batch.Put(database_.handle(Family::kChunks), ChunkKey(queue, chunk), EncodeChunk(entries));
}

void QueueChunks::PutTail(QueueKey queue, const Queue& state, rocksdb::WriteBatch& batch) const {
  std::string tail(24, '\0');
  StoreLittle(tail.data(), state.next.value());
  StoreLittle(tail.data() + 8, state.min.value());
  StoreLittle(tail.data() + 16, state.min_log_offset.value());
  batch.Put(database_.handle(Family::kTails), KeyOf(queue), tail);
}

void QueueChunks::PutOpenChunks(rocksdb::WriteBatch& batch) {
  for (QueueKey queue : changed_) {
    Shard& shard = ShardOf(queue);
    MutexLock lock(shard.mutex);
    auto found = shard.queues.find(queue);
    if (found == shard.queues.end()) continue;
    Queue& state = *found->second;
    state.changed = false;
    if (!state.open.empty()) PutChunk(queue, state.OpenChunk(), state.open, batch);
    PutTail(queue, state, batch);
  }
  changed_.clear();
}

void QueueChunks::DropTopic(TopicId topic, rocksdb::WriteBatch& batch) {
  for (size_t i = 0; i < kShards; ++i) {
    MutexLock lock(shards_[i].mutex);
    for (auto queue = shards_[i].queues.begin(); queue != shards_[i].queues.end();) {
      auto current = queue++;
      if (current->first.topic == topic) shards_[i].queues.erase(current);
    }
  }
  const std::string begin = BigEndian(topic.value());
  const std::string end = BigEndian(topic.value() + 1);
  batch.DeleteRange(database_.handle(Family::kChunks), begin, end);
  batch.DeleteRange(database_.handle(Family::kTails), begin, end);
}

void QueueChunks::Clear() {
  for (size_t i = 0; i < kShards; ++i) {
    MutexLock lock(shards_[i].mutex);
    shards_[i].queues.clear();
  }
  changed_.clear();
  with_full_.clear();
}

}  // namespace dunlin::store
