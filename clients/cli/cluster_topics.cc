#include "clients/cli/cluster_topics.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "clients/cli/cluster_objects.h"
#include "clients/cli/cluster_settings.h"
#include "clients/cli/output.h"
#include "clients/cli/settings_options.h"

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

grpc::Status Update(Connection& at, const Topic& change, Topic& updated) {
  admin::v1::UpdateTopicRequest request;
  *request.mutable_topic() = change;
  const auto context = at.Context();
  return at.admin().UpdateTopic(context.get(), request, &updated);
}

grpc::Status Get(Connection& at, const std::string& name, Topic& found) {
  admin::v1::GetTopicRequest request;
  request.set_namespace_(at.options().name_space);
  request.set_name(name);
  admin::v1::GetTopicResponse response;
  const auto context = at.Context();
  grpc::Status status = at.admin().GetTopic(context.get(), request, &response);
  found = response.topic();
  return status;
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
  object.kind = object.family = "topic";
  object.name = name;
  if (!name_space.empty()) object.globals = " --namespace " + name_space;
  object.get = [name](Connection& at) {
    Topic found;
    return Get(at, name, found);
  };
  object.remove = [name](Connection& at) { return Delete(at, name); };
  return object;
}

Topic Back(const Topic& change, const Topic& before) {
  Topic back;
  back.set_namespace_(change.namespace_());
  back.set_name(change.name());
  if (change.queues() > 0) back.set_queues(before.queues());
  if (!change.kinds().empty()) *back.mutable_kinds() = before.kinds();
  if (change.permission() != admin::v1::PERMISSION_UNSPECIFIED) {
    back.set_permission(before.permission());
  }
  if (change.has_description()) back.set_description(before.description());
  if (change.has_compacted()) back.set_compacted(before.compacted());
  if (change.has_lite_expiration_minutes()) {
    back.set_lite_expiration_minutes(before.lite_expiration_minutes());
  }
  *back.mutable_send_rate() = RateBack(change.send_rate(), before.send_rate());
  // A broker leaves out what is no limit.
  admin::v1::TopicRetention& retention = *back.mutable_retention();
  if (change.retention().has_max_age_ms()) {
    retention.set_max_age_ms(before.retention().max_age_ms());
  }
  if (change.retention().has_max_queue_bytes()) {
    retention.set_max_queue_bytes(before.retention().max_queue_bytes());
  }
  if (change.retention().has_consumed()) retention.set_consumed(before.retention().consumed());
  return back;
}

bool IsLite(const Topic& topic) {
  return topic.kinds_size() == 1 && topic.kinds(0) == admin::v1::LITE;
}

std::string Conflict(const Topic& change, const Topic& before) {
  if (before.compacted() && change.has_compacted() && !change.compacted()) {
    return "is compacted and stays so";
  }
  if (change.kinds().empty() || IsLite(change) == IsLite(before)) return "";
  return fmt::format("is {} of kind LITE and stays so", IsLite(before) ? "one" : "not one");
}

std::string Permanent(const Topic& change, const Topic& before) {
  return change.compacted() && !before.compacted() ? "it is compacted and stays so" : "";
}

SettingsOf<Topic> TopicSettings() {
  SettingsOf<Topic> settings;
  settings.update = Update;
  settings.back = Back;
  settings.conflict = Conflict;
  settings.permanent = Permanent;
  settings.command = [](const Topic& change) {
    return fmt::format("topic update {}{}", ShellWord(change.name()), OptionsOf(change));
  };
  settings.normalize = [](Topic& topic) {
    topic.clear_id();
    topic.clear_create_time();
    topic.clear_read_queues();
  };
  return settings;
}

}  // namespace

int CreateTopicEverywhere(Connection& connection, const Topic& topic, const ShowTopic& shown) {
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

int UpdateTopicEverywhere(Connection& connection, const Topic& change, const ShowTopic& shown) {
  SettingsOf<Topic> settings = TopicSettings();
  settings.get = [&](Connection& at, Topic& found) { return Get(at, change.name(), found); };
  return UpdateEverywhere(connection, ObjectOf(connection, change.name()), change, settings, shown);
}

int DeleteTopicEverywhere(Connection& connection, const std::string& name) {
  return DeleteAtAll(connection, ObjectOf(connection, name));
}

}  // namespace dunlin::cli
