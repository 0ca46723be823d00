#include "services/broker/admission/intake.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;

// The hint, whatever was measured: shorter is no relief, longer would leave a broker idle that has
// recovered.
constexpr milliseconds kMinRetry{20};
constexpr milliseconds kMaxRetry{1000};
// Hints grow by up to as much again, in this many steps, so that those who were refused together do
// not come back together.
constexpr uint64_t kSpread = 16;
// One part of so many is closed to streams.
constexpr uint64_t kKeptForCalls = 8;
// What a request takes besides its bytes, however small.
constexpr uint64_t kOverheadBytes = 512;

}  // namespace

Intake::Place& Intake::Place::operator=(Place&& other) noexcept {
  if (this == &other) return *this;
  Leave();
  intake_ = std::exchange(other.intake_, nullptr);
  source_ = other.source_;
  bytes_ = other.bytes_;
  since_ = other.since_;
  return *this;
}

void Intake::Place::Leave() {
  if (intake_ != nullptr) std::exchange(intake_, nullptr)->Leave(*this);
}

Intake::Intake(const Limits& limits, const Clock& clock, Gate gate)
    : limits_(limits),
      clock_(clock),
      gate_(std::move(gate)),
      last_left_(ToUnixMillis(clock.Now())) {}

absl::StatusOr<Intake::Place> Intake::Enter(Source source, uint64_t bytes) {
  if (gate_) RETURN_IF_ERROR(gate_());
  bytes += kOverheadBytes;
  const uint64_t most =
      source == Source::kStream ? limits_.bytes - limits_.bytes / kKeptForCalls : limits_.bytes;
  // Added first and looked at then: two that come together never both take the last place.
  const uint64_t before = bytes_.fetch_add(bytes, std::memory_order_relaxed);
  const uint64_t calls =
      source == Source::kCall ? calls_.fetch_add(1, std::memory_order_relaxed) : 0;
  if (calls < limits_.calls && (before + bytes <= most || before == 0)) {
    return Place(*this, source, bytes, clock_.Now());
  }
  GiveBack(source, bytes);
  return Refusal();
}

void Intake::GiveBack(Source source, uint64_t bytes) {
  bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  if (source == Source::kCall) calls_.fetch_sub(1, std::memory_order_relaxed);
}

void Intake::Leave(const Place& place) {
  const Timestamp now = clock_.Now();
  last_stay_.store((now - place.since_).count(), std::memory_order_relaxed);
  last_left_.store(ToUnixMillis(now), std::memory_order_relaxed);
  GiveBack(place.source_, place.bytes_);
}

absl::Status Intake::Refusal() {
  const uint64_t number = refused_.fetch_add(1, std::memory_order_relaxed);
  // After as long as requests stay, what fills the room now has left. When nobody leaves at all, it
  // lasts at least as long as that has been so.
  const milliseconds stay(last_stay_.load(std::memory_order_relaxed));
  const milliseconds stuck =
      clock_.Now() - FromUnixMillis(last_left_.load(std::memory_order_relaxed));
  const milliseconds base = std::clamp(std::max(stay, stuck), kMinRetry, kMaxRetry);
  const milliseconds wait = base + base * (number % kSpread) / kSpread;
  return WithRetryAfter(
      PublicError(PublicCode::kTooManyRequests,
                  fmt::format("the broker has as much to do as it takes on: {} calls at a time "
                              "(broker.max_pending_calls) or {} MiB (broker.max_pending_bytes); "
                              "try again in {} ms",
                              limits_.calls, limits_.bytes >> 20, wait.count())),
      wait);
}

Intake::Counts Intake::counts() const {
  return {calls_.load(std::memory_order_relaxed), bytes_.load(std::memory_order_relaxed),
          refused_.load(std::memory_order_relaxed)};
}

}  // namespace dunlin::broker
