#include "services/broker/rpc/topic_route.h"

#include <cstdint>
#include <string>

#include "services/broker/rpc/resources.h"
#include "services/broker/rpc/route_calls.h"
#include "services/broker/rpc/status_map.h"

namespace dunlin::broker {
namespace {

namespace ns = nameservice::v1;
namespace v2 = apache::rocketmq::v2;

// FNV-1a: of two routes that differ in one number it never makes the same. Not 0, which is "none".
uint64_t Fingerprint(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : bytes) {
    hash ^= static_cast<unsigned char>(byte);
    hash *= 0x100000001b3;
  }
  return hash == 0 ? 1 : hash;
}

// Of everything that a version stands for. The texts of statuses are not part of it: they may
// change with the program. If a later one serialises in another way, its routes are told once more.
uint64_t VersionOf(const ns::Route& route) {
  ns::Route part;
  part.mutable_status()->set_code(route.status().code());
  *part.mutable_queues() = route.queues();
  return Fingerprint(part.SerializeAsString());
}

}  // namespace

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
  route.set_version(VersionOf(route));
  return route;
}

ns::BrokerGroup BrokerGroupOf(const ServiceContext& services, const v2::Endpoints& endpoints) {
  ns::BrokerGroup group;
  group.set_name(services.config.broker_name());
  group.set_epoch(services.log.epoch().value());
  FillBroker(services, endpoints, *group.add_members());
  return group;
}

}  // namespace dunlin::broker
