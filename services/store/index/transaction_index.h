// TransactionIndex: which half messages are open, which are to be checked, and how others ended.
//
// What happens to a transaction happens by a record in the log: RESOLUTION, CHECK, or DELIVERY when
// retention moves it. Who appends it takes the transaction first: then nobody else gets it before
// that record has been applied, or the transaction was given back. So there is at most one
// RESOLUTION for each. Made from the log by the dispatcher; a crash takes nothing of it that the
// log does not bring back, but what was postponed.
//
// Thread-safe; taking and finding may read the disk. One thread takes what is due.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/strong_int.h"
#include "services/store/index/transaction.h"

namespace dunlin::store {

class TransactionIndex {
 public:
  virtual ~TransactionIndex() = default;

  struct Due {
    std::vector<Transaction> transactions;
    // When the next check is due; none: no transaction waits for one that is not in somebody's
    // hands.
    std::optional<Timestamp> next;
    uint64_t seen = 0;  // for Wait
  };
  // Takes transactions whose check is due at `now` or before, at most `limit`. DATA_LOSS: the index
  // is damaged.
  virtual absl::StatusOr<Due> TakeDue(Timestamp now, size_t limit) = 0;

  // Takes one if it is open; else tells how it ended, and nothing is taken. What has ended is
  // remembered until its half message expires. Errors: NOT_FOUND (there never was one, or it is
  // forgotten), ABORTED (it is in somebody's hands: ask again when `dispatched` has moved),
  // DATA_LOSS.
  virtual absl::StatusOr<Transaction> Take(LogOffset id) = 0;
  // The same without taking it.
  virtual absl::StatusOr<Transaction> Find(LogOffset id) const = 0;

  // Nothing was appended for them.
  virtual void GiveBack(std::span<const Transaction> transactions) = 0;
  // Gives it back, not to be taken as due before `until`. Kept in memory only: false when there is
  // no room, and it is still taken.
  virtual bool Postpone(const Transaction& transaction, Timestamp until) = 0;
  // What was postponed is due again.
  virtual void Resume() = 0;

  // Open ones from `from` on in the order of their ids, at most `limit`.
  virtual absl::StatusOr<std::vector<Transaction>> List(LogOffset from, size_t limit) const = 0;

  // Returns when `timeout` has passed, or something has happened since `seen` that could make
  // TakeDue give more.
  virtual void Wait(uint64_t seen, std::chrono::milliseconds timeout) const = 0;
  virtual void Interrupt() const = 0;

  // As of `dispatched`.
  struct Counts {
    uint64_t open = 0;
    uint64_t parked = 0;  // of them
  };
  virtual Counts counts() const = 0;
  virtual uint64_t Open(QueueKey queue) const = 0;
};

}  // namespace dunlin::store
