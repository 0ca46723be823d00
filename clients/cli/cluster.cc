#include "clients/cli/cluster.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <utility>

namespace dunlin::cli {
namespace {

namespace ns = nameservice::v1;
namespace v2 = apache::rocketmq::v2;

std::string AddressOf(const v2::Endpoints& endpoints) {
  if (endpoints.addresses().empty()) return "";
  const v2::Address& address = endpoints.addresses(0);
  const bool is_ipv6 = address.host().find(':') != std::string::npos;
  return is_ipv6 ? fmt::format("[{}]:{}", address.host(), address.port())
                 : fmt::format("{}:{}", address.host(), address.port());
}

Broker Itself(Connection& connection) {
  // The command line owns it, and outlives what is made of it.
  return {"", connection.options().endpoint,
          std::shared_ptr<Connection>(&connection, [](auto*) {})};
}

Broker At(const Connection& connection, const std::string& group, const std::string& endpoint) {
  Broker broker{group, endpoint, nullptr};
  if (endpoint.empty()) return broker;
  GlobalOptions options = connection.options();
  options.endpoint = endpoint;
  options.broker_group = group;
  broker.connection = std::make_shared<Connection>(options);
  return broker;
}

// False: the endpoint is no name service, or does not answer (`status`).
bool ListGroups(Connection& connection, std::vector<ns::GroupState>& groups, grpc::Status& status) {
  ns::ListBrokerGroupsRequest request;
  *request.mutable_endpoints() = connection.Endpoints();
  do {
    ns::ListBrokerGroupsResponse page;
    const auto context = connection.Context();
    status = connection.registry().ListBrokerGroups(context.get(), request, &page);
    if (!status.ok()) return false;
    groups.insert(groups.end(), page.groups().begin(), page.groups().end());
    request.set_after(page.next());
  } while (!request.after().empty());
  return true;
}

// What is left of `found` after --broker.
int Select(const Connection& connection, std::vector<Broker>& found) {
  const std::vector<std::string>& wanted = connection.options().brokers;
  if (wanted.empty()) return kOk;
  std::set<std::string> names;
  for (const Broker& broker : found) names.insert(broker.group);
  for (const std::string& name : wanted) {
    if (names.contains(name)) continue;
    fmt::print(stderr, "dunlinctl: there is no broker group {}; there are: {}\n", name,
               fmt::join(names, ", "));
    return kNotFound;
  }
  std::erase_if(found, [&](const Broker& broker) {
    return std::find(wanted.begin(), wanted.end(), broker.group) == wanted.end();
  });
  return kOk;
}

int Unreachable(const Broker& broker) {
  fmt::print(stderr,
             "dunlinctl: broker group {} has no master now; `dunlinctl cluster list` shows its "
             "members, --broker leaves it out\n",
             broker.group);
  return kUnreachable;
}

// Adds those that a name service which has just started knew before, and that are not back yet.
void AddAwaited(Connection& connection, std::vector<Broker>& found) {
  ns::ListClustersResponse clusters;
  const auto context = connection.Context();
  // Without an answer there are those that it listed a moment ago.
  if (!connection.registry().ListClusters(context.get(), {}, &clusters).ok()) return;
  for (const std::string& name : clusters.awaited_groups()) {
    const bool known = std::any_of(found.begin(), found.end(),
                                   [&](const Broker& broker) { return broker.group == name; });
    if (!known) found.push_back(At(connection, name, ""));
  }
}

// `gone`: also groups without members.
int Find(Connection& connection, bool gone, std::vector<Broker>& found) {
  std::vector<ns::GroupState> groups;
  grpc::Status status;
  if (!ListGroups(connection, groups, status)) {
    if (status.error_code() != grpc::StatusCode::UNIMPLEMENTED) return connection.Report(status);
    if (!connection.options().brokers.empty()) {
      fmt::print(stderr, "dunlinctl: {} is no name service: without one there is no --broker\n",
                 connection.options().endpoint);
      return kUsage;
    }
    found.push_back(Itself(connection));
    return kOk;
  }
  for (const ns::GroupState& group : groups) {
    if (group.members().empty() && !gone) continue;
    const bool has_master =
        !group.members().empty() && group.acting_master().empty() && group.members(0).id() == 0;
    found.push_back(
        At(connection, group.name(), has_master ? AddressOf(group.members(0).endpoints()) : ""));
  }
  if (gone) AddAwaited(connection, found);
  if (found.empty()) {
    fmt::print(stderr, "dunlinctl: the name service at {} knows no broker\n",
               connection.options().endpoint);
    return kUnreachable;
  }
  return Select(connection, found);
}

}  // namespace

int FindBrokers(Connection& connection, std::vector<Broker>& found) {
  return Find(connection, false, found);
}

int FindReachable(Connection& connection, std::vector<Broker>& found) {
  if (const int exit = Find(connection, true, found); exit != kOk) return exit;
  for (const Broker& broker : found) {
    if (broker.connection != nullptr) continue;
    const int exit = Unreachable(broker);
    fmt::print(stderr, "Nothing was done.\n");
    return exit;
  }
  return kOk;
}

int FindHolders(Connection& connection, const std::string& topic, bool writable,
                std::vector<Broker>& found) {
  std::vector<Broker> all;
  if (const int exit = FindBrokers(connection, all); exit != kOk) return exit;
  if (all.front().group.empty()) {
    found = std::move(all);
    return kOk;
  }
  v2::QueryRouteRequest request;
  request.mutable_topic()->set_resource_namespace(connection.options().name_space);
  request.mutable_topic()->set_name(topic);
  v2::QueryRouteResponse response;
  const auto context = connection.Context();
  const grpc::Status status = connection.messaging().QueryRoute(context.get(), request, &response);
  if (!status.ok()) return connection.Report(status);
  if (response.status().code() != v2::OK) return connection.Report(response.status());
  std::set<std::string> holders;
  for (const v2::MessageQueue& queue : response.message_queues()) {
    const bool takes = queue.permission() == v2::WRITE || queue.permission() == v2::READ_WRITE;
    if (takes || !writable) holders.insert(queue.broker().name());
  }
  for (Broker& broker : all) {
    if (!holders.contains(broker.group) || broker.connection == nullptr) continue;
    found.push_back(std::move(broker));
  }
  if (!found.empty()) return kOk;
  fmt::print(stderr, "dunlinctl: no broker that can be reached {} topic {}\n",
             writable ? "takes messages of" : "has", topic);
  return kUnreachable;
}

int AtAll(Connection& connection, const Command& command) {
  std::vector<Broker> brokers;
  if (const int exit = FindBrokers(connection, brokers); exit != kOk) return exit;
  int worst = kOk;
  for (const Broker& broker : brokers) {
    if (!broker.group.empty() && connection.options().format == Format::kTable) {
      fmt::print("{}broker group {}\n", &broker == brokers.data() ? "" : "\n", broker.group);
    }
    const int exit =
        broker.connection == nullptr ? Unreachable(broker) : command(*broker.connection);
    if (worst == kOk) worst = exit;
  }
  return worst;
}

int AtHolders(Connection& connection, const std::string& what, const Command& command) {
  int holders = 0;
  bool is_alone = false;
  const int exit = AtAll(connection, [&](Connection& at) {
    is_alone = at.options().broker_group.empty();
    if (is_alone) return command(at);
    at.TolerateAbsence();
    const int one = command(at);
    if (one != kNotFound) ++holders;
    if (one == kNotFound && at.options().format == Format::kTable) fmt::print("has no {}\n", what);
    return one == kNotFound ? static_cast<int>(kOk) : one;
  });
  if (is_alone || exit != kOk || holders > 0) return exit;
  fmt::print(stderr, "dunlinctl: no broker has {}\n", what);
  return kNotFound;
}

void PrintJson(const Connection& connection, const google::protobuf::Message& message) {
  const std::string json = Json(message);
  const std::string& group = connection.options().broker_group;
  if (group.empty()) {
    std::fputs(json.c_str(), stdout);
  } else {
    fmt::print("{{\"broker\": \"{}\", \"result\": {}}}\n", group,
               json.substr(0, json.rfind('}') + 1));
  }
}

}  // namespace dunlin::cli
