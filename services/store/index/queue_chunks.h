// QueueChunks: the queue index as it is kept; the writer's face of QueueIndex.
//
// A queue's entries lie in chunks of kChunkEntries, aligned: chunk n holds offsets n *
// kChunkEntries and up. The open chunk of a queue is in memory; full ones go to RocksDB with the
// batch under way, and stay in memory until that is written. At a checkpoint the open chunks that
// changed are put too. An offset whose record was lost to damage has no entry: it reads as one of
// length 0, so that offsets stay dense. docs/formats/queue_chunk.md specifies the bytes.
//
// One writer (the dispatcher), any readers; sharded short locks. A queue's state is read from
// RocksDB at its first use, and may be forgotten again when what others take fills the memory that
// there is for it: enough for a million queues with a few messages each.

#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/mutex.h"
#include "services/store/index/chunk_codec.h"
#include "services/store/index/queue_index.h"
#include "services/store/log/commit_log.h"
#include "services/store/state/database.h"

namespace dunlin::store {

// A row of the tails: the next offset of a queue, and where it begins.
struct QueueTail {
  QueueOffset next;
  QueueOffset min;
  LogOffset min_log_offset;  // of the entry at `min`
};
std::string EncodeTail(const QueueTail& tail);
absl::StatusOr<QueueTail> DecodeTail(std::string_view bytes);

class QueueChunks final : public QueueIndex {
 public:
  static constexpr size_t kMemoryBytes = 256u << 20;

  // Both must outlive the index.
  QueueChunks(Database& database, CommitLog& log, size_t memory_bytes = kMemoryBytes);
  ~QueueChunks() override;

  // QueueIndex
  absl::Status Read(QueueKey queue, QueueOffset from, size_t limit,
                    std::vector<IndexEntry>& entries) const override;
  QueueBounds Bounds(QueueKey queue) const override;
  absl::StatusOr<QueueBounds> FindBounds(QueueKey queue) const override;
  absl::StatusOr<QueueOffset> FindByTime(QueueKey queue, Timestamp time) const override;

  // Adds the entry of `offset`; offsets before it that were never seen read as damaged. One that
  // is there already is replaced. Chunks that are full go into `batch`.
  absl::Status Put(QueueKey queue, QueueOffset offset, const IndexEntry& entry,
                   rocksdb::WriteBatch& batch);
  // The same for entries of offsets in a row.
  absl::Status PutRun(QueueKey queue, QueueOffset first, std::span<const IndexEntry> entries,
                      rocksdb::WriteBatch& batch);
  // Entries before `offset` are not served any more. At most all that there are.
  absl::Status Trim(QueueKey queue, QueueOffset offset, rocksdb::WriteBatch& batch);
  // The entries at these offsets, which ascend, read as gone.
  absl::Status Remove(QueueKey queue, std::span<const QueueOffset> offsets,
                      rocksdb::WriteBatch& batch);
  // The next offset of a queue becomes at least `next` (from a snapshot).
  absl::Status RaiseTail(QueueKey queue, QueueOffset next, rocksdb::WriteBatch& batch);
  // The batch was written: full chunks need not be kept in memory any more.
  void BatchWritten();
  // Puts every open chunk and tail that changed since the last checkpoint.
  void PutOpenChunks(rocksdb::WriteBatch& batch);
  // What PutOpenChunks put was written: queues that are saved may leave memory.
  void CheckpointWritten();
  // Removes a topic: first its rows, and when that batch is written, what is in memory (else a
  // reader in between would bring the rows back into memory).
  void DropRows(TopicId topic, rocksdb::WriteBatch& batch) const;
  void ForgetTopic(TopicId topic);
  // The same of one queue.
  void DropRows(QueueKey queue, rocksdb::WriteBatch& batch) const;
  void Forget(QueueKey queue);

  // Zero for an unknown queue.
  absl::StatusOr<QueueOffset> NextOffset(QueueKey queue) const;
  // Calls `visit` with the next offset of every queue that has entries; with some twice, then the
  // higher one counts. For a start, which knows no queue yet.
  absl::Status VisitTails(absl::FunctionRef<void(QueueKey, QueueOffset)> visit) const;

 private:
  struct Queue;
  struct Shard;
  class Accounting;

  Shard& ShardOf(QueueKey queue) const;
  // Null for a queue without entries, unless `make`. Under the shard's lock.
  absl::StatusOr<Queue*> Find(Shard& shard, QueueKey queue, bool make) const;
  void ForgetSaved(Shard& shard) const;
  absl::StatusOr<std::vector<IndexEntry>> LoadChunk(QueueKey queue, uint64_t chunk) const;
  absl::StatusOr<std::vector<IndexEntry>> ChunkOf(const Queue& state, QueueKey queue,
                                                  uint64_t chunk) const;
  absl::Status AdvanceMin(Queue& state, QueueKey queue) const;
  // From `min` on to the first entry that the log still holds.
  absl::Status SeekMin(Queue& state, QueueKey queue) const;
  absl::Status Replace(Queue& state, QueueKey queue, QueueOffset offset, const IndexEntry& entry,
                       rocksdb::WriteBatch& batch);
  // Makes `offset` the next one.
  void SkipTo(Queue& state, QueueKey queue, QueueOffset offset, rocksdb::WriteBatch& batch);
  // Puts a chunk that is not open any more, and keeps it until the batch is written.
  void PutFull(Queue& state, QueueKey queue, uint64_t chunk, std::vector<IndexEntry> entries,
               rocksdb::WriteBatch& batch);
  void MarkChanged(Queue& state, QueueKey queue);
  void PutChunk(QueueKey queue, uint64_t chunk, const std::vector<IndexEntry>& entries,
                rocksdb::WriteBatch& batch) const;
  void PutTail(QueueKey queue, const Queue& state, rocksdb::WriteBatch& batch) const;

  Database& database_;
  CommitLog& log_;
  const size_t shard_bytes_;  // of memory for each shard
  const std::unique_ptr<Shard[]> shards_;
  std::vector<QueueKey> changed_;    // since the last checkpoint; writer only
  std::vector<QueueKey> with_full_;  // queues that keep full chunks; writer only
};

}  // namespace dunlin::store
