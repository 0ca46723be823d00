// Settings of a topic or a consumer group, changed at all broker groups that have it, or at none.

#pragma once

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "clients/cli/cluster_objects.h"
#include "clients/cli/connection.h"

namespace dunlin::cli {

// A change, and all that is asked of a broker, is a Proto that has the fields that are changed.
template <typename Proto>
struct SettingsOf {
  std::function<grpc::Status(Connection&, Proto& found)> get;
  std::function<grpc::Status(Connection&, const Proto& change, Proto& updated)> update;
  // What puts back what the change changes.
  std::function<Proto(const Proto& change, const Proto& before)> back;
  // Of what is for good: what contradicts the change there; and what the change makes so, which
  // cannot be put back. Empty: nothing.
  std::function<std::string(const Proto& change, const Proto& before)> conflict;
  std::function<std::string(const Proto& change, const Proto& before)> permanent;
  // "topic update orders --queues 8"
  std::function<std::string(const Proto& change)> command;
  // Takes away what is another at each group.
  std::function<void(Proto&)> normalize;
};

// What puts back what the change changes.
admin::v1::Rate RateBack(const admin::v1::Rate& change, const admin::v1::Rate& before);

// `shown` is called with what it is at the first group; whether others have other settings is told.
template <typename Proto>
int UpdateEverywhere(Connection& connection, ClusterObject object, const Proto& settings,
                     const SettingsOf<Proto>& kind,
                     const std::function<void(const Proto&)>& shown) {
  std::map<std::string, Proto> before;
  std::map<std::string, Proto> updated;
  const auto at_of = [](const Connection& at) { return at.options().broker_group; };
  object.get = [&](Connection& at) { return kind.get(at, before[at_of(at)]); };
  ClusterChange change;
  change.apply = [&](Connection& at) { return kind.update(at, settings, updated[at_of(at)]); };
  change.conflict = [&](const Connection& at) {
    return kind.conflict(settings, before[at_of(at)]);
  };
  change.undo = [&](Connection& at) {
    const std::string permanent = kind.permanent(settings, before[at_of(at)]);
    if (!permanent.empty()) return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, permanent);
    Proto restored;
    return kind.update(at, kind.back(settings, before[at_of(at)]), restored);
  };
  change.undo_command = [&](const Connection& at) {
    const Proto& old = before[at_of(at)];
    return kind.permanent(settings, old).empty() ? kind.command(kind.back(settings, old)) : "";
  };
  std::vector<Broker> changed;
  if (const int exit = UpdateAtAll(connection, object, change, changed); exit != kOk) return exit;
  shown(updated.at(changed.front().group));
  ShowWhere(connection, changed);
  for (auto& [group, found] : updated) kind.normalize(found);
  for (const auto& [group, found] : updated) {
    if (found.SerializeAsString() == updated.begin()->second.SerializeAsString()) continue;
    fmt::print(stderr,
               "dunlinctl: {0} {1} is not the same at all broker groups: `{2} describe {1}` shows "
               "each\n",
               object.kind, object.name, object.family);
    break;
  }
  return kOk;
}

}  // namespace dunlin::cli
