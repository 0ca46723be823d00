// AckMessage, ChangeInvisibleDuration and ForwardMessageToDeadLetterQueue: the end of a lease.

#pragma once

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/service_context.h"

namespace dunlin::broker {

// Fills one entry per entry of the request, in order, whatever happens; none when there are more
// than 1024 (BAD_REQUEST). Overall: the common code, or MULTIPLE_RESULTS. An error when all of them
// are for another broker: nothing is filled, and it is what this one would say of each.
absl::Status AckMessages(ServiceContext& services, const CallContext& call,
                         const apache::rocketmq::v2::AckMessageRequest& request,
                         apache::rocketmq::v2::AckMessageResponse& response);
// Fills the same status in for each. REQUIRES: there are entries.
void RefuseAcks(const absl::Status& status, const apache::rocketmq::v2::AckMessageRequest& request,
                apache::rocketmq::v2::AckMessageResponse& response);

// Fills the new handle in.
absl::Status ChangeInvisible(ServiceContext& services, const CallContext& call,
                             const apache::rocketmq::v2::ChangeInvisibleDurationRequest& request,
                             apache::rocketmq::v2::ChangeInvisibleDurationResponse& response);

// `done` is told exactly once, here or on the executor.
void ForwardToDeadLetters(
    ServiceContext& services, const CallContext& call,
    const apache::rocketmq::v2::ForwardMessageToDeadLetterQueueRequest& request,
    absl::AnyInvocable<void(const absl::Status&)> done);

}  // namespace dunlin::broker
