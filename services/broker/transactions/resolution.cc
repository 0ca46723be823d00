#include "services/broker/transactions/resolution.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/strings.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/transactions/check_policy.h"
#include "services/broker/transactions/records.h"

namespace dunlin::broker {
namespace {

using store::Transaction;
using store::TransactionState;

absl::Status EndedAlready(TransactionState state, bool commit) {
  const bool committed = state == TransactionState::kCommitted;
  if (committed == commit) return absl::OkStatus();
  return PublicError(PublicCode::kPreconditionFailed,
                     committed
                         ? "the transaction was committed: it cannot be rolled back any more"
                         : "the transaction was rolled back: it cannot be committed any more");
}

// Waits for the log, then tells. Deletes itself.
class Teller final : public store::CommitWaiter {
 public:
  explicit Teller(EndingDone done) : done_(std::move(done)) {}

  void OnCommitted(const absl::Status& status) override {
    // A log that failed may have it all the same: the transaction stays taken, as it would be after
    // the restart that follows.
    done_(status.ok()
              ? status
              : PublicError(PublicCode::kMasterPersistenceTimeout, FromAbsl(status.message())));
    delete this;
  }
  void Tell(const absl::Status& status) {
    done_(status);
    delete this;
  }

 private:
  EndingDone done_;
};

// Of a transaction in hand.
void Append(store::CommitLog& log, TransactionLookup& lookup, const Transaction& half,
            const store::NewRecord& record, EndingDone done) {
  std::array<store::Appended, 1> appended;
  auto* const teller = new Teller(std::move(done));
  const absl::Status status = log.Append({&record, 1}, appended, teller, store::CommitBy::kCaller);
  if (status.ok()) return log.CommitHere();  // it may have told already
  lookup.GiveBack(half);
  teller->Tell(absl::IsResourceExhausted(status)
                   ? PublicError(PublicCode::kTooManyRequests, FromAbsl(status.message()))
                   : status);
}

absl::Status NoneOfTopic() {
  return PublicError(PublicCode::kInvalidTransactionId,
                     "the transaction is none of this topic as it is now");
}

void End(store::CommitLog& log, TransactionLookup& lookup, const Transaction& half,
         const Ending& ending, EndingDone done) {
  if (half.state != TransactionState::kOpen) return done(EndedAlready(half.state, ending.commit));
  if (half.queue.topic != ending.topic->id || half.queue.queue >= ending.topic->queues()) {
    lookup.GiveBack(half);
    return done(NoneOfTopic());
  }
  const std::string bytes = ResolutionOf(half, ending.commit).SerializeAsString();
  const std::string_view payload = bytes;
  store::NewRecord record;
  record.kind = store::RecordKind::kResolution;
  record.payload = {&payload, 1};
  if (ending.commit) {
    record.flags = store::kFlagDue;
    record.queue = half.queue;
    record.tail = ending.topic->tails[half.queue.queue].get();
  }
  Append(log, lookup, half, record, std::move(done));
}

void CheckAgain(store::CommitLog& log, TransactionLookup& lookup, const Transaction& half,
                const Rechecking& checking, Timestamp now, EndingDone done) {
  if (half.state != TransactionState::kOpen) {
    return done(PublicError(PublicCode::kPreconditionFailed,
                            half.state == TransactionState::kCommitted
                                ? "the transaction was committed: there is nothing to check"
                                : "the transaction was rolled back: there is nothing to check"));
  }
  if (half.queue.topic != checking.topic->id) {
    lookup.GiveBack(half);
    return done(NoneOfTopic());
  }
  storage::v1::TransactionChecks checks;
  AddCheck(CheckPolicy::Again(half, now), checks);
  const std::string bytes = checks.SerializeAsString();
  const std::string_view payload = bytes;
  store::NewRecord record;
  record.kind = store::RecordKind::kCheck;
  record.payload = {&payload, 1};
  Append(log, lookup, half, record, std::move(done));
}

}  // namespace

void Resolve(store::CommitLog& log, TransactionLookup& lookup, Ending ending, EndingDone done) {
  const LogOffset id = ending.transaction;
  lookup.Take(id, [&log, &lookup, ending = std::move(ending),
                   done = std::move(done)](const absl::StatusOr<Transaction>& half) mutable {
    if (!half.ok()) return done(half.status());
    End(log, lookup, *half, ending, std::move(done));
  });
}

void Recheck(store::CommitLog& log, TransactionLookup& lookup, Rechecking checking, Timestamp now,
             EndingDone done) {
  const LogOffset id = checking.transaction;
  lookup.Take(id, [&log, &lookup, now, checking = std::move(checking),
                   done = std::move(done)](const absl::StatusOr<Transaction>& half) mutable {
    if (!half.ok()) return done(half.status());
    CheckAgain(log, lookup, *half, checking, now, std::move(done));
  });
}

}  // namespace dunlin::broker
