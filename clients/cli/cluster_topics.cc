#include "clients/cli/cluster_topics.h"

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "clients/cli/cluster.h"

namespace dunlin::cli {
namespace {

using admin::v1::Topic;

// What a name service needs to hear of a new topic.
constexpr int kRouteLooks = 50;

grpc::Status Create(Connection& at, const Topic& topic, Topic& made) {
  admin::v1::CreateTopicRequest request;
  *request.mutable_topic() = topic;
  const auto context = at.Context();
  return at.admin().CreateTopic(context.get(), request, &made);
}

grpc::Status Get(Connection& at, const std::string& name) {
  admin::v1::GetTopicRequest request;
  request.set_namespace_(at.options().name_space);
  request.set_name(name);
  admin::v1::GetTopicResponse response;
  const auto context = at.Context();
  return at.admin().GetTopic(context.get(), request, &response);
}

grpc::Status Delete(Connection& at, const std::string& name) {
  admin::v1::DeleteTopicRequest request;
  request.set_namespace_(at.options().name_space);
  request.set_name(name);
  admin::v1::DeleteTopicResponse response;
  const auto context = at.Context();
  return at.admin().DeleteTopic(context.get(), request, &response);
}

bool IsNotFound(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::NOT_FOUND;
}

// Nobody knows whether it was done.
bool IsOpen(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE ||
         status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ||
         status.error_code() == grpc::StatusCode::CANCELLED;
}

std::string DeleteCommand(const Broker& broker, const std::string& name_space,
                          const std::string& name) {
  return fmt::format("dunlinctl --endpoint {}{} topic delete {} --yes", broker.endpoint,
                     name_space.empty() ? "" : " --namespace " + name_space, name);
}

// None of the brokers has it, and all answer; else it is reported.
int CheckAbsent(const std::vector<Broker>& brokers, const std::string& name) {
  for (const Broker& broker : brokers) {
    const grpc::Status status = Get(*broker.connection, name);
    if (IsNotFound(status)) continue;
    if (!status.ok()) return broker.connection->Report(status);
    fmt::print(stderr,
               "dunlinctl: broker group {} has topic {} already; --broker names the groups that "
               "are to get it, `topic update` changes it. Nothing was made\n",
               broker.group, name);
    return kRefused;
  }
  return kOk;
}

// Takes back what was made; says what could not be.
void RollBack(const std::vector<const Broker*>& made, const Topic& topic) {
  std::vector<std::vector<std::string>> rows = {{"GROUP", "TOPIC", "TO MEND IT"}};
  bool failed = false;
  for (const Broker* broker : made) {
    const grpc::Status status = Delete(*broker->connection, topic.name());
    if (status.ok() || IsNotFound(status)) {
      rows.push_back({broker->group, "taken back", "-"});
      continue;
    }
    failed = true;
    rows.push_back({broker->group, "may be there: " + status.error_message(),
                    DeleteCommand(*broker, topic.namespace_(), topic.name())});
  }
  if (failed) {
    fmt::print(stderr, "dunlinctl: and not all of it could be taken back:\n{}", Table(rows));
  } else {
    fmt::print(stderr, "dunlinctl: what was made at other groups was taken back: there is none\n");
  }
}

// Until the name service tells its clients of it.
void AwaitRoute(Connection& connection, const std::vector<Broker>& brokers,
                const std::string& name) {
  for (int i = 0; i < kRouteLooks; ++i) {
    apache::rocketmq::v2::QueryRouteRequest request;
    request.mutable_topic()->set_resource_namespace(connection.options().name_space);
    request.mutable_topic()->set_name(name);
    apache::rocketmq::v2::QueryRouteResponse response;
    const auto context = connection.Context();
    if (!connection.messaging().QueryRoute(context.get(), request, &response).ok()) return;
    size_t there = 0;
    for (const Broker& broker : brokers) {
      for (const auto& queue : response.message_queues()) {
        if (queue.broker().name() != broker.group) continue;
        ++there;
        break;
      }
    }
    if (there == brokers.size()) return;
    connection.Pause(std::chrono::milliseconds(20));
  }
}

}  // namespace

int CreateTopicEverywhere(Connection& connection, const Topic& topic,
                          const std::function<void(const Topic&)>& shown) {
  std::vector<Broker> brokers;
  if (const int exit = FindReachable(connection, brokers); exit != kOk) return exit;
  const bool is_cluster = !brokers.front().group.empty();
  if (is_cluster) {
    if (const int exit = CheckAbsent(brokers, topic.name()); exit != kOk) return exit;
  }
  std::vector<const Broker*> made;
  Topic created;
  for (const Broker& broker : brokers) {
    const grpc::Status status = Create(*broker.connection, topic, created);
    if (status.ok()) {
      made.push_back(&broker);
      continue;
    }
    if (is_cluster)
      fmt::print(stderr, "dunlinctl: broker group {} did not make it\n", broker.group);
    const int exit = broker.connection->Report(status);
    // It was not there before.
    if (is_cluster && IsOpen(status)) made.push_back(&broker);
    if (!made.empty()) RollBack(made, topic);
    return exit;
  }
  if (is_cluster) AwaitRoute(connection, brokers, topic.name());
  shown(created);
  if (is_cluster && connection.options().format == Format::kTable) {
    std::string groups;
    for (const Broker& broker : brokers) groups += (groups.empty() ? "" : ", ") + broker.group;
    fmt::print("at broker groups: {}\n", groups);
  }
  return kOk;
}

int DeleteTopicEverywhere(Connection& connection, const std::string& name) {
  std::vector<Broker> brokers;
  if (const int exit = FindReachable(connection, brokers); exit != kOk) return exit;
  if (brokers.front().group.empty()) return connection.Report(Delete(connection, name));
  std::vector<std::vector<std::string>> rows = {{"GROUP", "TOPIC", "TO MEND IT"}};
  int deleted = 0;
  int failed = 0;
  for (const Broker& broker : brokers) {
    const grpc::Status status = Delete(*broker.connection, name);
    if (status.ok()) {
      ++deleted;
      rows.push_back({broker.group, "deleted", "-"});
    } else if (IsNotFound(status)) {
      rows.push_back({broker.group, "was not there", "-"});
    } else {
      ++failed;
      rows.push_back({broker.group, "may be there: " + status.error_message(),
                      DeleteCommand(broker, connection.options().name_space, name)});
    }
  }
  if (failed > 0) {
    fmt::print(stderr, "dunlinctl: topic {} was not deleted everywhere:\n{}", name, Table(rows));
    return kRefused;
  }
  if (deleted > 0) return kOk;
  fmt::print(stderr, "dunlinctl: no broker of the cluster has topic {}\n", name);
  return kNotFound;
}

}  // namespace dunlin::cli
