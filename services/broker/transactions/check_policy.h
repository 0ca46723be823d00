// CheckPolicy: when producers are asked how a transaction ended, and what follows from their not
// having said. Pure.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/store/index/transaction.h"

namespace dunlin::broker {

struct CheckPolicy {
  std::chrono::milliseconds first = std::chrono::seconds(6);  // unless the message says
  std::chrono::milliseconds interval = std::chrono::seconds(30);
  uint32_t max_checks = 15;

  // When a half message that is stored at `now` is checked first. `own`: what the message says.
  Timestamp FirstCheck(Timestamp now, std::optional<std::chrono::milliseconds> own) const {
    return now + (own.has_value() && own->count() > 0 ? *own : first);
  }

  // What to do with a transaction whose check is due.
  bool MayBeChecked(const store::Transaction& due) const { return due.checks < max_checks; }

  // The transaction after a check at `now`.
  store::Transaction Checked(store::Transaction due, Timestamp now) const {
    ++due.checks;
    due.next_check = now + interval;
    return due;
  }
  // After the last check and its interval: no more of them.
  static store::Transaction Parked(store::Transaction due) {
    due.next_check.reset();
    return due;
  }
  // Somebody wants it checked from the beginning.
  static store::Transaction Again(store::Transaction parked, Timestamp now) {
    parked.checks = 0;
    parked.next_check = now;
    return parked;
  }
};

inline CheckPolicy CheckPolicyOf(const config::v1::TransactionConfig& config) {
  CheckPolicy policy;
  policy.first = std::chrono::milliseconds(config.first_check_ms());
  policy.interval = std::chrono::milliseconds(config.check_interval_ms());
  policy.max_checks = config.max_checks();
  return policy;
}

}  // namespace dunlin::broker
