// The route of a topic, and the broker that it names, as dunlin.nameservice.v1 tells them.

#pragma once

#include <string_view>

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "proto/dunlin/nameservice/v1/routes.pb.h"
#include "services/broker/rpc/service_context.h"
#include "services/broker/topics/topic_table.h"

namespace dunlin::broker {

// Of a topic that there is, or that there is not (null).
nameservice::v1::Route RouteOf(const ServiceContext& services, std::string_view qualified_name,
                               const Topic* topic);

// This broker; `endpoints` are those the client says it used, or empty.
nameservice::v1::BrokerGroup BrokerGroupOf(const ServiceContext& services,
                                           const apache::rocketmq::v2::Endpoints& endpoints);

}  // namespace dunlin::broker
