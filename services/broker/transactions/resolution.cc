#include "services/broker/transactions/resolution.h"

#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/transactions/check_policy.h"
#include "services/broker/transactions/records.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using store::Transaction;
using store::TransactionState;

// How long the index may take to learn of what was just stored, checked or ended.
constexpr milliseconds kPatience{2000};
constexpr milliseconds kStep{20};

absl::Status Unknown() {
  return PublicError(PublicCode::kInvalidTransactionId,
                     "this broker holds no such transaction: it never did, or the transaction "
                     "ended and its message has expired");
}

// Looks with `look` once the index knows of the half message, until nobody else has it in hand.
absl::StatusOr<Transaction> LookFor(const store::CommitLog& log, store::Dispatcher& dispatcher,
                                    LogOffset id,
                                    absl::FunctionRef<absl::StatusOr<Transaction>()> look) {
  if (id >= log.end()) return Unknown();
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  LogOffset seen = dispatcher.dispatched().Get();
  while (std::chrono::steady_clock::now() < deadline) {
    if (seen > id) {
      absl::StatusOr<Transaction> found = look();
      if (absl::IsNotFound(found.status())) return Unknown();
      if (!absl::IsAborted(found.status())) return found;
    }
    seen = dispatcher.dispatched().WaitAbove(seen, kStep);
  }
  return PublicError(PublicCode::kTooManyRequests,
                     "the broker is behind with what was stored; try again later");
}

absl::StatusOr<Transaction> TakeWhenThere(const store::CommitLog& log,
                                          store::Dispatcher& dispatcher, LogOffset id) {
  return LookFor(log, dispatcher, id, [&] { return dispatcher.transactions().Take(id); });
}

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

}  // namespace

absl::StatusOr<Transaction> FindTransaction(const store::CommitLog& log,
                                            store::Dispatcher& dispatcher, LogOffset id) {
  return LookFor(log, dispatcher, id, [&] { return dispatcher.transactions().Find(id); });
}

void Resolve(store::CommitLog& log, store::Dispatcher& dispatcher, const Ending& ending,
             EndingDone done) {
  const absl::StatusOr<Transaction> half = TakeWhenThere(log, dispatcher, ending.transaction);
  if (!half.ok()) return done(half.status());
  if (half->state != TransactionState::kOpen) return done(EndedAlready(half->state, ending.commit));
  const auto give_back = [&] { dispatcher.transactions().GiveBack({&*half, 1}); };
  if (half->queue.topic != ending.topic->id || half->queue.queue >= ending.topic->queues()) {
    give_back();
    return done(Unknown());
  }
  const std::string bytes = ResolutionOf(*half, ending.commit).SerializeAsString();
  const std::string_view payload = bytes;
  store::NewRecord record;
  record.kind = store::RecordKind::kResolution;
  record.payload = {&payload, 1};
  if (ending.commit) {
    record.flags = store::kFlagDue;
    record.queue = half->queue;
    record.tail = ending.topic->tails[half->queue.queue].get();
  }
  std::array<store::Appended, 1> appended;
  auto* const teller = new Teller(std::move(done));
  const absl::Status status = log.Append({&record, 1}, appended, teller, store::CommitBy::kCaller);
  if (status.ok()) return log.CommitHere();  // it may have told already
  give_back();
  teller->Tell(absl::IsResourceExhausted(status)
                   ? PublicError(PublicCode::kTooManyRequests, FromAbsl(status.message()))
                   : status);
}

absl::Status Recheck(store::CommitLog& log, store::Dispatcher& dispatcher, LogOffset id,
                     Timestamp now) {
  ASSIGN_OR_RETURN(const Transaction half, TakeWhenThere(log, dispatcher, id));
  if (half.state != TransactionState::kOpen) {
    return PublicError(PublicCode::kPreconditionFailed,
                       half.state == TransactionState::kCommitted
                           ? "the transaction was committed: there is nothing to check"
                           : "the transaction was rolled back: there is nothing to check");
  }
  storage::v1::TransactionChecks checks;
  AddCheck(CheckPolicy::Again(half, now), checks);
  const std::string bytes = checks.SerializeAsString();
  const std::string_view payload = bytes;
  store::NewRecord record;
  record.kind = store::RecordKind::kCheck;
  record.payload = {&payload, 1};
  const absl::Status appended = log.AppendAndWait(record).status();
  if (absl::IsResourceExhausted(appended)) dispatcher.transactions().GiveBack({&half, 1});
  return appended;
}

}  // namespace dunlin::broker
