#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <vector>

#include "clients/cli/commands.h"

namespace dunlin::cli {
namespace {

namespace ns = nameservice::v1;

// A broker answers that it has no such service; says where it is.
int Report(const Connection& connection, const grpc::Status& status) {
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    fmt::print(stderr,
               "dunlinctl: {} is not a name service: --endpoint names one, like 127.0.0.1:9876\n",
               connection.options().endpoint);
    return kRefused;
  }
  return connection.Report(status);
}

std::string AddressOf(const ns::GroupMember& member) {
  if (member.endpoints().addresses().empty()) return "-";
  const auto& address = member.endpoints().addresses(0);
  const bool bare_ipv6 = address.host().find(':') != std::string::npos;
  return fmt::format(fmt::runtime(bare_ipv6 ? "[{}]:{}" : "{}:{}"), address.host(), address.port());
}

std::string RoleOf(const ns::GroupState& group, const ns::GroupMember& member) {
  std::string role = ns::MemberRole_Name(member.role());
  if (member.identity().member() == group.acting_master()) role += " (acting master)";
  return role;
}

void AddRows(const ns::GroupState& group, std::vector<std::vector<std::string>>& rows) {
  const std::string state = group.members().empty()          ? "gone"
                            : !group.writable()              ? "read-only"
                            : !group.acting_master().empty() ? "no master"
                            : group.members(0).id() != 0     ? "out of reach"
                                                             : "ok";
  if (group.members().empty()) {
    rows.push_back({group.cluster(), group.name(), "-", "-", "-", "-", "-", "-",
                    std::to_string(group.topics()), state});
  }
  for (const ns::GroupMember& member : group.members()) {
    rows.push_back({group.cluster(), group.name(), member.identity().member(),
                    std::to_string(member.id()), RoleOf(group, member),
                    // Slaves do not register anew with each epoch of their master.
                    member.id() == 0 ? std::to_string(member.epoch()) : "-", AddressOf(member),
                    OrDash(member.zone()), std::to_string(group.topics()), state});
  }
}

int ListClusters(Connection& connection) {
  ns::ListBrokerGroupsResponse all;
  ns::ListBrokerGroupsRequest request;
  *request.mutable_endpoints() = connection.Endpoints();
  do {
    ns::ListBrokerGroupsResponse page;
    const auto context = connection.Context();
    const grpc::Status status =
        connection.registry().ListBrokerGroups(context.get(), request, &page);
    if (!status.ok()) return Report(connection, status);
    all.mutable_groups()->MergeFrom(page.groups());
    request.set_after(page.next());
  } while (!request.after().empty());
  if (connection.options().format == Format::kJson) {
    std::fputs(Json(all).c_str(), stdout);
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"CLUSTER", "GROUP", "MEMBER", "ID", "ROLE", "EPOCH", "ADDRESS", "ZONE", "TOPICS", "STATE"}};
  for (const ns::GroupState& group : all.groups()) AddRows(group, rows);
  std::fputs(Table(rows).c_str(), stdout);
  ns::ListClustersResponse clusters;
  const auto context = connection.Context();
  const grpc::Status status = connection.registry().ListClusters(context.get(), {}, &clusters);
  if (!status.ok()) return Report(connection, status);
  if (!clusters.complete()) {
    fmt::print("the name service has just started and tells no routes yet; it waits for: {}\n",
               clusters.awaited_groups().empty()
                   ? "its grace to be over"
                   : fmt::format("{}", fmt::join(clusters.awaited_groups(), ", ")));
  }
  return kOk;
}

int SetWritable(Connection& connection, const std::string& group, bool writable) {
  ns::SetGroupWritableRequest request;
  request.set_broker_group(group);
  request.set_writable(writable);
  ns::SetGroupWritableResponse response;
  const auto context = connection.Context();
  const grpc::Status status =
      connection.registry().SetGroupWritable(context.get(), request, &response);
  if (!status.ok()) return Report(connection, status);
  if (connection.options().format == Format::kJson) {
    std::fputs(Json(response).c_str(), stdout);
  } else {
    fmt::print("broker group {} is {} now: {} topics\n", group, writable ? "writable" : "read-only",
               response.topics());
  }
  return kOk;
}

}  // namespace

void AddClusterCommands(CLI::App& app, Command& command) {
  CLI::App& cluster =
      *app.add_subcommand("cluster", "Look at clusters, at a name service (--endpoint HOST:9876)");
  cluster.require_subcommand(1);
  cluster.add_subcommand("list", "List clusters, broker groups, their members, roles and epochs")
      ->callback([&command] { command = ListClusters; });
  for (const bool writable : {false, true}) {
    CLI::App& set = *cluster.add_subcommand(
        writable ? "allow-writes" : "forbid-writes",
        writable ? "Let producers be routed to a broker group again"
                 : "Route no producer to a broker group any more: each name service on its own");
    auto* group = set.add_option("group", "Name of the broker group")->required();
    set.callback([&command, group, writable] {
      command = [name = group->as<std::string>(), writable](Connection& connection) {
        return SetWritable(connection, name, writable);
      };
    });
  }
}

}  // namespace dunlin::cli
