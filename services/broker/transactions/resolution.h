// Ends transactions, each once: a second time changes nothing, and the contrary is refused.

#pragma once

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/strong_int.h"
#include "services/broker/topics/topic_table.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/index/transaction.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {

struct Ending {
  std::shared_ptr<const Topic> topic;  // of the half message
  LogOffset transaction;
  bool commit = false;
};

// Told once, on the calling thread or on one of the log's: it must not block then.
using EndingDone = absl::AnyInvocable<void(const absl::Status&)>;

// OK when the transaction has ended like this, now or before, and that is durable. Reads the disk
// and may wait for the dispatcher, but not for the log's disk: not on an RPC thread. Errors:
// INVALID_TRANSACTION_ID (there is no such transaction, or it ended long ago), PRECONDITION_FAILED
// (it ended the other way), TOO_MANY_REQUESTS (the index is behind, or the log has no room; again
// later), those of the log.
void Resolve(store::CommitLog& log, store::Dispatcher& dispatcher, const Ending& ending,
             EndingDone done);

// A transaction as it is now. Errors and thread as above.
absl::StatusOr<store::Transaction> FindTransaction(const store::CommitLog& log,
                                                   store::Dispatcher& dispatcher, LogOffset id);

// An open transaction is checked again from the beginning, at once. Waits for the log. Errors as
// above; PRECONDITION_FAILED: it has ended.
absl::Status Recheck(store::CommitLog& log, store::Dispatcher& dispatcher, LogOffset id,
                     Timestamp now);

}  // namespace dunlin::broker
