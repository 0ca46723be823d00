// QueryRoute and QueryAssignment: where the queues of a topic are.

#pragma once

#include "absl/status/status.h"

#include "proto/apache/rocketmq/v2/service.pb.h"
#include "services/broker/rpc/call_context.h"
#include "services/broker/rpc/service_context.h"
#include "services/broker/topics/topic_table.h"

namespace dunlin::broker {

// One READ, WRITE, READ_WRITE or NONE queue after the other, ids from 0; never to be written at a
// slave.
void FillRoute(const ServiceContext& services, const Topic& topic,
               const apache::rocketmq::v2::QueryRouteRequest& request,
               apache::rocketmq::v2::QueryRouteResponse& response);

// One assignment per broker with queue id -1 ("any queue"), or one per queue for ordered groups.
// There is no exclusive assignment: leases decide. Errors: ILLEGAL_TOPIC, ILLEGAL_CONSUMER_GROUP,
// TOPIC_NOT_FOUND, FORBIDDEN, ILLEGAL_ACCESS_POINT.
absl::Status FillAssignments(const ServiceContext& services, const CallContext& call,
                             const apache::rocketmq::v2::QueryAssignmentRequest& request,
                             apache::rocketmq::v2::QueryAssignmentResponse& response);

// The same for the other brokers of a route that a name service told, and what it lets clients do
// with this one: added to FillAssignments, so that all brokers of the route answer alike. Clients
// take an answer that differs for a change of who serves what. At a slave the answer is the name
// service's alone: its own group may have a master.
void AddAssignments(const ServiceContext& services,
                    const apache::rocketmq::v2::QueryRouteResponse& route,
                    const apache::rocketmq::v2::QueryAssignmentRequest& request,
                    apache::rocketmq::v2::QueryAssignmentResponse& response);

// How name services are to be told that somebody has reached the cluster by `endpoints`: empty,
// when their port is one that this broker knows to be inside.
apache::rocketmq::v2::Endpoints ReachedFromOutside(
    const ServiceContext& services, const apache::rocketmq::v2::Endpoints& endpoints);

// This broker as a member of its group. `asked` are the endpoints that the client says it used, or
// empty: it gets them back, so that address translation and port mappings just work, unless they
// are a name service's, or it is outside and the broker has an external address. A client names its
// access point to whomever it asks.
void FillBroker(const ServiceContext& services, const apache::rocketmq::v2::Endpoints& asked,
                apache::rocketmq::v2::Broker& broker);

}  // namespace dunlin::broker
