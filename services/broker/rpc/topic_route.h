// The route of a topic, and the broker that it names, as dunlin.nameservice.v1 tells them.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "proto/dunlin/nameservice/v1/routes.pb.h"
#include "services/broker/rpc/route_source.h"
#include "services/broker/rpc/service_context.h"
#include "services/broker/topics/topic_table.h"

namespace dunlin::broker {

// Of a topic that there is, or that there is not (null).
nameservice::v1::Route RouteOf(const ServiceContext& services, std::string_view qualified_name,
                               const Topic* topic);

// This broker; `endpoints` are those the client says it used, or empty.
nameservice::v1::BrokerGroup BrokerGroupOf(const ServiceContext& services,
                                           const apache::rocketmq::v2::Endpoints& endpoints);

// The broker's own topics and itself.
class BrokerRoutes final : public RouteSource {
 public:
  explicit BrokerRoutes(const ServiceContext& services) : services_(services) {}

  std::optional<nameservice::v1::Route> FindRoute(const RouteViewer& viewer,
                                                  std::string_view qualified_name) override;
  nameservice::v1::BrokerGroup FindGroup(const RouteViewer& viewer, std::string_view name) override;
  std::vector<std::string> FirstGroups() override;
  TopicWatchers& topic_watchers() override { return services_.topics.watchers(); }
  TopicWatchers& group_watchers() override { return nobody_; }
  const AccessControl& access() const override { return services_.access; }

 private:
  const ServiceContext& services_;
  TopicWatchers nobody_{1'000'000};  // what they would be told of never happens
};

}  // namespace dunlin::broker
