#include "services/broker/topics/rate_limit.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;

// The hint: shorter is no relief; longer would keep a producer away when the limit was raised.
constexpr milliseconds kMinRetry{20};
constexpr milliseconds kMaxRetry{10'000};
// Hints grow by up to as much again, in this many steps.
constexpr uint64_t kSpread = 16;

}  // namespace

void RateLimit::Bucket::Fill(double seconds) {
  left_ = std::min(per_second_, left_ + per_second_ * seconds);
}

uint64_t RateLimit::Bucket::left() const {
  if (per_second_ == 0) return std::numeric_limits<uint64_t>::max();
  return left_ < 1 ? 0 : static_cast<uint64_t>(left_);
}

void RateLimit::Bucket::Take(uint64_t amount) {
  if (per_second_ != 0) left_ -= static_cast<double>(amount);
}

RateLimit::RateLimit(const Rate& rate, const Clock& clock)
    : rate_(rate),
      clock_(clock),
      messages_(rate.messages),
      bytes_(rate.bytes),
      filled_(clock.Now()) {}

void RateLimit::Fill() {
  const Timestamp now = clock_.Now();
  if (now <= filled_) return;  // a clock may be set back
  const double seconds = std::chrono::duration<double>(now - filled_).count();
  filled_ = now;
  messages_.Fill(seconds);
  bytes_.Fill(seconds);
}

std::optional<milliseconds> RateLimit::Take(uint64_t messages, uint64_t bytes) {
  MutexLock lock(mutex_);
  Fill();
  if (messages_.IsOpen() && bytes_.IsOpen()) {
    messages_.Take(messages);
    bytes_.Take(bytes);
    refused_ = 0;
    return std::nullopt;
  }
  const double seconds = std::max(messages_.SecondsUntilOpen(), bytes_.SecondsUntilOpen());
  const double capped = std::min(std::ceil(seconds * 1000), static_cast<double>(kMaxRetry.count()));
  const milliseconds base = std::max(milliseconds(static_cast<int64_t>(capped)), kMinRetry);
  return base + base * (refused_++ % kSpread) / kSpread;
}

RateLimit::Left RateLimit::Now() {
  MutexLock lock(mutex_);
  Fill();
  if (!messages_.IsOpen() || !bytes_.IsOpen()) return {0, 0};
  return {messages_.left(), bytes_.left()};
}

void RateLimit::Charge(uint64_t messages, uint64_t bytes) {
  MutexLock lock(mutex_);
  Fill();
  messages_.Take(messages);
  bytes_.Take(bytes);
}

std::shared_ptr<RateLimit> LimitOf(const Rate& rate, std::shared_ptr<RateLimit> old,
                                   const Clock& clock) {
  if (rate.IsNone()) return nullptr;
  if (old != nullptr && old->rate() == rate) return old;
  return std::make_shared<RateLimit>(rate, clock);
}

}  // namespace dunlin::broker
