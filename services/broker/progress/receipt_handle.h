// ReceiptHandle: what a consumer holds of a lease; opaque text outside the broker.

#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/strong_int.h"
#include "services/broker/wire/broker_mark.h"

namespace dunlin::broker {

struct ReceiptHandle {
  GroupId group;
  QueueKey queue;
  QueueOffset offset;
  uint64_t lease_id = 0;    // of one delivery to one consumer; a new one with each change of terms
  uint32_t attempt = 0;     // which delivery this is, 1 for the first
  Timestamp visible_at;     // when the lease ends unless it is renewed
  bool auto_renew = false;  // the server keeps the lease alive: the handle outlives `visible_at`
  BrokerMark broker = kNoMark;  // that has the message

  friend bool operator==(const ReceiptHandle&, const ReceiptHandle&) = default;
};

// Text of letters, digits, '-' and '_' only, less than 128 bytes.
std::string Encode(const ReceiptHandle& handle);

// INVALID_RECEIPT_HANDLE (as a PublicError) for anything that Encode did not make.
absl::StatusOr<ReceiptHandle> DecodeReceiptHandle(std::string_view text);

}  // namespace dunlin::broker
