#include "services/broker/admission/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "services/base/status_macros.h"
#include "services/broker/admission/text.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

// Tools of RocketMQ take these for its own.
constexpr std::array<std::string_view, 10> kReservedTopics = {
    "TBW102",
    "SCHEDULE_TOPIC_XXXX",
    "BenchmarkTest",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRACE_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
    "CHECKPOINT_TOPIC",
};
constexpr std::string_view kReservedTopicPrefix = "rmq_sys_";
constexpr std::string_view kReservedGroupPrefix = "CID_RMQ_SYS_";

constexpr bool MayStandInName(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '%' || c == '|';
}

struct NameRule {
  PublicCode code;
  std::string_view what;
  size_t max_size;
};

absl::Status CheckForm(std::string_view name, const NameRule& rule) {
  if (name.empty()) {
    return PublicError(rule.code, fmt::format("the name of the {} is empty; give one of 1 to {} "
                                              "characters",
                                              rule.what, rule.max_size));
  }
  if (name.size() > rule.max_size) {
    return PublicError(rule.code, fmt::format("the name of the {} has {} bytes: {}; at most {} are "
                                              "allowed",
                                              rule.what, name.size(), Quoted(name), rule.max_size));
  }
  if (!std::all_of(name.begin(), name.end(), MayStandInName)) {
    return PublicError(rule.code, fmt::format("the name of the {} has a character that is not "
                                              "allowed: {}; use a-z A-Z 0-9 _ - % |",
                                              rule.what, Quoted(name)));
  }
  return absl::OkStatus();
}

absl::Status Reserved(PublicCode code, std::string_view what, std::string_view name) {
  return PublicError(code, fmt::format("the name of the {} is reserved: {}; choose another one",
                                       what, Quoted(name)));
}

}  // namespace

absl::Status ValidateTopicName(std::string_view name) {
  RETURN_IF_ERROR(CheckForm(name, {PublicCode::kIllegalTopic, "topic", kMaxTopicName}));
  if (name.starts_with(kReservedTopicPrefix) ||
      std::find(kReservedTopics.begin(), kReservedTopics.end(), name) != kReservedTopics.end()) {
    return Reserved(PublicCode::kIllegalTopic, "topic", name);
  }
  return absl::OkStatus();
}

absl::Status ValidateGroupName(std::string_view name) {
  RETURN_IF_ERROR(
      CheckForm(name, {PublicCode::kIllegalConsumerGroup, "consumer group", kMaxGroupName}));
  if (name.starts_with(kReservedGroupPrefix)) {
    return Reserved(PublicCode::kIllegalConsumerGroup, "consumer group", name);
  }
  return absl::OkStatus();
}

absl::Status ValidateNamespace(std::string_view name_space, PublicCode code) {
  if (name_space.empty()) return absl::OkStatus();
  return CheckForm(name_space, {code, "namespace", kMaxNamespace});
}

absl::Status ValidateLiteTopicName(std::string_view name, size_t max_size) {
  return CheckForm(name, {PublicCode::kIllegalLiteTopic, "lightweight topic", max_size});
}

}  // namespace dunlin::broker
