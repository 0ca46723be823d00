#include "clients/cli/cluster_users.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

#include "clients/cli/access_rule_text.h"
#include "clients/cli/cluster_objects.h"

namespace dunlin::cli {
namespace {

using admin::v1::User;

grpc::Status Get(Connection& at, const std::string& name, User& user) {
  admin::v1::GetUserRequest request;
  request.set_name(name);
  const auto context = at.Context();
  return at.admin().GetUser(context.get(), request, &user);
}

grpc::Status Create(Connection& at, const User& user, User& made) {
  admin::v1::CreateUserRequest request;
  *request.mutable_user() = user;
  const auto context = at.Context();
  return at.admin().CreateUser(context.get(), request, &made);
}

grpc::Status Update(Connection& at, const User& user, User& updated) {
  admin::v1::UpdateUserRequest request;
  *request.mutable_user() = user;
  const auto context = at.Context();
  return at.admin().UpdateUser(context.get(), request, &updated);
}

grpc::Status Delete(Connection& at, const std::string& name) {
  admin::v1::DeleteUserRequest request;
  request.set_name(name);
  admin::v1::DeleteUserResponse response;
  const auto context = at.Context();
  return at.admin().DeleteUser(context.get(), request, &response);
}

ClusterObject ObjectOf(const std::string& name) {
  ClusterObject object;
  object.kind = object.family = "user";
  object.name = name;
  object.get = [name](Connection& at) {
    User user;
    return Get(at, name, user);
  };
  object.remove = [name](Connection& at) { return Delete(at, name); };
  return object;
}

// Their order means nothing: what one denies is denied.
std::vector<std::string> SortedRules(const User& user) {
  std::vector<std::string> rules;
  for (const admin::v1::AccessRule& rule : user.rules()) {
    rules.push_back(fmt::format("{} {}", static_cast<int>(rule.decision()), RuleText(rule)));
  }
  std::sort(rules.begin(), rules.end());
  return rules;
}

}  // namespace

int CreateUserEverywhere(Connection& connection, const User& user, const ShowUser& shown) {
  User created;
  ClusterObject object = ObjectOf(user.name());
  object.create = [&](Connection& at) { return Create(at, user, created); };
  std::vector<Broker> brokers;
  if (const int exit = CreateAtAllOrNone(connection, object, brokers); exit != kOk) return exit;
  shown(connection, created);
  ShowWhere(connection, brokers);
  return kOk;
}

int UpdateUserEverywhere(Connection& connection, const UserChange& change, const ShowUser& shown,
                         bool& changed) {
  std::map<std::string, User> before;
  User updated;
  ClusterObject object = ObjectOf(change.name);
  object.get = [&](Connection& at) {
    return Get(at, change.name, before[at.options().broker_group]);
  };
  // Without an undo: brokers do not tell a secret, and who was shut out is not let in again.
  ClusterChange at_all;
  at_all.apply = [&](Connection& at) {
    User user = before[at.options().broker_group];
    change.apply(user);
    return Update(at, user, updated);
  };
  at_all.again = change.again;
  at_all.make = fmt::format("dunlinctl user create {}", change.name);
  std::vector<Broker> brokers;
  const int exit = UpdateAtAll(connection, object, at_all, brokers);
  changed = !brokers.empty();
  if (exit != kOk) return exit;
  shown(connection, updated);
  ShowWhere(connection, brokers);
  return kOk;
}

int GetUserEverywhere(Connection& connection, const std::string& name, const ShowUser& show) {
  UserByGroup users;
  const int exit = AtHolders(connection, "user " + name, [&](Connection& at) {
    auto user = std::make_unique<User>();
    const grpc::Status status = Get(at, name, *user);
    const std::string& group = at.options().broker_group;
    if (IsNotFound(status)) users.emplace_back(group, nullptr);
    if (!status.ok()) return at.Report(status);
    show(at, *user);
    users.emplace_back(group, std::move(user));
    return static_cast<int>(kOk);
  });
  const std::vector<std::string> differences = DifferencesOf(users);
  if (differences.empty()) return exit;
  fmt::print(stderr,
             "dunlinctl: user {} is not the same at all broker groups: {}; `user update` sets "
             "what is given at all of them, --broker names those of a `user create`\n",
             name, fmt::join(differences, "; "));
  return exit;
}

int DeleteUserEverywhere(Connection& connection, const std::string& name) {
  return DeleteAtAll(connection, ObjectOf(name));
}

std::vector<std::string> DifferencesOf(const UserByGroup& users) {
  std::vector<std::string> differences;
  const auto first = std::find_if(users.begin(), users.end(),
                                  [](const auto& entry) { return entry.second != nullptr; });
  if (first == users.end()) return differences;
  const auto& [model_group, model] = *first;
  for (const auto& [group, user] : users) {
    if (user == nullptr) {
      differences.push_back(fmt::format("{} has none", group));
      continue;
    }
    std::vector<std::string> others;
    if (user->secret_fingerprint() != model->secret_fingerprint()) others.push_back("secret");
    if (user->type() != model->type()) others.push_back("type");
    if (user->enabled() != model->enabled()) others.push_back("state");
    if (SortedRules(*user) != SortedRules(*model)) others.push_back("rules");
    if (user->description() != model->description()) others.push_back("description");
    if (others.empty()) continue;
    differences.push_back(
        fmt::format("{} has another {} than {}", group, fmt::join(others, " and "), model_group));
  }
  return differences;
}

}  // namespace dunlin::cli
