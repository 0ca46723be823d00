#include "services/broker/access/refusal_log.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <limits>
#include <string>

#include "services/base/log.h"
#include "services/broker/admission/text.h"

namespace dunlin::broker {
namespace {

constexpr int64_t kIntervalNs = std::chrono::nanoseconds(std::chrono::seconds(1)).count();

}  // namespace

RefusalLog& RefusalLog::Get(size_t reason) {
  static std::array<RefusalLog, kReasons> logs;
  return logs.at(reason);
}

void RefusalLog::Add(std::string_view reason, std::string_view user, const IpAddress& from,
                     std::string_view what) {
  const int64_t now =
      std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  int64_t next = next_ns_.load(std::memory_order_relaxed);
  if (now < next || !next_ns_.compare_exchange_strong(next, now + kIntervalNs)) {
    left_out_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const uint64_t left_out = left_out_.exchange(0, std::memory_order_relaxed);
  log::Warning(
      "access refused ({}): user {} from {}{}{}{}", reason, Quoted(user), from.Text(),
      what.empty() ? "" : ": ", what,
      left_out == 0 ? std::string() : fmt::format("; {} more since the last such line", left_out));
}

}  // namespace dunlin::broker
