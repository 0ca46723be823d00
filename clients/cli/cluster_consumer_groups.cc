#include "clients/cli/cluster_consumer_groups.h"

#include <fmt/format.h>

#include <string>
#include <vector>

#include "clients/cli/cluster_objects.h"
#include "clients/cli/cluster_settings.h"
#include "clients/cli/output.h"
#include "clients/cli/settings_options.h"

namespace dunlin::cli {
namespace {

using admin::v1::Group;

grpc::Status Create(Connection& at, const Group& group, Group& made) {
  admin::v1::CreateGroupRequest request;
  *request.mutable_group() = group;
  const auto context = at.Context();
  return at.admin().CreateGroup(context.get(), request, &made);
}

grpc::Status Update(Connection& at, const Group& change, Group& updated) {
  admin::v1::UpdateGroupRequest request;
  *request.mutable_group() = change;
  const auto context = at.Context();
  return at.admin().UpdateGroup(context.get(), request, &updated);
}

grpc::Status Get(Connection& at, const std::string& name, Group& found) {
  admin::v1::GetGroupRequest request;
  request.set_namespace_(at.options().name_space);
  request.set_name(name);
  admin::v1::GetGroupResponse response;
  const auto context = at.Context();
  grpc::Status status = at.admin().GetGroup(context.get(), request, &response);
  found = response.group();
  return status;
}

grpc::Status Delete(Connection& at, const std::string& name) {
  admin::v1::DeleteGroupRequest request;
  request.set_namespace_(at.options().name_space);
  request.set_name(name);
  admin::v1::DeleteGroupResponse response;
  const auto context = at.Context();
  return at.admin().DeleteGroup(context.get(), request, &response);
}

ClusterObject ObjectOf(const Connection& connection, const std::string& name) {
  const std::string& name_space = connection.options().name_space;
  ClusterObject object;
  object.kind = "consumer group";
  object.family = "group";
  object.name = name;
  if (!name_space.empty()) object.globals = " --namespace " + name_space;
  object.get = [name](Connection& at) {
    Group found;
    return Get(at, name, found);
  };
  object.remove = [name](Connection& at) { return Delete(at, name); };
  return object;
}

Group Back(const Group& change, const Group& before) {
  Group back;
  back.set_namespace_(change.namespace_());
  back.set_name(change.name());
  if (change.max_attempts() > 0) back.set_max_attempts(before.max_attempts());
  // One takes the place of the other.
  if (change.has_exponential() || !change.retry_delays_ms().empty()) {
    *back.mutable_retry_delays_ms() = before.retry_delays_ms();
    if (before.has_exponential()) *back.mutable_exponential() = before.exponential();
  }
  if (change.has_description()) back.set_description(before.description());
  if (change.delivery_order() != admin::v1::DELIVERY_ORDER_UNSPECIFIED) {
    back.set_delivery_order(before.delivery_order());
  }
  if (change.has_priority_factor()) back.set_priority_factor(before.priority_factor());
  if (change.has_start()) *back.mutable_start() = before.start();
  if (change.has_paused()) back.set_paused(before.paused());
  *back.mutable_rate() = RateBack(change.rate(), before.rate());
  if (change.has_max_in_flight()) back.set_max_in_flight(before.max_in_flight());
  if (change.lite_model() != admin::v1::LITE_MODEL_UNSPECIFIED) {
    back.set_lite_model(before.lite_model());
  }
  return back;
}

std::string Conflict(const Group& change, const Group& before) {
  const std::string& topic = before.lite_bind_topic();
  if (topic.empty() || change.lite_bind_topic().empty() || change.lite_bind_topic() == topic) {
    return "";
  }
  return fmt::format("is bound to topic {} for good", topic);
}

std::string Permanent(const Group& change, const Group& before) {
  if (change.lite_bind_topic().empty() || !before.lite_bind_topic().empty()) return "";
  return fmt::format("it is bound to topic {} for good", change.lite_bind_topic());
}

std::string CommandOf(const Group& change) {
  const std::string name = ShellWord(change.name());
  if (change.has_paused()) {
    return fmt::format("group {} {}", change.paused() ? "pause" : "resume", name);
  }
  return fmt::format("group update {}{}", name, OptionsOf(change));
}

SettingsOf<Group> GroupSettings() {
  SettingsOf<Group> settings;
  settings.update = Update;
  settings.back = Back;
  settings.conflict = Conflict;
  settings.permanent = Permanent;
  settings.command = CommandOf;
  settings.normalize = [](Group& group) {
    group.clear_id();
    group.clear_create_time();
    // "last" is another moment at each.
    group.clear_start();
  };
  return settings;
}

}  // namespace

int CreateGroupEverywhere(Connection& connection, const Group& group, const ShowGroup& shown) {
  Group created;
  ClusterObject object = ObjectOf(connection, group.name());
  object.create = [&](Connection& at) { return Create(at, group, created); };
  std::vector<Broker> brokers;
  if (const int exit = CreateAtAllOrNone(connection, object, brokers); exit != kOk) return exit;
  shown(created);
  ShowWhere(connection, brokers);
  return kOk;
}

int UpdateGroupEverywhere(Connection& connection, const Group& change, const ShowGroup& shown) {
  SettingsOf<Group> settings = GroupSettings();
  settings.get = [&](Connection& at, Group& found) { return Get(at, change.name(), found); };
  return UpdateEverywhere(connection, ObjectOf(connection, change.name()), change, settings, shown);
}

int DeleteGroupEverywhere(Connection& connection, const std::string& name) {
  return DeleteAtAll(connection, ObjectOf(connection, name));
}

}  // namespace dunlin::cli
