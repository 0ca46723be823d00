#include "clients/cli/cluster_objects.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdio>

namespace dunlin::cli {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

Rows HeaderOf(const ClusterObject& object) {
  return {{"BROKER GROUP", Upper(object.kind), "TO MEND IT"}};
}

// Nobody knows whether it was done.
bool IsOpen(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE ||
         status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ||
         status.error_code() == grpc::StatusCode::CANCELLED;
}

std::string CommandAt(const ClusterObject& object, const Broker& broker,
                      const std::string& command) {
  return fmt::format("dunlinctl --endpoint {}{} {}", broker.endpoint, object.globals, command);
}

std::string DeleteCommand(const ClusterObject& object) {
  return fmt::format("{} delete {} --yes", object.family, ShellWord(object.name));
}

int Nowhere(const ClusterObject& object) {
  fmt::print(stderr, "dunlinctl: no broker of the cluster has {} {}\n", object.kind, object.name);
  return kNotFound;
}

// Where it is before anything is done.
struct Before {
  std::vector<const Broker*> with;
  std::vector<const Broker*> without;
};

// All brokers answer; else it is reported.
int Look(const std::vector<Broker>& brokers, const ClusterObject& object, Before& before) {
  for (const Broker& broker : brokers) {
    const grpc::Status status = object.get(*broker.connection);
    if (status.ok()) {
      before.with.push_back(&broker);
    } else if (IsNotFound(status) && IsCluster(brokers)) {
      before.without.push_back(&broker);
    } else {
      // What makes no sense is none of the group's matter.
      if (IsCluster(brokers) && status.error_code() != grpc::StatusCode::INVALID_ARGUMENT) {
        fmt::print(stderr,
                   "dunlinctl: broker group {} does not tell whether it has {} {}; --broker leaves "
                   "it out. Nothing was done\n",
                   broker.group, object.kind, object.name);
      }
      return broker.connection->Report(status);
    }
  }
  return kOk;
}

// None of the brokers has it, and all answer; else it is reported.
int CheckAbsent(const std::vector<Broker>& brokers, const ClusterObject& object) {
  Before before;
  if (const int exit = Look(brokers, object, before); exit != kOk) return exit;
  if (before.with.empty()) return kOk;
  fmt::print(stderr,
             "dunlinctl: broker group {} has {} {} already; --broker names the groups that "
             "are to get it, `{} update` changes it. Nothing was made\n",
             before.with.front()->group, object.kind, object.name, object.family);
  return kRefused;
}

// What was done at broker groups one by one, until one of them failed.
struct Begun {
  std::vector<const Broker*> brokers;
  size_t tried = 0;      // the first so many
  grpc::Status failure;  // of the last of these

  // All of it, or nobody knows.
  size_t Done() const { return IsOpen(failure) ? tried : tried - 1; }
  bool IsSure(const Broker* broker) const {
    return broker != brokers[tried - 1] || !IsOpen(failure);
  }
};

// How it is taken back.
struct Undo {
  std::function<grpc::Status(Connection&)> act;
  std::function<std::string(const Connection&)> command;
  std::string before;  // how it is where nothing was done, or all of it was taken back
  std::string after;   // how it is where it was done
  std::string all;     // what is said when all of it was taken back
};

void TakeBack(const Begun& begun, const ClusterObject& object, const Undo& undo) {
  Rows rows = HeaderOf(object);
  bool failed = false;
  for (size_t i = 0; i < begun.brokers.size(); ++i) {
    const Broker& broker = *begun.brokers[i];
    const grpc::Status status = i < begun.Done() ? undo.act(*broker.connection) : grpc::Status::OK;
    if (status.ok() || IsNotFound(status)) {
      rows.push_back({broker.group, undo.before, "-"});
      continue;
    }
    failed = true;
    const bool sure = begun.IsSure(&broker) && !IsOpen(status);
    const std::string command = undo.command(*broker.connection);
    rows.push_back(
        {broker.group,
         fmt::format("{} {}: {}", sure ? "is" : "may be", undo.after, status.error_message()),
         command.empty() ? "the same command, once the others can do it"
                         : CommandAt(object, broker, command)});
  }
  if (failed) {
    fmt::print(stderr, "dunlinctl: and not all of it could be taken back:\n{}", Table(rows));
  } else {
    fmt::print(stderr, "dunlinctl: {}\n", undo.all);
  }
}

// Does it at the brokers one by one; when one of them fails, takes back what was done. `verb`: as
// in "broker group b did not make it".
int DoAtAllOrNone(const std::vector<const Broker*>& brokers, const ClusterObject& object,
                  const std::function<grpc::Status(Connection&)>& act, const std::string& verb,
                  const Undo& undo) {
  Begun begun{brokers, 0, grpc::Status::OK};
  for (const Broker* const broker : brokers) {
    ++begun.tried;
    begun.failure = act(*broker->connection);
    if (begun.failure.ok()) continue;
    const bool is_cluster = !broker->group.empty();
    if (is_cluster) {
      fmt::print(stderr, "dunlinctl: broker group {} did not {} it\n", broker->group, verb);
    }
    const int exit = broker->connection->Report(begun.failure);
    if (is_cluster && begun.Done() > 0) TakeBack(begun, object, undo);
    return exit;
  }
  return kOk;
}

// Nothing that is for good is in the way of the change; else it is reported.
int CheckConflicts(const Before& before, const ClusterObject& object, const ClusterChange& change) {
  if (change.conflict == nullptr) return kOk;
  for (const Broker* const broker : before.with) {
    // A broker alone says it itself.
    if (broker->group.empty()) continue;
    const std::string conflict = change.conflict(*broker->connection);
    if (conflict.empty()) continue;
    fmt::print(stderr,
               "dunlinctl: {} {} of broker group {} {}; --broker names the groups that are to be "
               "changed. Nothing was changed\n",
               object.kind, object.name, broker->group, conflict);
    return kRefused;
  }
  return kOk;
}

// Of a change that cannot be taken back.
int UpdateOneByOne(const Before& before, const ClusterObject& object, const ClusterChange& change,
                   std::vector<Broker>& changed) {
  Rows rows = HeaderOf(object);
  bool failed = !before.without.empty();
  for (const Broker* const broker : before.with) {
    const grpc::Status status = change.apply(*broker->connection);
    if (status.ok()) {
      changed.push_back(*broker);
      rows.push_back({broker->group, "changed", "-"});
      continue;
    }
    const bool is_first = changed.empty();
    if (IsOpen(status)) changed.push_back(*broker);
    // Most likely the next one would say the same.
    if (broker->group.empty() || (is_first && !IsOpen(status))) {
      return broker->connection->Report(status);
    }
    failed = true;
    rows.push_back({broker->group,
                    fmt::format("{}: {}", IsOpen(status) ? "may be changed" : "as it was",
                                status.error_message()),
                    fmt::format("{} --broker {}", change.again, broker->group)});
  }
  if (!failed) return kOk;
  for (const Broker* const broker : before.without) {
    rows.push_back({broker->group, "there is none",
                    fmt::format("{} --broker {} ...", change.make, broker->group)});
  }
  fmt::print(stderr, "dunlinctl: {} {} was not changed everywhere:\n{}", object.kind, object.name,
             Table(rows));
  return kRefused;
}

}  // namespace

