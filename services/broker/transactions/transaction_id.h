// TransactionId: what a producer holds of a half message; opaque text outside the broker.

#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/base/strong_int.h"
#include "services/broker/wire/broker_mark.h"

namespace dunlin::broker {

struct TransactionId {
  TopicId topic;
  LogOffset half;                // where the half message was stored first
  uint32_t message_id_hash = 0;  // of the half message
  BrokerMark broker = kNoMark;   // that has the half message

  friend bool operator==(const TransactionId&, const TransactionId&) = default;
};

TransactionId MakeTransactionId(TopicId topic, LogOffset half, std::string_view message_id,
                                BrokerMark broker);

// Text of letters, digits, '-' and '_' only.
std::string Encode(const TransactionId& id);

// INVALID_TRANSACTION_ID (as a PublicError) for anything that Encode did not make.
absl::StatusOr<TransactionId> DecodeTransactionId(std::string_view text);

}  // namespace dunlin::broker
