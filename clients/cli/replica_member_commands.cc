#include "clients/cli/replica_member_commands.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "clients/cli/replica_group.h"
#include "services/replicator/roles/roster_change.h"
#include "services/replicator/rpc/roster_request.h"

namespace dunlin::cli {
namespace {

namespace v1 = replication::v1;
using replicator::RosterChange;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kLookInterval{200};
constexpr milliseconds kSayInterval{2000};
// What the coordinator may take to write a change.
constexpr std::chrono::seconds kWriteLimit{15};

struct AddOptions {
  std::string member;  // NAME=HOST:PORT
  bool learner = false;
  uint32_t wait_seconds = 600;
};

const v1::MemberAddress* FindMember(const v1::GetMemberResponse& in, const std::string& name) {
  for (const v1::MemberAddress& member : in.members()) {
    if (member.member() == name) return &member;
  }
  return nullptr;
}

const v1::SlaveStatus* FindSlave(const v1::GetMemberResponse& master, const std::string& name) {
  for (const v1::SlaveStatus& slave : master.slaves()) {
    if (slave.member() == name) return &slave;
  }
  return nullptr;
}

// NAME=HOST:PORT in two.
bool Split(const std::string& text, RosterChange& change) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == text.size()) {
    fmt::print(stderr, "dunlinctl: \"{}\" is not NAME=HOST:PORT, as in d=host-d:10912\n", text);
    return false;
  }
  change.member = text.substr(0, equals);
  change.address = text.substr(equals + 1);
  return true;
}

grpc::Status AskFor(const Connection& connection, const GroupAnswers& group, const Operator& by,
                    const RosterChange& change) {
  v1::ChangeMembersRequest request = replicator::RequestOf(change);
  request.set_group(group.master.group());
  *request.mutable_credential() =
      by.CredentialFor("ChangeMembers", group.master, change.ToString());
  v1::ChangeMembersResponse response;
  const Connection to_master = ConnectTo(connection, group.master_address);
  const auto context = to_master.Context();
  return v1::ReplicationService::NewStub(to_master.channel())
      ->ChangeMembers(context.get(), request, &response);
}

bool IsWritten(const v1::GetMemberResponse& master, const RosterChange& change) {
  const v1::MemberAddress* const member = FindMember(master, change.member);
  if (change.kind == RosterChange::Kind::kRemove) return member == nullptr;
  if (member == nullptr || member->address() != change.address) return false;
  const bool waits = member->learner() && !member->joining();
  return change.kind == RosterChange::Kind::kSetAddress || change.learner || !waits;
}

// Asks, while another change is under way again, and waits until it is written.
int Change(const Connection& connection, const Operator& by, const RosterChange& change) {
  const auto deadline = steady_clock::now() + kWriteLimit;
  grpc::Status last = {grpc::StatusCode::DEADLINE_EXCEEDED,
                       "the coordinator has not answered whether it is written; `dunlinctl replica "
                       "list` shows who the members are"};
  bool asked = false;
  while (steady_clock::now() < deadline) {
    GroupAnswers group;
    if (const int exit = AskMaster(connection, group); exit != kOk) {
      if (!asked) return exit;
    } else if (IsWritten(group.master, change) && asked) {
      return kOk;
    } else if (!asked) {
      const grpc::Status status = AskFor(connection, group, by, change);
      asked = status.ok();
      if (!asked && status.error_code() != grpc::StatusCode::UNAVAILABLE) {
        return ReportReplicator(connection, status);
      }
      if (!asked) last = status;
      if (asked) continue;
    }
    Connection::Pause(kLookInterval);
  }
  return ReportReplicator(connection, last);
}

// What the master says of a member that is being added; true: it is where it was to be.
bool IsThere(const v1::GetMemberResponse& master, const std::string& name, bool learner,
             std::string& how) {
  const v1::SlaveStatus* const slave = FindSlave(master, name);
  const v1::MemberAddress* const member = FindMember(master, name);
  if (member == nullptr) {
    how = "is no member any more";
    return false;
  }
  if (slave == nullptr) {
    how =
        "is not connected: its dunlin-replicator has to run, with the same coordinator and secret";
    return false;
  }
  if (slave->lag_bytes() > 0 || (!learner && !slave->in_sync())) {
    const double done = master.end() == 0 ? 100
                                          : 100 * (1 - static_cast<double>(slave->lag_bytes()) /
                                                           static_cast<double>(master.end()));
    how = fmt::format("has {:.1f} % of the log, {} to go{}", done,
                      BytesText(static_cast<int64_t>(slave->lag_bytes())),
                      member->learner() ? ", does not count yet" : "");
  }
  return learner ? slave->lag_bytes() == 0 : slave->in_sync();
}

