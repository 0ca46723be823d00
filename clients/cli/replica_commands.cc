// `dunlinctl replica`: the members of a broker group, who is master, and how to change that. They
// are asked at the ports of their replicators.

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "clients/cli/commands.h"
#include "clients/cli/replica_group.h"
#include "clients/cli/replica_member_commands.h"

namespace dunlin::cli {
namespace {

namespace v1 = replication::v1;

std::string RoleText(const v1::MemberAddress& seat, const v1::GetMemberResponse& member) {
  if (member.outside()) return "-";
  if (seat.joining()) return "joining";
  if (seat.learner()) return "learner";
  switch (member.role()) {
    case v1::MASTER:
      return "master";
    case v1::SLAVE:
      return "slave";
    default:
      return "-";
  }
}

// What the master says of a slave.
const v1::SlaveStatus* FindSlave(const v1::GetMemberResponse& master, const std::string& member) {
  for (const v1::SlaveStatus& slave : master.slaves()) {
    if (slave.member() == member) return &slave;
  }
  return nullptr;
}

bool IsInSync(const v1::GetMemberResponse& master, const std::string& member) {
  for (const std::string& name : master.in_sync()) {
    if (name == member) return true;
  }
  return false;
}

int ListGroup(const Connection& connection) {
  v1::GetMemberResponse first;
  const grpc::Status status = AskMember(connection, first);
  if (!status.ok()) return ReportReplicator(connection, status);
  const GroupAnswers group = AskAll(connection, first);
  const v1::GetMemberResponse& knows = group.master.member().empty() ? first : group.master;
  if (connection.options().format == Format::kJson) {
    for (const auto& [address, member] : group.members) {
      if (member.has_value()) std::fputs(Json(*member).c_str(), stdout);
    }
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"MEMBER", "ADDRESS", "ROLE", "EPOCH", "LOG", "CONFIRMED", "BEHIND", "IN SYNC", "STATE"}};
  for (const auto& [address, member] : group.members) {
    const std::string in_sync = IsInSync(knows, address.member()) ? "yes" : "no";
    if (!member.has_value()) {
      rows.push_back({address.member(), address.address(), "-", "-", "-", "-", "-", in_sync,
                      "does not answer"});
      continue;
    }
    const v1::SlaveStatus* const slave = FindSlave(group.master, address.member());
    const std::string state =
        member->problem().empty() ? member->state() : member->state() + "; " + member->problem();
    rows.push_back({address.member(), address.address(), RoleText(address, *member),
                    std::to_string(member->epoch()),
                    fmt::format("{}-{}", member->begin(), member->end()),
                    std::to_string(member->confirm()),
                    slave != nullptr ? BytesText(static_cast<int64_t>(slave->lag_bytes())) : "-",
                    in_sync, state});
  }
  std::fputs(Table(rows).c_str(), stdout);
  if (first.outside()) fmt::print("{}: {}\n", first.member(), first.state());
  return kOk;
}

int List(Connection& connection) {
  std::vector<Connection> groups;
  int worst = FindReplicators(connection, groups);
  for (const Connection& group : groups) {
    const std::string& name = group.options().broker_group;
    if (!name.empty() && group.options().format == Format::kTable) {
      fmt::print("{}broker group {}\n", &group == groups.data() ? "" : "\n", name);
    }
    const int exit = ListGroup(group);
    if (worst == kOk) worst = exit;
  }
  return worst;
}

int SwitchOver(const Connection& connection, const Operator& by, const std::string& successor) {
  GroupAnswers group;
  if (const int exit = AskMaster(connection, group); exit != kOk) return exit;
  v1::SwitchoverRequest request;
  request.set_group(group.master.group());
  request.set_successor(successor);
  *request.mutable_credential() = by.CredentialFor("Switchover", group.master, successor);
  v1::SwitchoverResponse response;
  const Connection to_master = ConnectTo(connection, group.master_address);
  const auto context = to_master.Context();
  const grpc::Status status = v1::ReplicationService::NewStub(to_master.channel())
                                  ->Switchover(context.get(), request, &response);
  if (!status.ok()) return ReportReplicator(connection, status);
  fmt::print("{} hands over to {}; `dunlinctl replica list` shows when it has\n",
             group.master.member(), successor);
  return kOk;
}

int Elect(Connection& connection, const Operator& by, bool accept_loss) {
  v1::GetMemberResponse member;
  grpc::Status status = AskMember(connection, member);
  if (!status.ok()) return ReportReplicator(connection, status);
  v1::ElectRequest request;
  request.set_group(member.group());
  request.set_clean(!accept_loss);
  *request.mutable_credential() = by.CredentialFor("Elect", member, accept_loss ? "" : "clean");
  v1::ElectResponse response;
  const auto context = connection.Context();
  status = v1::ReplicationService::NewStub(connection.channel())
               ->Elect(context.get(), request, &response);
  if (!status.ok()) return ReportReplicator(connection, status);
  fmt::print("{} stands for election{}; `dunlinctl replica list` shows who is master\n",
             member.member(), accept_loss ? " as it is" : "");
  return kOk;
}

}  // namespace

void AddReplicaCommands(CLI::App& app, Command& command) {
  CLI::App& replica = *app.add_subcommand(
      "replica",
      "Look at the members of a broker group, change its master and its members (--endpoint names "
      "the replicator of any member, or a name service)");
  replica.require_subcommand(1);
  replica.add_subcommand("list", "List the members, their roles and how far behind they are")
      ->callback([&command] { command = List; });

  const auto secret_file = std::make_shared<std::string>();
  const auto add_secret = [secret_file](CLI::App& to) {
    to.add_option("--secret-file", *secret_file, "File with the secret of the group")
        ->check(CLI::ExistingFile);
  };
  CLI::App& switchover = *replica.add_subcommand(
      "switchover", "Make another member that is in sync the master; nothing is lost");
  const auto successor = std::make_shared<std::string>();
  switchover.add_option("member", *successor, "The next master")->required();
  add_secret(switchover);
  switchover.callback([&command, secret_file, successor] {
    command = [secret_file, successor](Connection& connection) {
      std::optional<Connection> member;
      if (const int exit = FindReplicator(connection, member); exit != kOk) return exit;
      return WithSecret(*secret_file,
                        [&](const Operator& by) { return SwitchOver(*member, by, *successor); });
    };
  });

  AddReplicaMemberCommands(replica, command);

  CLI::App& elect = *replica.add_subcommand(
      "elect",
      "Have one member, whose replicator --endpoint names, stand for election now, in a group "
      "without a master: it does not wait for the former master to come back");
  const auto accept_loss = std::make_shared<bool>(false);
  elect.add_flag("--accept-loss", *accept_loss,
                 "As it is, although acknowledged messages may be lost: when all members that have "
                 "them are gone for good");
  add_secret(elect);
  elect.callback([&command, secret_file, accept_loss] {
    command = [secret_file, accept_loss](Connection& connection) {
      return WithSecret(*secret_file,
                        [&](const Operator& by) { return Elect(connection, by, *accept_loss); });
    };
  });
}

}  // namespace dunlin::cli
