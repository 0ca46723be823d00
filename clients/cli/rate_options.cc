#include "clients/cli/rate_options.h"

#include <fmt/format.h>

namespace dunlin::cli {

void AddRate(CLI::App& command, RateOptions& options, const std::string& whose) {
  command.add_option("--max-messages-per-second", options.messages,
                     fmt::format("Messages that {} together; 0: no limit", whose));
  command.add_option("--max-bytes-per-second", options.bytes,
                     fmt::format("Bytes that {} together; 0: no limit", whose));
}

void FillRate(const RateOptions& options, admin::v1::Rate& rate) {
  if (options.messages.has_value()) rate.set_messages_per_second(*options.messages);
  if (options.bytes.has_value()) rate.set_bytes_per_second(*options.bytes);
}

std::string RateText(const admin::v1::Rate& rate) {
  std::string text;
  if (rate.messages_per_second() > 0) {
    text = fmt::format("{} messages/s", rate.messages_per_second());
  }
  if (rate.bytes_per_second() > 0) {
    text += fmt::format("{}{} bytes/s", text.empty() ? "" : ", ", rate.bytes_per_second());
  }
  return text;
}

}  // namespace dunlin::cli
