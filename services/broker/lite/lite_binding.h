// Which groups may consume from which topics: lightweight topics are consumed by groups that are
// bound to their parent, and these consume nothing else. Pure.

#pragma once

#include <string_view>

#include "absl/status/status.h"

#include "services/broker/topics/topic_table.h"

namespace dunlin::broker {

// Errors: ILLEGAL_CONSUMER_GROUP (a bound group on a topic of another kind, or one that is not
// bound on a LITE topic), ILLEGAL_TOPIC (bound to another topic). A bound group may read dead
// letters.
absl::Status CheckBinding(const Group& group, const Topic& topic);

// There is no group of this name; one for the lightweight topics of `topic` is not made at first
// use, since nobody says what it is bound to. ILLEGAL_CONSUMER_GROUP.
absl::Status NoBoundGroup(std::string_view group, const Topic& topic);

// OK when `topic` has lightweight topics. Error: ILLEGAL_TOPIC.
absl::Status CheckIsLite(const Topic& topic);

}  // namespace dunlin::broker
