// Dispatcher: applies the log, in order and once, to the state and the indexes.
//
// One thread per log (`dispatcher`). It follows the log's confirmed watermark, so that nothing is
// indexed, and hence seen, that a crash could take back under the log's flush mode. It owns the
// checkpoint: log flushed first, then RocksDB. Restartable: Recover() replays from the checkpoint,
// or from the start of the log when there is none that fits.

#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/strong_int.h"
#include "services/store/index/key_index.h"
#include "services/store/index/queue_index.h"
#include "services/store/index/timer_index.h"
#include "services/store/index/transaction_index.h"
#include "services/store/log/commit_log.h"
#include "services/store/log/watermark.h"
#include "services/store/state/state_store.h"

namespace dunlin::store {

struct DispatcherOptions {
  // A checkpoint is made when either has passed since the last one and something changed: bounds
  // what a restart has to replay.
  uint64_t checkpoint_bytes = 64u << 20;
  std::chrono::milliseconds checkpoint_interval{3000};
  // Whether TakeChangedConfig is to say anything: somebody calls it.
  bool tell_config = false;
};

class Dispatcher {
 public:
  // Replays what the checkpoint lacks (all of it in the calling thread; progress is logged), then
  // starts the thread. All arguments must outlive the dispatcher.
  static absl::StatusOr<std::unique_ptr<Dispatcher>> Start(const DispatcherOptions& options,
                                                           CommitLog& log, StateStore& state);
  virtual ~Dispatcher() = default;

  virtual const Watermark& dispatched() const = 0;
  virtual const QueueIndex& queues() const = 0;
  virtual const KeyIndex& keys() const = 0;
  virtual TimerIndex& timers() = 0;
  virtual TransactionIndex& transactions() = 0;

  // The DELIVERY or RESOLUTION record by which the message parked or prepared at `parked` came into
  // its queue; nullopt when it has not. For rare questions: reads many rows.
  virtual absl::StatusOr<std::optional<LogOffset>> FindDelivery(LogOffset parked) const = 0;

  // Topics that got messages since the last call (each once). For delivery, after `dispatched`
  // moved. Bounded by the number of topics.
  virtual std::vector<TopicId> TakeChangedTopics() = 0;

  // The same of lightweight topics, which do not count as changes of their parents. Bounded by the
  // number of lightweight topics that come and go between two calls.
  virtual std::vector<QueueKey> TakeChangedLiteTopics() = 0;

  // Topics and groups that were put or deleted since the last call (each once), or all of them, and
  // whether users were; the state store has them as they are now. For tables that follow a log that
  // somebody else writes. Lightweight topics are not among them. Bounded by their number between
  // two calls.
  struct ChangedConfig {
    std::vector<TopicId> topics;
    std::vector<GroupId> groups;
    bool users = false;
    bool all = false;

    bool IsEmpty() const { return topics.empty() && groups.empty() && !users && !all; }
  };
  virtual ChangedConfig TakeChangedConfig() = 0;

  // The queue offset that the next message of `queue` gets, from the index. REQUIRES: nothing is
  // being appended to the queue.
  // DATA_LOSS when the index is damaged there: no number is safe to give out.
  virtual absl::StatusOr<QueueOffset> NextOffset(QueueKey queue) const = 0;
  // The same of every queue that has messages: for the topic table at start. May visit a queue
  // twice; then the higher offset counts. REQUIRES: nothing is being appended.
  virtual absl::Status VisitNextOffsets(
      absl::FunctionRef<void(QueueKey, QueueOffset)> visit) const = 0;

  // The next numbers to give to a topic and a group.
  virtual TopicId next_topic_id() const = 0;
  virtual GroupId next_group_id() const = 0;
  // The number to try first for the next lightweight topic.
  virtual uint32_t next_lite_queue() const = 0;

  // Writes a checkpoint now and returns when it is on disk.
  virtual absl::Status Checkpoint() = 0;

  // Writes the whole state into the log as SNAPSHOT records (at dispatched, on the dispatcher
  // thread) and waits for them.
  virtual absl::Status Snapshot() = 0;

  // The newest complete snapshot in the log.
  struct SnapshotInfo {
    bool exists = false;
    LogOffset as_of;  // it holds the state up to there
  };
  virtual SnapshotInfo snapshot() const = 0;

  // Before retention drops what is below `begin`: messages down there to which a DELIVERY record
  // further on still points are appended again, in that record's place; those that a compacted
  // topic keeps; and those that wait for their due time, or for the end of their transaction. Waits
  // for them, beside the thread, which goes on.
  virtual absl::Status MoveBefore(LogOffset begin) = 0;
  // Appends records that take messages out of the index (TRIM, COMPACTION), and returns when they
  // are applied; between the steps of MoveBefore and DropBefore, which would bring back what it has
  // just read. Errors: those of the log; some of the records may stand in it then. Not on the
  // dispatcher's thread.
  virtual absl::Status Remove(std::span<const NewRecord> records) = 0;
  // Appends DELIVERY records (dead letters, and those that are sent again), and returns when they
  // are durable; between the steps of MoveBefore and DropBefore, which see to it that the messages
  // they lead to can be read for as long as they stand. `oldest`: the first of these messages.
  // NOT_FOUND: it has gone, nothing is appended. Other errors: those of the log; some of the
  // records may stand in it then. Not on the dispatcher's thread.
  virtual absl::Status AppendPointers(std::span<const NewRecord> records, LogOffset oldest) = 0;
  // Drops the log below `begin`, once what has come to lead there since MoveBefore is moved, too.
  // REQUIRES: MoveBefore(begin) was the last such call, and a checkpoint was made since.
  virtual absl::Status DropBefore(LogOffset begin) = 0;

  // The sticky error that stopped the thread, OK while it works.
  virtual absl::Status health() const = 0;

  // Applies what is confirmed, checkpoints, stops the thread. Idempotent. Close the log afterwards.
  virtual absl::Status Stop() = 0;
};

}  // namespace dunlin::store
