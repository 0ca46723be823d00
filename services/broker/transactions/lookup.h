// TransactionLookup: finds transactions that the index may not know yet, and takes those in hand
// that somebody else may have in hand just now.
//
// Who asks waits for the dispatcher, 2 s at most, and keeps no thread meanwhile. One thread
// (`transaction-end`) reads the disk for all of them; who waits holds up nobody who does not.

#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "services/base/mutex.h"
#include "services/base/strong_int.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/index/transaction.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {

class TransactionLookup {
 public:
  // Starts the thread. `capacity`: how many may wait. The log and the dispatcher must outlive the
  // object.
  TransactionLookup(const store::CommitLog& log, store::Dispatcher& dispatcher, size_t capacity);
  ~TransactionLookup();

  // Told once: at once, or on the thread, which others need too: it must not wait for a disk's
  // flush. Errors: INVALID_TRANSACTION_ID (there is no such transaction, or it ended long ago),
  // TOO_MANY_REQUESTS (the index is behind, or too many wait; again later), UNAVAILABLE (the broker
  // stops), those of the index.
  using Found = absl::StatusOr<store::Transaction>;
  using Then = absl::AnyInvocable<void(Found)>;

  // As it is now.
  void Find(LogOffset id, Then then) ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes it when it is open (store/index/transaction_index.h).
  void Take(LogOffset id, Then then) ABSL_LOCKS_EXCLUDED(mutex_);
  // Nothing was appended for one that was taken.
  void GiveBack(const store::Transaction& transaction);

  // Those who wait are told. Idempotent.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Request {
    LogOffset id;
    bool take = false;
    std::chrono::steady_clock::time_point deadline;
    Then then;
  };

  void Ask(LogOffset id, bool take, Then then) ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes the request unless it is refused; whether the thread may sleep until the dispatcher
  // moves.
  absl::StatusOr<bool> Enter(Request& request) ABSL_LOCKS_EXCLUDED(mutex_);
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  // nullopt: it has to wait.
  std::optional<Found> Look(const Request& request, LogOffset dispatched);
  // Answers those that need not wait, and takes them out.
  void LookForAll(std::vector<Request>& waiting, LogOffset dispatched) ABSL_LOCKS_EXCLUDED(mutex_);

  const store::CommitLog& log_;
  store::Dispatcher& dispatcher_;
  const size_t capacity_;

  Mutex mutex_;
  CondVar asked_;
  std::vector<Request> new_ ABSL_GUARDED_BY(mutex_);
  size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;  // with the thread
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dunlin::broker
