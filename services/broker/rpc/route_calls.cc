#include "services/broker/rpc/route_calls.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <memory>
#include <string>

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/resources.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

constexpr int kMaxPort = 65'535;
// Every queue of a route repeats what the client says of the access point.
constexpr int kMaxAddresses = 64;
constexpr size_t kMaxHost = 255;

v2::AddressScheme SchemeOf(const std::string& host) {
  in6_addr address{};
  if (inet_pton(AF_INET, host.c_str(), &address) == 1) return v2::IPv4;
  if (inet_pton(AF_INET6, host.c_str(), &address) == 1) return v2::IPv6;
  return v2::DOMAIN_NAME;
}

}  // namespace

absl::Status CheckEndpoints(const v2::Endpoints& endpoints) {
  if (endpoints.addresses_size() > kMaxAddresses) {
    return PublicError(PublicCode::kIllegalAccessPoint,
                       fmt::format("the access point names {} addresses; at most {} are allowed",
                                   endpoints.addresses_size(), kMaxAddresses));
  }
  for (const v2::Address& address : endpoints.addresses()) {
    if (address.host().size() > kMaxHost) {
      return PublicError(PublicCode::kIllegalAccessPoint,
                         fmt::format("the access point names a host of {} bytes; at most {} are "
                                     "allowed",
                                     address.host().size(), kMaxHost));
    }
    if (address.host().empty() || address.port() < 1 || address.port() > kMaxPort) {
      return PublicError(
          PublicCode::kIllegalAccessPoint,
          fmt::format("the access point names the address \"{}\" port {}; give a host and a port "
                      "from 1 to {}",
                      address.host(), address.port(), kMaxPort));
    }
  }
  if (endpoints.addresses_size() > 0 && endpoints.scheme() == v2::ADDRESS_SCHEME_UNSPECIFIED) {
    return PublicError(PublicCode::kIllegalAccessPoint,
                       "the access point does not say whether its addresses are IPv4, IPv6 or "
                       "domain names");
  }
  return absl::OkStatus();
}

void FillBroker(const ServiceContext& services, const v2::Endpoints& asked, v2::Broker& broker) {
  broker.set_name(services.config.broker_name());
  broker.set_id(0);
  if (asked.addresses_size() > 0) {
    *broker.mutable_endpoints() = asked;
    return;
  }
  v2::Endpoints& endpoints = *broker.mutable_endpoints();
  endpoints.set_scheme(SchemeOf(services.advertised_host));
  v2::Address& address = *endpoints.add_addresses();
  address.set_host(services.advertised_host);
  address.set_port(services.advertised_port);
}

void FillRoute(const ServiceContext& services, const Topic& topic,
               const v2::QueryRouteRequest& request, v2::QueryRouteResponse& response) {
  v2::MessageQueue queue;
  *queue.mutable_topic() = request.topic();
  queue.set_permission(static_cast<v2::Permission>(topic.access));
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
                   FindTopic(services, call, request.topic()));
  RETURN_IF_ERROR(CheckGroupName(call, request.group()));
  if (!topic->readable()) {
    return PublicError(PublicCode::kForbidden,
                       fmt::format("topic {} may not be read from", topic->name));
  }
  const std::shared_ptr<const Group> group =
      services.topics.FindGroup(NamespaceOf(call, request.group()), request.group().name());
  v2::MessageQueue queue;
  *queue.mutable_topic() = request.topic();
  queue.set_permission(static_cast<v2::Permission>(topic->access));
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

}  // namespace dunlin::broker
