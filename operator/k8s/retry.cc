#include "operator/k8s/retry.h"

#include <algorithm>
#include <cmath>

namespace dunlin::k8s {
namespace {

constexpr int kUnauthorized = 401;
constexpr int kTooManyRequests = 429;
constexpr int kServerError = 500;
constexpr int kServiceUnavailable = 503;

bool MayAgain(const Attempt& attempt) {
  if (!attempt.end.status.ok()) {
    // TLS that failed fails again, and a time that is up stays up.
    if (attempt.end.status.code() != absl::StatusCode::kUnavailable) return false;
    return !attempt.end.sent || attempt.idempotent;
  }
  const int code = attempt.head.code;
  if (code == kUnauthorized) return attempt.number == 1;
  if (code == kTooManyRequests) return true;
  if (code == kServiceUnavailable && attempt.head.retry_after.has_value()) return true;
  return code >= kServerError && attempt.idempotent;
}

}  // namespace

std::chrono::milliseconds Backoff::DelayAfter(int failures, double jitter) const {
  constexpr int kDoublingsMax = 30;
  const int doublings = std::clamp(failures - 1, 0, kDoublingsMax);
  const int64_t whole = std::min<int64_t>(first.count() << doublings, max.count());
  return std::chrono::milliseconds(
      static_cast<int64_t>(std::llround(static_cast<double>(whole) * (1 - jitter / 2))));
}

std::optional<std::chrono::milliseconds> RetryDelay(const RetryRules& rules, const Attempt& attempt,
                                                    double jitter) {
  if (attempt.number >= rules.attempts_max || !MayAgain(attempt)) return std::nullopt;
  const std::chrono::milliseconds delay = rules.backoff.DelayAfter(attempt.number, jitter);
  if (!attempt.end.status.ok() || !attempt.head.retry_after.has_value()) return delay;
  if (*attempt.head.retry_after > rules.retry_after_max) return std::nullopt;
  return std::max<std::chrono::milliseconds>(delay, *attempt.head.retry_after);
}

}  // namespace dunlin::k8s
