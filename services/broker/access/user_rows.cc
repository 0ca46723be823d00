#include "services/broker/access/user_rows.h"

#include "services/base/status_macros.h"

namespace dunlin::broker {
namespace {

// Of dunlin.admin.v1.UserType.
constexpr int32_t kNormalUser = 1;
constexpr int32_t kSuperUser = 2;
constexpr int32_t kLastAction = static_cast<int32_t>(Action::kList);
constexpr int32_t kDeny = 1;  // of dunlin.admin.v1.AccessRule.Decision

}  // namespace

storage::v1::User RowOf(const User& user) {
  storage::v1::User row;
  row.set_name(user.name);
  row.set_secret(user.secret);
  row.set_type(user.super ? kSuperUser : kNormalUser);
  row.set_enabled(user.enabled);
  row.set_description(user.description);
  row.set_created_ms(ToUnixMillis(user.created));
  for (const AccessRule& rule : user.rules) {
    storage::v1::AccessRule& stored = *row.add_rules();
    stored.set_resource(static_cast<int32_t>(rule.resource));
    stored.set_pattern(static_cast<int32_t>(rule.pattern));
    stored.set_name(rule.name);
    for (int32_t action = 1; action <= kLastAction; ++action) {
      if ((rule.actions & BitOf(static_cast<Action>(action))) != 0) stored.add_actions(action);
    }
    stored.set_decision(rule.deny ? kDeny : 0);
    for (const std::string& range : rule.source_ips) stored.add_source_ips(range);
  }
  return row;
}

absl::StatusOr<User> UserOf(const storage::v1::User& row) {
  User user;
  user.name = row.name();
  user.secret = row.secret();
  user.super = row.type() == kSuperUser;
  user.enabled = row.enabled();
  user.description = row.description();
  user.created = FromUnixMillis(row.created_ms());
  for (const storage::v1::AccessRule& stored : row.rules()) {
    AccessRule& rule = user.rules.emplace_back();
    rule.resource = static_cast<ResourceKind>(stored.resource());
    rule.pattern = static_cast<NamePattern>(stored.pattern());
    rule.name = stored.name();
    for (const int32_t action : stored.actions()) {
      // Those that are none are found by CheckUser.
      rule.actions |= action > 0 && action < 32 ? BitOf(static_cast<Action>(action)) : 1;
    }
    rule.deny = stored.decision() == kDeny;
    rule.source_ips.assign(stored.source_ips().begin(), stored.source_ips().end());
  }
  RETURN_IF_ERROR(CheckUser(user));
  return user;
}

}  // namespace dunlin::broker
