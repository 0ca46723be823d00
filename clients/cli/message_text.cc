#include "clients/cli/message_text.h"

#include <fmt/format.h>

#include <map>

#include "clients/cli/output.h"

namespace dunlin::cli {

std::string MessageText(const apache::rocketmq::v2::Message& message) {
  const auto& system = message.system_properties();
  std::string text = fmt::format("{} {}/{}@{}", system.message_id(), message.topic().name(),
                                 system.queue_id(), system.queue_offset());
  if (system.delivery_attempt() > 1) text += fmt::format(" attempt={}", system.delivery_attempt());
  if (!system.tag().empty()) text += fmt::format(" tag={}", system.tag());
  if (!system.lite_topic().empty()) text += fmt::format(" lite-topic={}", system.lite_topic());
  for (const std::string& key : system.keys()) text += fmt::format(" key={}", key);
  const std::map<std::string, std::string> properties(message.user_properties().begin(),
                                                      message.user_properties().end());
  for (const auto& [key, value] : properties) text += fmt::format(" {}={}", key, value);
  if (system.has_dead_letter_queue()) {
    text += fmt::format(" dead-letter-of={}", system.dead_letter_queue().topic());
  }
  return text + "\n" + BodyText(message.body()) + "\n";
}

}  // namespace dunlin::cli