int Add(const Connection& connection, const Operator& by, const AddOptions& options) {
  RosterChange change{.kind = RosterChange::Kind::kAdd, .learner = options.learner};
  if (!Split(options.member, change)) return kUsage;
  if (const int exit = Change(connection, by, change); exit != kOk) return exit;
  fmt::print("{} is a member at {}{}\n", change.member, change.address,
             options.learner ? ", a learner" : "; it counts as soon as it has caught up");
  const auto deadline = steady_clock::now() + std::chrono::seconds(options.wait_seconds);
  auto say_at = steady_clock::now();
  std::string how = "nobody has said how it is";
  while (options.wait_seconds > 0) {
    GroupAnswers group;
    if (AskMaster(connection, group) == kOk &&
        IsThere(group.master, change.member, options.learner, how)) {
      fmt::print("{} {}\n", change.member, options.learner ? "has caught up" : "is in sync");
      return kOk;
    }
    const auto now = steady_clock::now();
    if (now >= say_at) {
      fmt::print("{} {}\n", change.member, how);
      std::fflush(stdout);
      say_at = now + kSayInterval;
    }
    if (now >= deadline) break;
    Connection::Pause(kLookInterval);
  }
  if (options.wait_seconds == 0) return kOk;
  fmt::print(
      stderr,
      "dunlinctl: {} {}; it goes on without this command, and `dunlinctl replica list` shows "
      "how far it is\n",
      change.member, how);
  return kRefused;
}

int Remove(const Connection& connection, const Operator& by, const std::string& member,
           bool force) {
  GroupAnswers group;
  if (const int exit = AskMaster(connection, group); exit != kOk) return exit;
  if (FindMember(group.master, member) == nullptr) {
    fmt::print(stderr, "dunlinctl: {} is no member of broker group {}\n", member,
               group.master.group());
    return kNotFound;
  }
  const RosterChange change{
      .kind = RosterChange::Kind::kRemove, .member = member, .address = "", .force = force};
  if (const int exit = Change(connection, by, change); exit != kOk) return exit;
  fmt::print("{} is no member any more; what it has stays on its disk\n", member);
  return kOk;
}

int SetAddress(const Connection& connection, const Operator& by, const std::string& member) {
  RosterChange change{.kind = RosterChange::Kind::kSetAddress};
  if (!Split(member, change)) return kUsage;
  if (const int exit = Change(connection, by, change); exit != kOk) return exit;
  fmt::print("{} is at {}\n", change.member, change.address);
  return kOk;
}

template <typename Act>
Command InGroup(const std::shared_ptr<std::string>& secret_file, Act act) {
  return [secret_file, act](Connection& connection) {
    std::optional<Connection> member;
    if (const int exit = FindReplicator(connection, member); exit != kOk) return exit;
    return WithSecret(*secret_file, [&](const Operator& by) { return act(*member, by); });
  };
}

}  // namespace

void AddReplicaMemberCommands(CLI::App& replica, Command& command) {
  const auto secret_file = std::make_shared<std::string>();
  const auto add_secret = [secret_file](CLI::App& to) {
    to.add_option("--secret-file", *secret_file, "File with the secret of the group")
        ->check(CLI::ExistingFile);
  };
  CLI::App& add = *replica.add_subcommand(
      "add", "Add a member while the group works, and show how it catches up until it is in sync");
  const auto options = std::make_shared<AddOptions>();
  add.add_option("member", options->member, "Its name and where its replicator is")
      ->type_name("NAME=HOST:PORT")
      ->required();
  add.add_flag("--learner", options->learner, "It follows and never counts");
  add.add_option("--wait", options->wait_seconds,
                 "Seconds until this command gives up watching; 0: does not watch")
      ->capture_default_str();
  add_secret(add);
  add.callback([&command, secret_file, options] {
    command = InGroup(secret_file, [options](const Connection& at, const Operator& by) {
      return Add(at, by, *options);
    });
  });

  CLI::App& remove = *replica.add_subcommand(
      "remove", "Take a member out of the group; refused when the group needs it");
  const auto removed = std::make_shared<std::string>();
  const auto force = std::make_shared<bool>(false);
  remove.add_option("member", *removed, "Its name")->required();
  remove.add_flag(
      "--force", *force,
      "It is gone for good, and so is perhaps what only it and others that are gone had");
  add_secret(remove);
  remove.callback([&command, secret_file, removed, force] {
    command = InGroup(secret_file, [removed, force](const Connection& at, const Operator& by) {
      return Remove(at, by, *removed, *force);
    });
  });

  CLI::App& move =
      *replica.add_subcommand("set-address", "Say where the replicator of a member is now");
  const auto moved = std::make_shared<std::string>();
  move.add_option("member", *moved, "Its name and the new address")
      ->type_name("NAME=HOST:PORT")
      ->required();
  add_secret(move);
  move.callback([&command, secret_file, moved] {
    command = InGroup(secret_file, [moved](const Connection& at, const Operator& by) {
      return SetAddress(at, by, *moved);
    });
  });
}

}  // namespace dunlin::cli
