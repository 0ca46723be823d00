// RecallMessage: a producer takes a delayed message back.

#pragma once

#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/service_context.h"

namespace dunlin::broker {

// `done` gets the id of the message, at once or on the executor. Errors: those of the topic;
// MESSAGE_PROPERTY_CONFLICT_WITH_TYPE (it takes no delayed messages), BAD_REQUEST (no handle of
// this topic), those of Recall (timers/recall.h), TOO_MANY_REQUESTS.
void RecallMessage(ServiceContext& services, const CallContext& call,
                   const apache::rocketmq::v2::RecallMessageRequest& request,
                   absl::AnyInvocable<void(const absl::StatusOr<std::string>&)> done);

}  // namespace dunlin::broker
