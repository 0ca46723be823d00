// What RouteTable answers.

#include <algorithm>
#include <string>
#include <utility>

#include "services/nameservice/routes/group.h"
#include "services/nameservice/routes/route_table.h"
#include "services/nameservice/routes/route_version.h"

namespace dunlin::nameservice {
namespace {

namespace v2 = apache::rocketmq::v2;

constexpr uint32_t kUsualPage = 100;
constexpr uint32_t kLargestPage = 1000;

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

// Without the bit for writing.
v2::Permission ReadOnly(v2::Permission permission) {
  return permission == v2::READ || permission == v2::READ_WRITE ? v2::READ : v2::NONE;
}

}  // namespace

bool RouteTable::InZone(const Group& group, std::string_view zone) {
  const Member* const master = group.master();
  return zone.empty() || master == nullptr || master->hello.zone() == zone;
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

v1::BrokerGroup RouteTable::FindGroup(std::string_view name) const {
  v1::BrokerGroup group;
  group.set_name(std::string(name));
  const auto found = groups_.find(name);
  if (found == groups_.end()) return group;
  const Group& known = *found->second;
  const Member* const acting = known.acting_master();
  const Member* const served_by = known.served_by();
  for (const auto& [member_name, member] : known.members) {
    v2::Broker& broker = *group.add_members();
    broker.set_name(known.name);
    broker.set_id(&member == acting ? 0 : static_cast<int32_t>(member.hello.id()));
    *broker.mutable_endpoints() = member.hello.endpoints();
    if (served_by == nullptr) group.set_epoch(std::max(group.epoch(), member.hello.epoch()));
  }
  std::sort(group.mutable_members()->begin(), group.mutable_members()->end(),
            [](const v2::Broker& a, const v2::Broker& b) { return a.id() < b.id(); });
  if (served_by != nullptr) group.set_epoch(served_by->hello.epoch());
  group.set_read_only(acting != nullptr || read_only_.contains(name));
  return group;
}

bool RouteTable::FillQueues(const v2::Resource& topic, std::string_view qualified_name,
                            std::string_view zone, v2::QueryRouteResponse& response) const {
  const auto found = topics_.find(qualified_name);
  if (found == topics_.end()) return false;
  struct Broker {
    const Queues* held;
    v2::MessageQueue queue;
  };
  std::vector<Broker> brokers;
  uint32_t most = 0;
  for (const Queues& held : found->second->queues) {
    const Group& group = *held.group;
    const Member* const served_by = group.served_by();
    if (served_by == nullptr || !InZone(group, zone)) continue;
    const auto permission = static_cast<v2::Permission>(held.permission);
    const bool read_only = group.master() == nullptr || read_only_.contains(group.name);
    v2::MessageQueue& queue = brokers.emplace_back(Broker{&held, {}}).queue;
    *queue.mutable_topic() = topic;
    queue.set_permission(read_only ? ReadOnly(permission) : permission);
    queue.mutable_broker()->set_name(group.name);
    queue.mutable_broker()->set_id(0);
    *queue.mutable_broker()->mutable_endpoints() = served_by->hello.endpoints();
    FillKinds(held.kinds, queue);
    most = std::max(most, held.queues);
  }
  // By turns: clients go through the queues in this order, and are to meet all brokers soon.
  for (uint32_t id = 0; id < most; ++id) {
    for (const Broker& broker : brokers) {
      if (id >= broker.held->queues) continue;
      v2::MessageQueue& added = *response.add_message_queues();
      added = broker.queue;
      added.set_id(static_cast<int32_t>(id));
      if (id >= broker.held->write_queues) added.set_permission(ReadOnly(added.permission()));
    }
  }
  return response.message_queues_size() > 0;
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
  return response;
}

v1::ListTopicsResponse RouteTable::ListTopics(const v1::ListTopicsRequest& asked) const {
  v1::ListTopicsResponse response;
  const int page = static_cast<int>(PageSize(asked.page_size()));
  std::string_view last;
  for (auto topic = topics_.upper_bound(asked.after()); topic != topics_.end(); ++topic) {
    const std::vector<Queues>& queues = topic->second->queues;
    const bool wanted = std::any_of(queues.begin(), queues.end(), [&](const Queues& held) {
      return !held.group->members.empty() &&
             (asked.broker_group().empty() || held.group->name == asked.broker_group());
    });
    if (!wanted) continue;
    if (response.routes_size() == page) {
      response.set_next(std::string(last));
      break;
    }
    *response.add_routes() = RouteOf(*topic->second, {});
    last = topic->first;
  }
  return response;
}

}  // namespace dunlin::nameservice
