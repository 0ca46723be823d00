#include "services/broker/rpc/topic_route.h"

#include <cstdint>
#include <string>

#include "services/broker/rpc/resources.h"
#include "services/broker/rpc/route_calls.h"
#include "services/broker/rpc/status_map.h"
#include "services/nameservice/routes/route_version.h"

namespace dunlin::broker {

namespace ns = nameservice::v1;
namespace v2 = apache::rocketmq::v2;

ns::Route RouteOf(const ServiceContext& services, std::string_view qualified_name,
                  const Topic* topic) {
  const auto [name_space, name] = SplitQualifiedName(qualified_name);
  ns::Route route;
  route.mutable_topic()->set_resource_namespace(std::string(name_space));
  route.mutable_topic()->set_name(std::string(name));
  if (topic == nullptr) {
    *route.mutable_status() = ToWire(NoTopic(name));
  } else {
    *route.mutable_status() = OkOnWire();
    ns::BrokerQueues& queues = *route.add_queues();
    queues.set_broker(services.config.broker_name());
    queues.set_topic_id(topic->id.value());
    queues.set_queues(topic->queues());
    queues.set_write_queues(topic->write_queues);
    queues.set_permission(static_cast<v2::Permission>(topic->access));
    for (int kind = v2::NORMAL; kind <= v2::PRIORITY; ++kind) {
      if (topic->Accepts(kind)) queues.add_accept_message_types(static_cast<v2::MessageType>(kind));
    }
  }
  route.set_version(nameservice::VersionOf(route));
  return route;
}

ns::BrokerGroup BrokerGroupOf(const ServiceContext& services, const v2::Endpoints& endpoints) {
  ns::BrokerGroup group;
  group.set_name(services.config.broker_name());
  group.set_epoch(services.log.epoch().value());
  group.set_read_only(services.read_only);
  FillBroker(services, endpoints, *group.add_members());
  return group;
}

std::optional<ns::Route> BrokerRoutes::FindRoute(const RouteViewer& /*viewer*/,
                                                 std::string_view qualified_name) {
  const auto [name_space, name] = SplitQualifiedName(qualified_name);
  return RouteOf(services_, qualified_name, services_.topics.FindTopic(name_space, name).get());
}

ns::BrokerGroup BrokerRoutes::FindGroup(const RouteViewer& viewer, std::string_view name) {
  if (name == services_.config.broker_name()) return BrokerGroupOf(services_, viewer.endpoints);
  ns::BrokerGroup none;
  none.set_name(std::string(name));
  return none;
}

std::vector<std::string> BrokerRoutes::FirstGroups() { return {services_.config.broker_name()}; }

}  // namespace dunlin::broker
