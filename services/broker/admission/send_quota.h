// The send quota of a topic: what all its producers together may send.

#pragma once

#include <cstdint>

#include "absl/status/status.h"

#include "services/broker/topics/topic_table.h"

namespace dunlin::broker {

// TOO_MANY_REQUESTS, with the time after which to try again (RetryAfterOf), when the topic has had
// as much as it takes; the request counts only when it is taken.
absl::Status TakeFromLimit(const Topic& topic, uint64_t messages, uint64_t bytes);

// Without a quota it costs nothing.
inline absl::Status TakeSendQuota(const Topic& topic, uint64_t messages, uint64_t bytes) {
  return topic.send_limit == nullptr ? absl::OkStatus() : TakeFromLimit(topic, messages, bytes);
}

}  // namespace dunlin::broker
