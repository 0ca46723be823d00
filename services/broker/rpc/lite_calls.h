// SyncLiteSubscription: which lightweight topics a client wants.

#pragma once

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/service_context.h"

namespace dunlin::broker {

// `done` is told exactly once, here or, when the group is to begin at a given place, which may have
// to be looked for on disk, on the executor.
void SyncLiteSubscription(ServiceContext& services, const CallContext& call,
                          const apache::rocketmq::v2::SyncLiteSubscriptionRequest& request,
                          absl::AnyInvocable<void(const absl::Status&)> done);

}  // namespace dunlin::broker
