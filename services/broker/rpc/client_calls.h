// Heartbeat and NotifyClientTermination: the life of a client.

#pragma once

#include "absl/status/status.h"

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/service_context.h"

namespace dunlin::broker {

// Registers the client if it is new: settings are not needed for anything. Errors:
// CLIENT_ID_REQUIRED, ILLEGAL_CONSUMER_GROUP, UNRECOGNIZED_CLIENT_TYPE, TOO_MANY_REQUESTS.
absl::Status Heartbeat(ServiceContext& services, const CallContext& call,
                       const apache::rocketmq::v2::HeartbeatRequest& request);

// OK for an unknown client too: there is nothing left to do. Its leases end within a second.
absl::Status Terminate(ServiceContext& services, const CallContext& call,
                       const apache::rocketmq::v2::NotifyClientTerminationRequest& request);

}  // namespace dunlin::broker
