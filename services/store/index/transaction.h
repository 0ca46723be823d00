// Transaction: a half message, and what has become of it.

#pragma once

#include <cstdint>
#include <optional>

#include "services/base/clock.h"
#include "services/base/strong_int.h"

namespace dunlin::store {

enum class TransactionState : uint8_t {  // numbers are on disk
  kOpen = 0,
  kCommitted = 1,
  kRolledBack = 2,
};

struct Transaction {
  LogOffset id;     // where the half message was stored first; it may have been moved since
  LogOffset place;  // of the record that holds it now
  TransactionState state = TransactionState::kOpen;

  // Of an open one.
  QueueKey queue;  // where it is to be delivered
  uint32_t tag_hash = 0;
  uint32_t checks = 0;                  // made so far
  std::optional<Timestamp> next_check;  // none: it is parked

  friend bool operator==(const Transaction&, const Transaction&) = default;
};

}  // namespace dunlin::store
