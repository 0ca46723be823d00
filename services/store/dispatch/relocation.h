// Relocation: messages that something further on still needs, appended again before retention lets
// the log go that they stand in.
//
// Runs beside the dispatcher, not on its thread: what is sent meanwhile is applied meanwhile. A
// record that moves a message is decided by what the index says, and puts its entry there when it
// is applied. So nothing that takes entries away (TRIM, COMPACTION) may come into the log between
// the two: such records are appended, and applied, under the lock that each step here holds. Else a
// message that was taken away would come back, in the view and in every rebuild of it. The same
// lock keeps dead letters from being made between the last look for them and the end of the old
// log.
//
// Errors of the log or the view end a round; what was moved stays moved, the next one goes on.

#pragma once

#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/mutex.h"
#include "services/base/strong_int.h"
#include "services/store/index/pointer_rows.h"
#include "services/store/index/queue_chunks.h"
#include "services/store/index/timer_rows.h"
#include "services/store/index/transaction_rows.h"
#include "services/store/log/commit_log.h"
#include "services/store/state/database.h"

namespace dunlin::store {

class Relocation {
 public:
  // All must outlive the object.
  Relocation(CommitLog& log, Database& database, QueueChunks& queues, PointerRows& pointers,
             TimerRows& timers, TransactionRows& transactions)
      : log_(log),
        database_(database),
        queues_(queues),
        pointers_(pointers),
        timers_(timers),
        transactions_(transactions) {}

  // Whoever takes entries away holds it from before the record is appended until it is applied, and
  // who appends a record that leads to another one meanwhile.
  Mutex& removal() ABSL_LOCK_RETURNED(removal_) { return removal_; }

  // Messages below `begin` to which a DELIVERY record at or behind it leads. True when there were
  // some: more may have come meanwhile; wait for what was appended and call again. REQUIRES: what
  // was appended for MoveParked and MoveOpen is applied.
  absl::StatusOr<bool> MovePointed(LogOffset begin) ABSL_LOCKS_EXCLUDED(removal_);
  // The same in one step, of the records at or behind `since`; nothing else is appended meanwhile.
  absl::StatusOr<bool> MovePointedSince(LogOffset since, LogOffset begin)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(removal_);

  // Messages below `begin` that are the newest of their key in a compacted topic. REQUIRES: what is
  // below `begin` is applied.
  absl::Status MoveKept(LogOffset begin) ABSL_LOCKS_EXCLUDED(removal_);

  // Messages below `begin` that wait for their due time. True when there are more of them, or
  // some are in other hands: wait for what was appended and call again.
  absl::StatusOr<bool> MoveParked(LogOffset begin);
  // The same for half messages whose transaction is open.
  absl::StatusOr<bool> MoveOpen(LogOffset begin);

 private:
  // As many as one step takes; `next` becomes where to go on. True: it moved some.
  absl::StatusOr<bool> MovePointedStep(const std::vector<Pointer>& pointing, size_t& next)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(removal_);
  // Appends the message behind a DELIVERY record again, in that record's place. False: it need not.
  absl::StatusOr<bool> MoveOne(LogOffset delivery_at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(removal_);
  absl::Status MoveTimer(const Timer& timer);
  absl::Status MoveKeptOf(QueueKey queue, LogOffset begin) ABSL_LOCKS_EXCLUDED(removal_);
  // Some of [from, to); `from` becomes where to go on.
  absl::Status MoveKeptStep(QueueKey queue, LogOffset begin, QueueOffset to, QueueOffset& from)
      ABSL_LOCKS_EXCLUDED(removal_);
  absl::Status MoveKeptOne(QueueKey queue, QueueOffset offset, const IndexEntry& entry)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(removal_);
  // Logs that a message cannot be moved because it is damaged, or gone: `moved` is OK then.
  absl::Status PassOverLost(absl::Status moved) const;
  absl::Status EndLost(const Timer& timer);
  absl::Status MoveHalf(const Transaction& half);
  absl::Status RollBackLost(const Transaction& half);
  absl::Status Embed(LogOffset origin_at, storage::v1::Delivery& delivery);
  // Waits for the disk when too much waits for it already.
  absl::Status Append(NewRecord record, std::string_view payload);

  CommitLog& log_;
  Database& database_;
  QueueChunks& queues_;
  PointerRows& pointers_;
  TimerRows& timers_;
  TransactionRows& transactions_;
  Mutex removal_;
};

}  // namespace dunlin::store
