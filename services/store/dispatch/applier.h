// Applier: what each kind of record does to the state and the indexes; without a thread.
//
// Records go in in log order; their effects collect in one RocksDB batch, together with the
// checkpoint that says how far the log has been applied, and count when Commit() returns.

#pragma once

#include <rocksdb/write_batch.h>

#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/strong_int.h"
#include "services/store/index/key_rows.h"
#include "services/store/index/pointer_rows.h"
#include "services/store/index/queue_chunks.h"
#include "services/store/index/timer_rows.h"
#include "services/store/index/transaction_rows.h"
#include "services/store/log/commit_log.h"
#include "services/store/state/database.h"

namespace dunlin::store {

class Applier {
 public:
  // All must outlive the applier. `checkpoint`: where it goes on.
  struct View {
    Database& database;
    QueueChunks& queues;
    KeyRows& keys;
    PointerRows& pointers;
    TimerRows& timers;
    TransactionRows& transactions;
  };
  Applier(CommitLog& log, const View& view, const storage::v1::Checkpoint& checkpoint);

  // While the log is replayed from its start, snapshots count; that it is, is in checkpoints.
  void SetRebuilding(bool rebuilding) { checkpoint_.set_rebuilding(rebuilding); }

  // Errors: DATA_LOSS (the view is damaged), UNIMPLEMENTED (a record of a newer version).
  absl::Status Apply(const RecordView& record);
  // Everything below `end` has been applied; makes it readable.
  absl::Status Commit(LogOffset end);

  // Puts what is only in memory into the batch and starts to write everything out. What is below
  // the committed end must have been flushed.
  absl::Status Checkpoint(LogOffset flushed, bool wait);

  // Bytes put since the last checkpoint.
  uint64_t pending_bytes() const { return pending_bytes_; }
  const storage::v1::Checkpoint& checkpoint() const { return checkpoint_; }
  // Topics that got messages in queues of their own since the last call; and lightweight topics
  // that got some.
  std::vector<TopicId> TakeTopics();
  std::vector<QueueKey> TakeLiteTopics();
  // Topics and groups that were put or deleted since the last call, whether users were, and whether
  // a snapshot has put all of them anew.
  struct Config {
    absl::flat_hash_set<TopicId> topics;
    absl::flat_hash_set<GroupId> groups;
    bool users = false;
    bool all = false;
  };
  Config TakeConfig();

  // Calls `put` with the parts of a snapshot of the state as committed, one after the other, each
  // at most about `max_bytes`. Errors also of `put`.
  absl::Status MakeSnapshot(size_t max_bytes,
                            absl::FunctionRef<absl::Status(std::string_view)> put) const;

 private:
  absl::Status ApplyMessage(const RecordView& record);
  // Into the key index; the hash of the tag.
  uint32_t PutKeys(const RecordView& record);
  absl::Status AddToRun(const RecordHeader& header, uint32_t tag_hash);
  absl::Status PutRun();
  // A queue got some: its topic, or the lightweight topic that it is, has changed.
  void NoteMessages(QueueKey queue);
  // The number is not given to another lightweight topic. They begin anew at 2^31 of them
  // (broker/lite/lite_table.cc); from then on the highest one stands here for good.
  void TakeLiteQueue(uint32_t queue);
  // A message was parked, or prepared; such a one was moved; its time has come; it is recalled.
  absl::Status ApplyWaiting(const RecordView& record);
  absl::Status ApplyMoved(const RecordView& record);
  absl::Status ApplyDue(const RecordView& record);
  absl::Status ApplyRecall(const RecordView& record);
  absl::Status ApplyTrim(const RecordView& record);
  absl::Status ApplyCompaction(const RecordView& record);
  absl::Status ApplyResolution(const RecordView& record);
  absl::Status ApplyChecks(const RecordView& record);
  void PutDelivered();
  absl::Status ApplyDelivery(const RecordView& record, bool state_only);
  absl::Status ApplyProgress(const RecordView& record);
  absl::Status ApplyProducer(const RecordView& record);
  absl::Status ApplyConfig(const RecordView& record, bool state_only);
  absl::Status ApplySnapshot(const RecordView& record);
  absl::Status ApplyStateAgain(LogOffset from, LogOffset to);
  // `gone` are lightweight topics whose tails do not count any more.
  absl::Status PutSnapshotRows(const storage::v1::SnapshotPart& part,
                               const absl::flat_hash_set<QueueKey>& gone);
  // Into the index: the entry and the keys of a dead letter.
  absl::Status IndexDelivery(const RecordView& record, const storage::v1::Delivery& delivery);
  absl::Status EndFlight(const storage::v1::Delivery& delivery);
  absl::Status DropTopic(TopicId topic, bool state_only);
  void PutLiteTopic(const storage::v1::LiteTopic& topic);
  absl::Status DropLiteTopic(const storage::v1::LiteTopicRemoval& removal, bool state_only);
  void DropGroup(GroupId group);
  absl::Status WriteBatch();

  CommitLog& log_;
  Database& database_;
  QueueChunks& queues_;
  KeyRows& keys_;
  PointerRows& pointers_;
  TimerRows& timers_;
  TransactionRows& transactions_;
  storage::v1::Checkpoint checkpoint_;
  rocksdb::WriteBatch batch_;
  uint64_t pending_bytes_ = 0;
  absl::flat_hash_set<TopicId> topics_;
  absl::flat_hash_set<QueueKey> lite_topics_;
  Config config_;
  // Records of one queue in a row, not yet in the index.
  QueueKey run_queue_;
  QueueOffset run_first_;
  std::vector<IndexEntry> run_;
  std::vector<storage::v1::SnapshotPart> parts_;  // of a snapshot not yet complete
  LogOffset first_part_;
};

}  // namespace dunlin::store