bool IsNotFound(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::NOT_FOUND;
}

bool IsCluster(const std::vector<Broker>& brokers) { return !brokers.front().group.empty(); }

int CreateAtAllOrNone(Connection& connection, const ClusterObject& object,
                      std::vector<Broker>& made) {
  if (const int exit = FindReachable(connection, made); exit != kOk) return exit;
  if (IsCluster(made)) {
    if (const int exit = CheckAbsent(made, object); exit != kOk) return exit;
  }
  std::vector<const Broker*> brokers;
  for (const Broker& broker : made) brokers.push_back(&broker);
  // It was not there before, so that it may be deleted.
  const Undo undo{object.remove, [&](const Connection& /*at*/) { return DeleteCommand(object); },
                  "there is none", "there",
                  "what was made at other groups was taken back: there is none"};
  return DoAtAllOrNone(brokers, object, object.create, "make", undo);
}

int UpdateAtAll(Connection& connection, const ClusterObject& object, const ClusterChange& change,
                std::vector<Broker>& changed) {
  std::vector<Broker> brokers;
  if (const int exit = FindReachable(connection, brokers); exit != kOk) return exit;
  Before before;
  if (const int exit = Look(brokers, object, before); exit != kOk) return exit;
  if (before.with.empty()) return Nowhere(object);
  if (const int exit = CheckConflicts(before, object, change); exit != kOk) return exit;
  if (change.undo == nullptr) return UpdateOneByOne(before, object, change, changed);
  const Undo undo{change.undo, change.undo_command, "as it was", "changed",
                  "what was changed at other groups was taken back: all of them are as they were"};
  const int exit = DoAtAllOrNone(before.with, object, change.apply, "change", undo);
  if (exit != kOk) return exit;
  for (const Broker* const broker : before.with) changed.push_back(*broker);
  return kOk;
}

int DeleteAtAll(Connection& connection, const ClusterObject& object) {
  std::vector<Broker> brokers;
  if (const int exit = FindReachable(connection, brokers); exit != kOk) return exit;
  if (!IsCluster(brokers)) return connection.Report(object.remove(connection));
  Before before;
  if (const int exit = Look(brokers, object, before); exit != kOk) return exit;
  if (before.with.empty()) return Nowhere(object);
  Rows rows = HeaderOf(object);
  bool failed = false;
  for (const Broker* const broker : before.with) {
    const grpc::Status status = object.remove(*broker->connection);
    if (status.ok() || IsNotFound(status)) {
      rows.push_back({broker->group, "deleted", "-"});
      continue;
    }
    // Most likely the next one would say the same.
    if (broker == before.with.front() && !IsOpen(status)) {
      fmt::print(stderr, "dunlinctl: broker group {} did not delete it. Nothing was deleted\n",
                 broker->group);
      return broker->connection->Report(status);
    }
    failed = true;
    rows.push_back(
        {broker->group,
         fmt::format("{} there: {}", IsOpen(status) ? "may be" : "is", status.error_message()),
         CommandAt(object, *broker, DeleteCommand(object))});
  }
  if (!failed) return kOk;
  for (const Broker* const broker : before.without) {
    rows.push_back({broker->group, "was not there", "-"});
  }
  fmt::print(stderr, "dunlinctl: {} {} was not deleted everywhere:\n{}", object.kind, object.name,
             Table(rows));
  return kRefused;
}

void ShowWhere(const Connection& connection, const std::vector<Broker>& brokers) {
  if (!IsCluster(brokers) || connection.options().format != Format::kTable) return;
  std::string groups;
  for (const Broker& broker : brokers) groups += (groups.empty() ? "" : ", ") + broker.group;
  fmt::print("at broker groups: {}\n", groups);
}

}  // namespace dunlin::cli
