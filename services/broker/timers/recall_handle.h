// RecallHandle: what a producer holds of a delayed message; opaque text outside the broker.

#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/base/strong_int.h"
#include "services/store/index/timer.h"

namespace dunlin::broker {

struct RecallHandle {
  TopicId topic;
  store::TimerKey timer;
  std::string message_id;
  // The name of the broker that has the message; empty in handles of old.
  std::string broker;

  friend bool operator==(const RecallHandle&, const RecallHandle&) = default;
};

// Text of letters, digits, '-' and '_' only. The name of a broker with more than 255 bytes is left
// out.
std::string Encode(const RecallHandle& handle);

// BAD_REQUEST (as a PublicError) for anything that Encode did not make.
absl::StatusOr<RecallHandle> DecodeRecallHandle(std::string_view text);

}  // namespace dunlin::broker
