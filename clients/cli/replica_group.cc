#include "clients/cli/replica_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/replicator/transport/credential.h"

namespace dunlin::cli {
namespace {

namespace ns = nameservice::v1;
namespace v1 = replication::v1;
using replicator::Secret;

std::string ReplicatorOf(const ns::GroupMember& member) {
  if (member.replicator_port() == 0 || member.endpoints().addresses().empty()) return "";
  const std::string& host = member.endpoints().addresses(0).host();
  const bool is_ipv6 = host.find(':') != std::string::npos;
  return is_ipv6 ? fmt::format("[{}]:{}", host, member.replicator_port())
                 : fmt::format("{}:{}", host, member.replicator_port());
}

// One of the group that answers.
int FindIn(const Connection& connection, const ns::GroupState& group,
           std::vector<Connection>& found) {
  bool has_replicators = false;
  for (const ns::GroupMember& member : group.members()) {
    const std::string address = ReplicatorOf(member);
    if (address.empty()) continue;
    has_replicators = true;
    GlobalOptions options = connection.options();
    options.endpoint = address;
    options.broker_group = group.name();
    Connection to(options);
    v1::GetMemberResponse answer;
    if (!AskMember(to, answer).ok()) continue;
    found.push_back(std::move(to));
    return kOk;
  }
  if (!has_replicators) {
    fmt::print(stderr, "dunlinctl: broker group {} is one broker alone, without replicators\n",
               group.name());
    return kNotFound;
  }
  fmt::print(stderr, "dunlinctl: no replicator of broker group {} answers\n", group.name());
  return kUnreachable;
}

// Whether `member` is the master, and rather than `other`, if that is one.
bool IsRather(const v1::GetMemberResponse& member, const v1::GetMemberResponse& other) {
  const bool serves = member.role() == v1::MASTER;
  if (!serves && member.master() != member.member()) return false;
  const bool other_serves = other.role() == v1::MASTER;
  if (serves != other_serves) return serves;
  return member.highest_epoch() >= other.highest_epoch();
}

bool IsWanted(const Connection& connection, const std::string& group) {
  const std::vector<std::string>& wanted = connection.options().brokers;
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), group) != wanted.end();
}

}  // namespace

int FindReplicators(Connection& connection, std::vector<Connection>& found) {
  ns::ListBrokerGroupsRequest request;
  int worst = kOk;
  bool any = false;
  do {
    ns::ListBrokerGroupsResponse page;
    const auto context = connection.Context();
    const grpc::Status status =
        connection.registry().ListBrokerGroups(context.get(), request, &page);
    if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
      found.emplace_back(connection.options());
      return kOk;
    }
    if (!status.ok()) return connection.Report(status);
    for (const ns::GroupState& group : page.groups()) {
      if (group.members().empty() || !IsWanted(connection, group.name())) continue;
      any = true;
      const int exit = FindIn(connection, group, found);
      if (worst == kOk) worst = exit;
    }
    request.set_after(page.next());
  } while (!request.after().empty());
  if (any) return worst;
  fmt::print(stderr, "dunlinctl: the name service at {} knows no such broker group\n",
             connection.options().endpoint);
  return kNotFound;
}

int FindReplicator(Connection& connection, std::optional<Connection>& found) {
  std::vector<Connection> all;
  if (const int exit = FindReplicators(connection, all); exit != kOk) return exit;
  if (all.size() > 1) {
    fmt::print(stderr, "dunlinctl: the cluster has {} broker groups: --broker says which\n",
               all.size());
    return kUsage;
  }
  found.emplace(std::move(all.front()));
  return kOk;
}

Connection ConnectTo(const Connection& connection, const std::string& address) {
  GlobalOptions options = connection.options();
  options.endpoint = address;
  return Connection(options);
}

int ReportReplicator(const Connection& connection, const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::PERMISSION_DENIED:
      fmt::print(stderr, "dunlinctl: {}\n", status.error_message());
      return kRefused;
    case grpc::StatusCode::UNIMPLEMENTED:
      fmt::print(stderr,
                 "dunlinctl: {} is no replicator: `dunlinctl replica list` shows their addresses\n",
                 connection.options().endpoint);
      return kRefused;
    default:
      return connection.Report(status);
  }
}

grpc::Status AskMember(const Connection& connection, v1::GetMemberResponse& member) {
  const auto context = connection.Context();
  return v1::ReplicationService::NewStub(connection.channel())
      ->GetMember(context.get(), {}, &member);
}

GroupAnswers AskAll(const Connection& connection, const v1::GetMemberResponse& first) {
  GroupAnswers group;
  for (const v1::MemberAddress& address : first.members()) {
    v1::GetMemberResponse member;
    const bool answered = AskMember(ConnectTo(connection, address.address()), member).ok();
    if (answered && IsRather(member, group.master)) {
      group.master = member;
      group.master_address = address.address();
    }
    group.members.emplace_back(address,
                               answered ? std::make_optional(std::move(member)) : std::nullopt);
  }
  return group;
}

int AskMaster(const Connection& connection, GroupAnswers& group) {
  v1::GetMemberResponse first;
  const grpc::Status status = AskMember(connection, first);
  if (!status.ok()) return ReportReplicator(connection, status);
  group = AskAll(connection, first);
  if (!group.master_address.empty()) return kOk;
  fmt::print(stderr,
             "dunlinctl: the group has no master that could do it; `dunlinctl replica list` shows "
             "how its members are\n");
  return kRefused;
}

v1::Credential Operator::CredentialFor(const char* method, const v1::GetMemberResponse& called,
                                       const std::string& argument) const {
  return replicator::MakeCredential(secret_, "dunlinctl",
                                    {method, called.group(), called.member(), argument},
                                    SystemClock().Now());
}

int WithSecret(const std::string& file, const std::function<int(const Operator&)>& act) {
  const absl::StatusOr<Secret> secret = Secret::Load(RealFiles(), file);
  if (!secret.ok()) {
    fmt::print(stderr, "dunlinctl: {}\n", std::string(secret.status().message()));
    return kUsage;
  }
  return act(Operator(*secret));
}

}  // namespace dunlin::cli
