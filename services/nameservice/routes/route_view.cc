// What RouteTable answers.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/nameservice/routes/group.h"
#include "services/nameservice/routes/route_table.h"
#include "services/nameservice/routes/route_version.h"

namespace dunlin::nameservice {
namespace {

namespace v2 = apache::rocketmq::v2;

constexpr uint32_t kUsualPage = 100;
constexpr uint32_t kLargestPage = 1000;
// Pairs of a topic and a group that one page looks at: nothing else happens meanwhile.
constexpr size_t kMostLookedAt = 10'000;

uint32_t PageSize(uint32_t asked) {
  return asked == 0 ? kUsualPage : std::min(asked, kLargestPage);
}

// Kinds that the contract has: 1 to 6, and those to come.
template <typename Message>
void FillKinds(uint8_t kinds, Message& message) {
  for (int kind = 1; kind < 8; ++kind) {
    if ((kinds & (1 << kind)) != 0) {
      message.add_accept_message_types(static_cast<v2::MessageType>(kind));
    }
  }
}

void FillResource(std::string_view qualified_name, v2::Resource& resource) {
  const size_t slash = qualified_name.find('/');
  if (slash != std::string_view::npos) {
    resource.set_resource_namespace(std::string(qualified_name.substr(0, slash)));
    qualified_name.remove_prefix(slash + 1);
  }
  resource.set_name(std::string(qualified_name));
}

}  // namespace

bool RouteTable::InZone(const Group& group, std::string_view zone) {
  if (zone.empty()) return true;
  const std::optional<std::string> told_in = group.zone();
  return !told_in.has_value() || *told_in == zone;
}

v1::Route RouteTable::RouteOf(const Topic& topic, std::string_view zone) const {
  v1::Route route;
  FillResource(topic.name, *route.mutable_topic());
  for (const Queues& held : topic.queues) {
    if (held.group->members.empty() || !InZone(*held.group, zone)) continue;
    v1::BrokerQueues& queues = *route.add_queues();
    queues.set_broker(held.group->name);
    queues.set_topic_id(held.topic_id);
    queues.set_queues(held.queues);
    queues.set_write_queues(held.write_queues);
    queues.set_permission(static_cast<v2::Permission>(held.permission));
    FillKinds(held.kinds, queues);
  }
  route.mutable_status()->set_code(route.queues_size() > 0 ? v2::OK : v2::TOPIC_NOT_FOUND);
  route.set_version(VersionOf(route));
  return route;
}

v1::Route RouteTable::FindRoute(std::string_view qualified_name, std::string_view zone) const {
  const auto topic = topics_.find(qualified_name);
  if (topic != topics_.end()) return RouteOf(*topic->second, zone);
  v1::Route route;
  FillResource(qualified_name, *route.mutable_topic());
  route.mutable_status()->set_code(v2::TOPIC_NOT_FOUND);
  route.set_version(VersionOf(route));
  return route;
}

bool RouteTable::IsOutside(const v2::Endpoints& reached) const {
  const auto& addresses = reached.addresses();
  return !addresses.empty() &&
         std::none_of(addresses.begin(), addresses.end(), [this](const v2::Address& address) {
           return inside_ports_.contains(address.port());
         });
}

v1::BrokerGroup RouteTable::FindGroup(std::string_view name, const v2::Endpoints& reached) const {
  v1::BrokerGroup group;
  group.set_name(std::string(name));
  const auto found = groups_.find(name);
  if (found == groups_.end()) return group;
  const Group& known = *found->second;
  const Member* const acting = known.acting_master();
  const Member* const served_by = known.served_by();
  const bool outside = IsOutside(reached);
  for (const auto& [member_name, member] : known.members) {
    v2::Broker& broker = *group.add_members();
    broker.set_name(known.name);
    broker.set_id(&member == acting ? 0 : static_cast<int32_t>(member.hello.id()));
    *broker.mutable_endpoints() = member.EndpointsFrom(outside);
    if (served_by == nullptr) group.set_epoch(std::max(group.epoch(), member.hello.epoch()));
  }
  std::sort(group.mutable_members()->begin(), group.mutable_members()->end(),
            [](const v2::Broker& a, const v2::Broker& b) { return a.id() < b.id(); });
  if (served_by != nullptr) group.set_epoch(served_by->hello.epoch());
  group.set_read_only(acting != nullptr || read_only_.contains(name));
  return group;
}

std::vector<QueuesAt> RouteTable::FindQueues(const v2::Resource& topic,
                                             std::string_view qualified_name, std::string_view zone,
                                             const v2::Endpoints& reached) const {
  std::vector<QueuesAt> brokers;
  const auto found = topics_.find(qualified_name);
  if (found == topics_.end()) return brokers;
  const bool outside = IsOutside(reached);
  for (const Queues& held : found->second->queues) {
    const Group& group = *held.group;
    const Member* const served_by = group.served_by();
    if (served_by == nullptr || !InZone(group, zone)) continue;
    const auto permission = static_cast<v2::Permission>(held.permission);
    const bool read_only = group.master() == nullptr || read_only_.contains(group.name);
    QueuesAt& broker = brokers.emplace_back();
    broker.queues = held.queues;
    broker.write_queues = held.write_queues;
    *broker.queue.mutable_topic() = topic;
    broker.queue.set_permission(read_only ? ReadOnly(permission) : permission);
    broker.queue.mutable_broker()->set_name(group.name);
    broker.queue.mutable_broker()->set_id(0);
    *broker.queue.mutable_broker()->mutable_endpoints() = served_by->EndpointsFrom(outside);
    FillKinds(held.kinds, broker.queue);
  }
  return brokers;
}

std::optional<v1::GroupState> RouteTable::DescribeGroup(std::string_view name,
                                                        Timestamp now) const {
  const auto found = groups_.find(name);
  if (found == groups_.end()) return std::nullopt;
  const Group& group = *found->second;
  v1::GroupState state;
  state.set_cluster(group.cluster);
  state.set_name(group.name);
  for (const auto& [member_name, member] : group.members) {
    v1::GroupMember& described = *state.add_members();
    *described.mutable_identity() = member.hello.identity();
    described.set_id(member.hello.id());
    described.set_role(member.hello.role());
    described.set_epoch(member.hello.epoch());
    *described.mutable_endpoints() = member.hello.endpoints();
    described.set_zone(member.hello.zone());
    described.set_replicator_port(member.hello.replicator_port());
    if (member.has_external_endpoints()) {
      *described.mutable_external_endpoints() = member.hello.external_endpoints();
    }
    described.set_silent_ms(static_cast<uint64_t>((now - member.heard).count()));
  }
  std::sort(state.mutable_members()->begin(), state.mutable_members()->end(),
            [](const v1::GroupMember& a, const v1::GroupMember& b) { return a.id() < b.id(); });
  if (const Member* const acting = group.acting_master(); acting != nullptr) {
    state.set_acting_master(acting->hello.identity().member());
  }
  state.set_writable(!read_only_.contains(name));
  state.set_topics(static_cast<uint32_t>(group.topics.size()));
  *state.mutable_topics_version() = group.version;
  return state;
}

std::vector<SessionId> RouteTable::SessionsOf(std::string_view group) const {
  std::vector<SessionId> sessions;
  const auto found = groups_.find(group);
  if (found == groups_.end()) return sessions;
  for (const auto& [name, member] : found->second->members) sessions.push_back(member.session);
  return sessions;
}

v1::ListClustersResponse RouteTable::ListClusters() const {
  std::map<std::string, v1::Cluster> clusters;
  for (const auto& [name, group] : groups_) {
    if (!group->members.empty()) clusters[group->cluster].add_broker_groups(name);
  }
  v1::ListClustersResponse response;
  for (auto& [name, cluster] : clusters) {
    cluster.set_name(name);
    *response.add_clusters() = std::move(cluster);
  }
  response.set_complete(ready_);
  for (const std::string& name : awaited_) response.add_awaited_groups(name);
  return response;
}

v1::ListBrokerGroupsResponse RouteTable::ListGroups(const v1::ListBrokerGroupsRequest& asked,
                                                    Timestamp now) const {
  v1::ListBrokerGroupsResponse response;
  const int page = static_cast<int>(PageSize(asked.page_size()));
  for (auto group = groups_.upper_bound(asked.after()); group != groups_.end(); ++group) {
    if (!asked.cluster().empty() && group->second->cluster != asked.cluster()) continue;
    if (response.groups_size() == page) {
      response.set_next(response.groups(page - 1).name());
      break;
    }
    *response.add_groups() = *DescribeGroup(group->first, now);
  }
  if (!IsOutside(asked.endpoints())) return response;
  for (v1::GroupState& group : *response.mutable_groups()) {
    for (v1::GroupMember& member : *group.mutable_members()) {
      if (member.has_external_endpoints()) {
        *member.mutable_endpoints() = member.external_endpoints();
      }
    }
  }
  return response;
}

v1::ListTopicsResponse RouteTable::ListTopics(const v1::ListTopicsRequest& asked) const {
  v1::ListTopicsResponse response;
  const int page = static_cast<int>(PageSize(asked.page_size()));
  size_t looked_at = 0;
  std::string_view last;
  for (auto topic = topics_.upper_bound(asked.after()); topic != topics_.end(); ++topic) {
    if (response.routes_size() == page || looked_at >= kMostLookedAt) {
      response.set_next(std::string(last));
      break;
    }
    const std::vector<Queues>& queues = topic->second->queues;
    const bool wanted = std::any_of(queues.begin(), queues.end(), [&](const Queues& held) {
      return !held.group->members.empty() &&
             (asked.broker_group().empty() || held.group->name == asked.broker_group());
    });
    if (wanted) *response.add_routes() = RouteOf(*topic->second, {});
    looked_at += queues.size();
    last = topic->first;
  }
  return response;
}

}  // namespace dunlin::nameservice
