// Payloads of the records that say what has become of a half message.

#pragma once

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/clock.h"
#include "services/store/index/transaction.h"

namespace dunlin::broker {

// Of a RESOLUTION; `half` as it was taken.
inline storage::v1::Delivery ResolutionOf(const store::Transaction& half, bool commit) {
  storage::v1::Delivery resolution;
  resolution.set_origin_log_offset(half.place.value());
  if (half.id != half.place) resolution.set_timer_id(half.id.value());
  if (half.next_check.has_value()) resolution.set_due_ms(ToUnixMillis(*half.next_check));
  if (commit) {
    resolution.set_tag_hash(half.tag_hash);
  } else {
    resolution.set_origin_topic_id(half.queue.topic.value());
    resolution.set_origin_queue(half.queue.queue);
  }
  return resolution;
}

// Adds to a CHECK: from now on the transaction is as `checked` says.
inline void AddCheck(const store::Transaction& checked, storage::v1::TransactionChecks& checks) {
  storage::v1::TransactionChecks::Check& check = *checks.add_checks();
  check.set_transaction_id(checked.id.value());
  check.set_checks(checked.checks);
  if (checked.next_check.has_value()) check.set_next_ms(ToUnixMillis(*checked.next_check));
}

}  // namespace dunlin::broker
