// What every call is checked for before anything is looked up: who asks, and whether the names may
// be names.

#pragma once

#include <string_view>

#include "absl/status/status.h"

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "services/broker/rpc/call_context.h"

namespace dunlin::broker {

// The namespace of a resource: its own, or that of the call's header.
std::string_view NamespaceOf(const CallContext& call,
                             const apache::rocketmq::v2::Resource& resource);

// Whether the name of a resource and the namespace it is in may be such. Errors: ILLEGAL_TOPIC,
// ILLEGAL_CONSUMER_GROUP.
absl::Status CheckTopicName(const CallContext& call,
                            const apache::rocketmq::v2::Resource& resource);
absl::Status CheckGroupName(const CallContext& call,
                            const apache::rocketmq::v2::Resource& resource);

// OK when the client said which instance it is; CLIENT_ID_REQUIRED otherwise.
absl::Status CheckClientId(const CallContext& call);
// Also whose it is. Errors: CLIENT_ID_REQUIRED, UNAUTHORIZED.
absl::Status CheckCaller(const CallContext& call);

}  // namespace dunlin::broker
