#include "clients/cli/settings_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <google/protobuf/util/time_util.h>

#include <string_view>
#include <vector>

#include "clients/cli/output.h"

namespace dunlin::cli {
namespace {

using admin::v1::Group;
using admin::v1::Topic;

constexpr double kHourMs = 3'600'000;
// Before names of models in the contract.
constexpr std::string_view kLite = "LITE_";

template <typename Value>
void Add(const char* option, const Value& value, std::string& text) {
  text += fmt::format(" --{} {}", option, value);
}

void AddRate(const admin::v1::Rate& rate, std::string& text) {
  if (rate.has_messages_per_second()) {
    Add("max-messages-per-second", rate.messages_per_second(), text);
  }
  if (rate.has_bytes_per_second()) Add("max-bytes-per-second", rate.bytes_per_second(), text);
}

std::string StartOf(const admin::v1::GroupStart& start) {
  if (start.has_time()) return google::protobuf::util::TimeUtil::ToString(start.time());
  return start.has_last() ? "last" : "first";
}

}  // namespace

std::string OptionsOf(const Topic& settings) {
  std::string text;
  if (settings.queues() > 0) Add("queues", settings.queues(), text);
  std::vector<std::string> kinds;
  for (const int kind : settings.kinds()) {
    kinds.push_back(MessageKind_Name(static_cast<admin::v1::MessageKind>(kind)));
  }
  if (!kinds.empty()) Add("kinds", fmt::format("{}", fmt::join(kinds, ",")), text);
  if (settings.permission() != admin::v1::PERMISSION_UNSPECIFIED) {
    Add("permission", Permission_Name(settings.permission()), text);
  }
  AddRate(settings.send_rate(), text);
  if (settings.has_lite_expiration_minutes()) {
    Add("lite-expiration-minutes", settings.lite_expiration_minutes(), text);
  }
  if (settings.has_description()) Add("description", ShellWord(settings.description()), text);
  const admin::v1::TopicRetention& retention = settings.retention();
  if (retention.has_max_age_ms()) {
    Add("max-age-hours", static_cast<double>(retention.max_age_ms()) / kHourMs, text);
  }
  if (retention.has_max_queue_bytes()) Add("max-queue-bytes", retention.max_queue_bytes(), text);
  if (retention.has_consumed()) Add("delete-consumed", retention.consumed(), text);
  if (settings.has_compacted()) Add("compacted", settings.compacted(), text);
  return text;
}

std::string OptionsOf(const Group& settings) {
  std::string text;
  if (settings.max_attempts() > 0) Add("max-attempts", settings.max_attempts(), text);
  if (!settings.retry_delays_ms().empty()) {
    Add("retry-delays-ms", fmt::format("{}", fmt::join(settings.retry_delays_ms(), ",")), text);
  }
  if (settings.has_exponential()) {
    const admin::v1::ExponentialBackoff& backoff = settings.exponential();
    Add("retry-exponential",
        fmt::format("{},{},{}", backoff.initial_ms(), backoff.max_ms(), backoff.multiplier()),
        text);
  }
  if (settings.delivery_order() != admin::v1::DELIVERY_ORDER_UNSPECIFIED) {
    Add("delivery-order", DeliveryOrder_Name(settings.delivery_order()), text);
  }
  if (settings.has_priority_factor()) Add("priority-factor", settings.priority_factor(), text);
  if (settings.has_start()) Add("start", StartOf(settings.start()), text);
  AddRate(settings.rate(), text);
  if (settings.has_max_in_flight()) Add("max-in-flight", settings.max_in_flight(), text);
  if (!settings.lite_bind_topic().empty()) {
    Add("lite-bind-topic", ShellWord(settings.lite_bind_topic()), text);
  }
  if (settings.lite_model() != admin::v1::LITE_MODEL_UNSPECIFIED) {
    Add("lite-model", LiteModel_Name(settings.lite_model()).substr(kLite.size()), text);
  }
  if (settings.has_description()) Add("description", ShellWord(settings.description()), text);
  return text;
}

}  // namespace dunlin::cli
