#include "services/broker/lite/lite_binding.h"

#include <fmt/format.h>

#include "services/broker/codes/public_code.h"

namespace dunlin::broker {

absl::Status CheckBinding(const Group& group, const Topic& topic) {
  if (!topic.lite()) {
    if (group.lite_bind_topic.empty() || topic.name.starts_with(kDeadLetterPrefix)) {
      return absl::OkStatus();
    }
    return PublicError(
        PublicCode::kIllegalConsumerGroup,
        fmt::format("group {} consumes the lightweight topics of {}, and topic {} has none; use "
                    "another group",
                    group.name, group.lite_bind_topic, topic.name));
  }
  if (group.lite_bind_topic.empty()) {
    return PublicError(
        PublicCode::kIllegalConsumerGroup,
        fmt::format("topic {} has lightweight topics, and group {} is not bound to it; bind it "
                    "with `dunlinctl group update {} --lite-bind-topic {}`",
                    topic.name, group.name, group.name, topic.name));
  }
  if (group.BoundTo(topic)) return absl::OkStatus();
  return PublicError(
      PublicCode::kIllegalTopic,
      fmt::format("group {} is bound to topic {}; make another group for the lightweight topics of "
                  "{} with `dunlinctl group create NAME --lite-bind-topic {}`",
                  group.name, group.lite_bind_topic, topic.name, topic.name));
}

absl::Status NoBoundGroup(std::string_view group, const Topic& topic) {
  return PublicError(
      PublicCode::kIllegalConsumerGroup,
      fmt::format("there is no consumer group {}; make it, for the lightweight topics of {}, with "
                  "`dunlinctl group create {} --lite-bind-topic {}`",
                  group, topic.name, group, topic.name));
}

absl::Status CheckIsLite(const Topic& topic) {
  if (topic.lite()) return absl::OkStatus();
  return PublicError(
      PublicCode::kIllegalTopic,
      fmt::format("topic {} has no lightweight topics; one that has is made with `dunlinctl topic "
                  "create NAME --kinds LITE`",
                  topic.name));
}

}  // namespace dunlin::broker
