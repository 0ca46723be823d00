// Limits of what consumers ask for. Pure.

#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"

namespace dunlin::broker {

// How long a received message is to be hidden from others, of ReceiveMessage without auto_renew.
// Error: ILLEGAL_INVISIBLE_TIME.
absl::Status CheckReceiveInvisible(std::chrono::milliseconds invisible, uint32_t min_ms,
                                   uint32_t max_ms);

// The same of ChangeInvisibleDuration: 0, visible at once, is fine. Error: ILLEGAL_INVISIBLE_TIME.
absl::Status CheckChangedInvisible(std::chrono::milliseconds invisible, uint32_t max_ms);

// How many messages a consumer asks for; more than the broker gives at once is no error. Error:
// BAD_REQUEST below 1.
absl::Status CheckBatchSize(int32_t wish);

// What names a call so that it can be repeated; kept while its messages are in flight. Error:
// BAD_REQUEST beyond 255 bytes.
absl::Status CheckAttemptId(std::string_view attempt_id);

}  // namespace dunlin::broker
