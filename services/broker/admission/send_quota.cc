#include "services/broker/admission/send_quota.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <string>

#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

std::string InWords(const Rate& rate) {
  if (rate.bytes == 0) return fmt::format("{} messages a second", rate.messages);
  if (rate.messages == 0) return fmt::format("{} bytes a second", rate.bytes);
  return fmt::format("{} messages and {} bytes a second", rate.messages, rate.bytes);
}

}  // namespace

absl::Status TakeFromLimit(const Topic& topic, uint64_t messages, uint64_t bytes) {
  const std::optional<std::chrono::milliseconds> wait = topic.send_limit->Take(messages, bytes);
  if (!wait.has_value()) return absl::OkStatus();
  return WithRetryAfter(
      PublicError(
          PublicCode::kTooManyRequests,
          fmt::format("topic {} takes {} from all its producers together, and has had them; "
                      "try again in {} ms (`dunlinctl topic update {} --max-messages-per-second "
                      "...` changes that)",
                      topic.name, InWords(topic.send_limit->rate()), wait->count(), topic.name)),
      *wait);
}

}  // namespace dunlin::broker
