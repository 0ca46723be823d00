// Ends transactions, each once: a second time changes nothing, and the contrary is refused.

#pragma once

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "services/base/clock.h"
#include "services/base/strong_int.h"
#include "services/broker/topics/topic_table.h"
#include "services/broker/transactions/lookup.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {

struct Ending {
  std::shared_ptr<const Topic> topic;  // of the half message
  LogOffset transaction;
  bool commit = false;
};

// Told once, on the calling thread, on the lookup's or on one of the log's: it must not block then.
using EndingDone = absl::AnyInvocable<void(const absl::Status&)>;

// OK when the transaction has ended like this, now or before, and that is durable. Errors: those of
// the lookup; INVALID_TRANSACTION_ID (it is none of this topic), PRECONDITION_FAILED (it ended the
// other way), TOO_MANY_REQUESTS (the log has no room; again later), those of the log. `log` and
// `lookup` must outlive the answer.
void Resolve(store::CommitLog& log, TransactionLookup& lookup, Ending ending, EndingDone done);

// An open transaction is checked again from the beginning, at once. Errors as above;
// PRECONDITION_FAILED: it has ended.
struct Rechecking {
  std::shared_ptr<const Topic> topic;  // of the half message
  LogOffset transaction;
};
void Recheck(store::CommitLog& log, TransactionLookup& lookup, Rechecking checking, Timestamp now,
             EndingDone done);

}  // namespace dunlin::broker
