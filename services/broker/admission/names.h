// What topics and consumer groups may be called. Pure.

#pragma once

#include <cstddef>
#include <string_view>

#include "absl/status/status.h"

#include "services/broker/codes/public_code.h"

namespace dunlin::broker {

inline constexpr size_t kMaxTopicName = 127;
inline constexpr size_t kMaxGroupName = 120;
inline constexpr size_t kMaxNamespace = 127;
inline constexpr size_t kMaxLiteTopicName = 64;

// Characters a-z A-Z 0-9 _ - % |, 1 to 127 of them, no name that RocketMQ keeps for itself.
// Error: ILLEGAL_TOPIC.
absl::Status ValidateTopicName(std::string_view name);

// The same characters, 1 to 120, not beginning with CID_RMQ_SYS_. Error: ILLEGAL_CONSUMER_GROUP.
absl::Status ValidateGroupName(std::string_view name);

// The same characters, at most 127; empty is the default namespace. Error: `code`, which is that of
// the name the namespace belongs to.
absl::Status ValidateNamespace(std::string_view name_space, PublicCode code);

// The same characters, 1 to `max_size`. Error: ILLEGAL_LITE_TOPIC.
absl::Status ValidateLiteTopicName(std::string_view name, size_t max_size = kMaxLiteTopicName);

}  // namespace dunlin::broker
