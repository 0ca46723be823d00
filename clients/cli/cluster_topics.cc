#include "clients/cli/cluster_topics.h"

#include <string>
#include <vector>

#include "clients/cli/cluster_objects.h"

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

ClusterObject ObjectOf(const Connection& connection, const std::string& name) {
  const std::string& name_space = connection.options().name_space;
  ClusterObject object;
  object.kind = "topic";
  object.name = name;
  if (!name_space.empty()) object.globals = " --namespace " + name_space;
  object.get = [name](Connection& at) { return Get(at, name); };
  object.remove = [name](Connection& at) { return Delete(at, name); };
  return object;
}

}  // namespace

int CreateTopicEverywhere(Connection& connection, const Topic& topic,
                          const std::function<void(const Topic&)>& shown) {
  Topic created;
  ClusterObject object = ObjectOf(connection, topic.name());
  object.create = [&](Connection& at) { return Create(at, topic, created); };
  std::vector<Broker> brokers;
  if (const int exit = CreateAtAllOrNone(connection, object, brokers); exit != kOk) return exit;
  if (IsCluster(brokers)) AwaitRoute(connection, brokers, topic.name());
  shown(created);
  ShowWhere(connection, brokers);
  return kOk;
}

int DeleteTopicEverywhere(Connection& connection, const std::string& name) {
  return DeleteAtAll(connection, ObjectOf(connection, name));
}

}  // namespace dunlin::cli
