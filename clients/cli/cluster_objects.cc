#include "clients/cli/cluster_objects.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdio>

namespace dunlin::cli {
namespace {

std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::vector<std::string> HeaderOf(const ClusterObject& object) {
  return {"GROUP", Upper(object.kind), "TO MEND IT"};
}

// It was not deleted there.
std::vector<std::string> LeftRow(const ClusterObject& object, const Broker& broker,
                                 const grpc::Status& status) {
  return {broker.group, "may be there: " + status.error_message(),
          fmt::format("dunlinctl --endpoint {}{} {} delete {} --yes", broker.endpoint,
                      object.globals, object.kind, object.name)};
}

// None of the brokers has it, and all answer; else it is reported.
int CheckAbsent(const std::vector<Broker>& brokers, const ClusterObject& object) {
  for (const Broker& broker : brokers) {
    const grpc::Status status = object.get(*broker.connection);
    if (IsNotFound(status)) continue;
    if (!status.ok()) return broker.connection->Report(status);
    fmt::print(stderr,
               "dunlinctl: broker group {} has {} {} already; --broker names the groups that "
               "are to get it, `{} update` changes it. Nothing was made\n",
               broker.group, object.kind, object.name, object.kind);
    return kRefused;
  }
  return kOk;
}

// Takes back what was made; says what could not be.
void RollBack(const std::vector<const Broker*>& made, const ClusterObject& object) {
  std::vector<std::vector<std::string>> rows = {HeaderOf(object)};
  bool failed = false;
  for (const Broker* broker : made) {
    const grpc::Status status = object.remove(*broker->connection);
    if (status.ok() || IsNotFound(status)) {
      rows.push_back({broker->group, "taken back", "-"});
      continue;
    }
    failed = true;
    rows.push_back(LeftRow(object, *broker, status));
  }
  if (failed) {
    fmt::print(stderr, "dunlinctl: and not all of it could be taken back:\n{}", Table(rows));
  } else {
    fmt::print(stderr, "dunlinctl: what was made at other groups was taken back: there is none\n");
  }
}

}  // namespace

bool IsNotFound(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::NOT_FOUND;
}

bool IsOpen(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE ||
         status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ||
         status.error_code() == grpc::StatusCode::CANCELLED;
}

bool IsCluster(const std::vector<Broker>& brokers) { return !brokers.front().group.empty(); }

int CreateAtAllOrNone(Connection& connection, const ClusterObject& object,
                      std::vector<Broker>& made) {
  if (const int exit = FindReachable(connection, made); exit != kOk) return exit;
  const bool is_cluster = IsCluster(made);
  if (is_cluster) {
    if (const int exit = CheckAbsent(made, object); exit != kOk) return exit;
  }
  std::vector<const Broker*> done;
  for (const Broker& broker : made) {
    const grpc::Status status = object.create(*broker.connection);
    if (status.ok()) {
      done.push_back(&broker);
      continue;
    }
    if (is_cluster)
      fmt::print(stderr, "dunlinctl: broker group {} did not make it\n", broker.group);
    const int exit = broker.connection->Report(status);
    // It was not there before.
    if (is_cluster && IsOpen(status)) done.push_back(&broker);
    if (!done.empty()) RollBack(done, object);
    return exit;
  }
  return kOk;
}

int DeleteAtAll(Connection& connection, const ClusterObject& object) {
  std::vector<Broker> brokers;
  if (const int exit = FindReachable(connection, brokers); exit != kOk) return exit;
  if (!IsCluster(brokers)) return connection.Report(object.remove(connection));
  std::vector<std::vector<std::string>> rows = {HeaderOf(object)};
  int deleted = 0;
  int failed = 0;
  for (const Broker& broker : brokers) {
    const grpc::Status status = object.remove(*broker.connection);
    if (status.ok()) {
      ++deleted;
      rows.push_back({broker.group, "deleted", "-"});
    } else if (IsNotFound(status)) {
      rows.push_back({broker.group, "was not there", "-"});
    } else {
      ++failed;
      rows.push_back(LeftRow(object, broker, status));
    }
  }
  if (failed > 0) {
    fmt::print(stderr, "dunlinctl: {} {} was not deleted everywhere:\n{}", object.kind, object.name,
               Table(rows));
    return kRefused;
  }
  if (deleted > 0) return kOk;
  fmt::print(stderr, "dunlinctl: no broker of the cluster has {} {}\n", object.kind, object.name);
  return kNotFound;
}

void ShowWhere(const Connection& connection, const std::vector<Broker>& brokers) {
  if (!IsCluster(brokers) || connection.options().format != Format::kTable) return;
  std::string groups;
  for (const Broker& broker : brokers) groups += (groups.empty() ? "" : ", ") + broker.group;
  fmt::print("at broker groups: {}\n", groups);
}

}  // namespace dunlin::cli
