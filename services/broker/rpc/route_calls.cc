#include "services/broker/rpc/route_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/registration/external_address.h"
#include "services/broker/rpc/endpoints.h"
#include "services/broker/rpc/resources.h"
#include "services/runtime/host_port.h"

namespace dunlin::broker {

namespace v2 = apache::rocketmq::v2;

namespace {

// How a client has reached us, or another server that it means us by. By the port: the hosts may
// have any name.
enum class Way { kOfBroker, kOfNameService, kUnknown };

Way WayOf(const ServiceContext& services, const v2::Endpoints& endpoints) {
  const std::vector<int32_t>& ports = services.name_service_ports;
  Way way = Way::kUnknown;
  for (const v2::Address& address : endpoints.addresses()) {
    if (address.port() == services.advertised_port) {
      if (way == Way::kUnknown) way = Way::kOfBroker;
    } else if (std::find(ports.begin(), ports.end(), address.port()) != ports.end()) {
      way = Way::kOfNameService;
    }
  }
  return way;
}

// To whoever asks this broker.
Access AccessAt(const ServiceContext& services, const Topic& topic) {
  if (!services.read_only) return topic.access;
  return topic.readable() ? Access::kRead : Access::kNone;
}

}  // namespace

v2::Endpoints ReachedFromOutside(const ServiceContext& services, const v2::Endpoints& endpoints) {
  return WayOf(services, endpoints) == Way::kUnknown ? endpoints : v2::Endpoints();
}

void FillBroker(const ServiceContext& services, const v2::Endpoints& asked, v2::Broker& broker) {
  broker.set_name(services.config.broker_name());
  broker.set_id(0);
  if (asked.addresses_size() > 0) {
    const Way way = WayOf(services, asked);
    if (way == Way::kUnknown) {
      if (const std::optional<HostPort> external = services.external_address.Get(); external) {
        *broker.mutable_endpoints() = EndpointsOf(external->host, external->port);
        return;
      }
    }
    if (way != Way::kOfNameService) {
      *broker.mutable_endpoints() = asked;
      return;
    }
  }
  *broker.mutable_endpoints() = EndpointsOf(services.advertised_host, services.advertised_port);
}

void FillRoute(const ServiceContext& services, const Topic& topic,
               const v2::QueryRouteRequest& request, v2::QueryRouteResponse& response) {
  v2::MessageQueue queue;
  *queue.mutable_topic() = request.topic();
  queue.set_permission(static_cast<v2::Permission>(AccessAt(services, topic)));
  FillBroker(services, request.endpoints(), *queue.mutable_broker());
  for (int kind = v2::NORMAL; kind <= v2::PRIORITY; ++kind) {
    if (topic.Accepts(kind)) queue.add_accept_message_types(static_cast<v2::MessageType>(kind));
  }
  response.mutable_message_queues()->Reserve(static_cast<int>(topic.queues()));
  for (uint32_t id = 0; id < topic.queues(); ++id) {
    v2::MessageQueue& added = *response.add_message_queues();
    added = queue;
    added.set_id(static_cast<int32_t>(id));
    if (id >= topic.write_queues) {
      added.set_permission(
          static_cast<v2::Permission>(topic.readable() ? Access::kRead : Access::kNone));
    }
  }
}

absl::Status FillAssignments(const ServiceContext& services, const CallContext& call,
                             const v2::QueryAssignmentRequest& request,
                             v2::QueryAssignmentResponse& response) {
  RETURN_IF_ERROR(CheckEndpoints(request.endpoints()));
  ASSIGN_OR_RETURN(const std::shared_ptr<const Topic> topic,
                   FindTopic(services, call, request.topic(), kToSub));
  RETURN_IF_ERROR(CheckGroup(services, call, request.group()));
  if (!topic->readable()) {
    return PublicError(PublicCode::kForbidden,
                       fmt::format("topic {} may not be read from", topic->name));
  }
  const std::shared_ptr<const Group> group =
      services.topics.FindGroup(NamespaceOf(call, request.group()), request.group().name());
  v2::MessageQueue queue;
  *queue.mutable_topic() = request.topic();
  queue.set_permission(static_cast<v2::Permission>(AccessAt(services, *topic)));
  FillBroker(services, request.endpoints(), *queue.mutable_broker());
  // A receive of a consumer of lightweight topics gets them from all of its subscriptions.
  if (group == nullptr || !group->fifo || topic->lite()) {
    queue.set_id(-1);
    *response.add_assignments()->mutable_message_queue() = queue;
    return absl::OkStatus();
  }
  for (uint32_t id = 0; id < topic->queues(); ++id) {
    queue.set_id(static_cast<int32_t>(id));
    *response.add_assignments()->mutable_message_queue() = queue;
  }
  return absl::OkStatus();
}

void AddAssignments(const ServiceContext& services, const v2::QueryRouteResponse& route,
                    const v2::QueryAssignmentRequest& request,
                    v2::QueryAssignmentResponse& response) {
  const int own = response.assignments_size();
  const bool any_queue = own > 0 && response.assignments(0).message_queue().id() < 0;
  // A slave knows of no master, its own group's included.
  if (services.read_only) response.clear_assignments();
  for (const v2::MessageQueue& told : route.message_queues()) {
    const bool readable = told.permission() == v2::READ || told.permission() == v2::READ_WRITE;
    if (!readable || (any_queue && told.id() != 0)) continue;
    if (told.broker().name() == services.config.broker_name() && !services.read_only) {
      // The queues of this broker stand in the order of their ids. The group may be read-only.
      if (told.id() >= own) continue;
      response.mutable_assignments(told.id())->mutable_message_queue()->set_permission(
          told.permission());
      continue;
    }
    v2::MessageQueue& queue = *response.add_assignments()->mutable_message_queue();
    *queue.mutable_topic() = request.topic();
    queue.set_id(any_queue ? -1 : told.id());
    queue.set_permission(told.permission());
    *queue.mutable_broker() = told.broker();
  }
  std::stable_sort(response.mutable_assignments()->begin(), response.mutable_assignments()->end(),
                   [](const v2::Assignment& a, const v2::Assignment& b) {
                     return a.message_queue().broker().name() < b.message_queue().broker().name();
                   });
}

}  // namespace dunlin::broker
