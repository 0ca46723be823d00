#include "services/broker/admission/receive_rules.h"

#include <fmt/format.h>

#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

constexpr size_t kMaxAttemptIdBytes = 255;

// Client suites look for these words.
absl::Status TooSmall(std::chrono::milliseconds invisible, uint32_t min_ms) {
  return PublicError(PublicCode::kIllegalInvisibleTime,
                     fmt::format("the invisibleTime is too small: {} ms; at least {} ms is needed",
                                 invisible.count(), min_ms));
}

absl::Status TooLarge(std::chrono::milliseconds invisible, uint32_t max_ms) {
  return PublicError(PublicCode::kIllegalInvisibleTime,
                     fmt::format("the invisibleTime is too large: {} ms; at most {} ms is allowed",
                                 invisible.count(), max_ms));
}

}  // namespace

absl::Status CheckReceiveInvisible(std::chrono::milliseconds invisible, uint32_t min_ms,
                                   uint32_t max_ms) {
  if (invisible.count() < int64_t{min_ms}) return TooSmall(invisible, min_ms);
  if (invisible.count() > int64_t{max_ms}) return TooLarge(invisible, max_ms);
  return absl::OkStatus();
}

absl::Status CheckChangedInvisible(std::chrono::milliseconds invisible, uint32_t max_ms) {
  return CheckReceiveInvisible(invisible, 0, max_ms);
}

absl::Status CheckBatchSize(int32_t wish) {
  if (wish >= 1) return absl::OkStatus();
  return PublicError(PublicCode::kBadRequest,
                     fmt::format("batch_size is {}; ask for at least one message", wish));
}

absl::Status CheckAttemptId(std::string_view attempt_id) {
  if (attempt_id.size() <= kMaxAttemptIdBytes) return absl::OkStatus();
  return PublicError(PublicCode::kBadRequest,
                     fmt::format("the attempt_id has {} bytes; at most {} are allowed, a UUID does",
                                 attempt_id.size(), kMaxAttemptIdBytes));
}

}  // namespace dunlin::broker
