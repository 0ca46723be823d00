#include "clients/cli/cluster_users.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
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
  object.kind = "user";
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

// What the groups have before a change.
struct Before {
  std::vector<std::pair<const Broker*, User>> users;
  std::vector<const Broker*> without;
};

int Look(const Connection& connection, const std::vector<Broker>& brokers, const std::string& name,
         Before& before) {
  for (const Broker& broker : brokers) {
    User user;
    const grpc::Status status = Get(*broker.connection, name, user);
    if (status.ok()) {
      before.users.emplace_back(&broker, std::move(user));
    } else if (IsNotFound(status) && IsCluster(brokers)) {
      before.without.push_back(&broker);
    } else {
      return connection.Report(status);
    }
  }
  if (!before.users.empty()) return kOk;
  fmt::print(stderr, "dunlinctl: no broker of the cluster has user {}\n", name);
  return kNotFound;
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
  changed = false;
  std::vector<Broker> brokers;
  if (const int exit = FindReachable(connection, brokers); exit != kOk) return exit;
  // All are asked before anything is changed.
  Before before;
  if (const int exit = Look(connection, brokers, change.name, before); exit != kOk) return exit;
  std::vector<std::vector<std::string>> rows = {{"GROUP", "USER", "TO MEND IT"}};
  bool failed = !before.without.empty();
  User updated;
  for (auto& [broker, user] : before.users) {
    change.apply(user);
    const grpc::Status status = Update(*broker->connection, user, updated);
    if (status.ok()) {
      changed = true;
      rows.push_back({broker->group, "changed", "-"});
      continue;
    }
    // Most likely the next one would say the same.
    if (!changed && !IsOpen(status)) return broker->connection->Report(status);
    if (!IsCluster(brokers)) {
      changed = true;
      return broker->connection->Report(status);
    }
    failed = changed = true;
    rows.push_back({broker->group,
                    fmt::format("{}: {}", IsOpen(status) ? "may be changed" : "as it was",
                                status.error_message()),
                    fmt::format("{} --broker {}", change.again, broker->group)});
  }
  if (failed) {
    for (const Broker* broker : before.without) {
      rows.push_back(
          {broker->group, "there is none",
           fmt::format("dunlinctl user create {} --broker {} ...", change.name, broker->group)});
    }
    fmt::print(stderr, "dunlinctl: user {} was not changed everywhere:\n{}", change.name,
               Table(rows));
    return kRefused;
  }
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
