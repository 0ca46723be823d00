// UpdateOffset, GetOffset and QueryOffset: positions of a group and of a queue.

#pragma once

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/service_context.h"

namespace dunlin::broker {

// HA_NOT_AVAILABLE when the queue is said to be one of another broker of the cluster.
absl::Status CheckBroker(const ServiceContext& services,
                         const apache::rocketmq::v2::MessageQueue& queue);

// What CheckBroker says, all of them say, too.

// ILLEGAL_OFFSET outside the queue; unknown groups are made when allowed, so `done` may be told
// later.
void UpdateOffset(ServiceContext& services, const CallContext& call,
                  const apache::rocketmq::v2::UpdateOffsetRequest& request,
                  absl::AnyInvocable<void(const absl::Status&)> done);

// OFFSET_NOT_FOUND when the group never consumed from the queue.
absl::StatusOr<int64_t> GetOffset(ServiceContext& services, const CallContext& call,
                                  const apache::rocketmq::v2::GetOffsetRequest& request);

// BEGINNING, END, or the first message stored at or after TIMESTAMP.
absl::StatusOr<int64_t> QueryOffset(ServiceContext& services, const CallContext& call,
                                    const apache::rocketmq::v2::QueryOffsetRequest& request);

// The queue a request means. Errors: ILLEGAL_TOPIC, TOPIC_NOT_FOUND, BAD_REQUEST (no such queue).
absl::StatusOr<QueueKey> FindQueue(const ServiceContext& services, const CallContext& call,
                                   const apache::rocketmq::v2::MessageQueue& queue);

}  // namespace dunlin::broker
