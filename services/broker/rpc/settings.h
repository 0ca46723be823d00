// What a client announces with its settings, and what the server answers. Pure.
//
// The client's own settings are echoed, since SDKs compare what comes back with what they sent; the
// server's values are put on top.

#pragma once

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "proto/dunlin/config/v1/config.pb.h"
#include "services/broker/topics/topic_table.h"

namespace dunlin::broker {

// The backoff of `group` as clients get it. `language` is x-mq-language: Node.js ("HTTP") knows
// only exponential backoff.
apache::rocketmq::v2::RetryPolicy RetryPolicyOf(const Group& group, std::string_view language);

// The group that is made when a consumer of an unknown group turns up.
Group DefaultGroup(const config::v1::BrokerConfig& config, std::string_view name_space,
                   std::string_view name);

// The answer to `sent`; `group` is that of a consumer (its defaults when it does not exist yet).
// Errors: INVALID_ARGUMENT when neither publishing nor subscription is set.
absl::StatusOr<apache::rocketmq::v2::Settings> MergeSettings(
    const apache::rocketmq::v2::Settings& sent, const Group* group,
    const config::v1::BrokerConfig& config, std::string_view language);

}  // namespace dunlin::broker
