// Relocation: messages that something further on still needs, appended again before retention lets
// the log go that they stand in.
//
// Errors of the log or the view end a round; what was moved stays moved, the next one goes on.

#pragma once

#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/storage/v1/storage.pb.h"
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

  // Messages below `begin` to which a DELIVERY record at or behind it leads. On the dispatcher's
  // thread.
  absl::Status MovePointed(LogOffset begin);

  // Messages below `begin` that are the newest of their key in a compacted topic. On the
  // dispatcher's thread.
  absl::Status MoveKept(LogOffset begin);

  // Messages below `begin` that wait for their due time. True when there are more of them, or
  // some are in other hands: wait for what was appended and call again. Not on the dispatcher's
  // thread.
  absl::StatusOr<bool> MoveParked(LogOffset begin);
  // The same for half messages whose transaction is open.
  absl::StatusOr<bool> MoveOpen(LogOffset begin);

 private:
  // Appends the message behind a DELIVERY record again, in that record's place.
  absl::Status MoveOne(LogOffset delivery_at);
  absl::Status MoveTimer(const Timer& timer);
  absl::Status MoveKeptOf(QueueKey queue, LogOffset begin);
  absl::Status MoveKeptOne(QueueKey queue, QueueOffset offset, const IndexEntry& entry);
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
};

}  // namespace dunlin::store
