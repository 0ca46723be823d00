// QueryRoute and QueryAssignment: where the queues of a topic are.

#pragma once

#include "absl/status/status.h"

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/service_context.h"
#include "services/broker/topics/topic_table.h"

namespace dunlin::broker {

// One READ, WRITE, READ_WRITE or NONE queue after the other, ids from 0. Endpoints are those the
// client says it used, so that address translation and port mappings just work.
void FillRoute(const ServiceContext& services, const Topic& topic,
               const apache::rocketmq::v2::QueryRouteRequest& request,
               apache::rocketmq::v2::QueryRouteResponse& response);

// One assignment per broker with queue id -1 ("any queue"), or one per queue for ordered groups.
// There is no exclusive assignment: leases decide. Errors: ILLEGAL_TOPIC, ILLEGAL_CONSUMER_GROUP,
// TOPIC_NOT_FOUND, FORBIDDEN, ILLEGAL_ACCESS_POINT.
absl::Status FillAssignments(const ServiceContext& services, const CallContext& call,
                             const apache::rocketmq::v2::QueryAssignmentRequest& request,
                             apache::rocketmq::v2::QueryAssignmentResponse& response);

// The same for the other brokers of a route that a name service told. Without one the answer stays
// what this broker knows: its own.
void AddAssignments(const ServiceContext& services, const CallContext& call,
                    const apache::rocketmq::v2::QueryRouteResponse& route,
                    const apache::rocketmq::v2::QueryAssignmentRequest& request,
                    apache::rocketmq::v2::QueryAssignmentResponse& response);

// This broker as a member of its group; `asked` are the endpoints that the client said, or empty.
void FillBroker(const ServiceContext& services, const apache::rocketmq::v2::Endpoints& asked,
                apache::rocketmq::v2::Broker& broker);

}  // namespace dunlin::broker
