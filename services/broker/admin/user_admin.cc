#include "services/broker/admin/user_admin.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "services/base/request_signature.h"
#include "services/base/status_macros.h"
#include "services/broker/admin/paging.h"
#include "services/broker/admin/resource_protos.h"
#include "services/broker/admission/text.h"
#include "services/broker/topics/qualified_name.h"

namespace dunlin::broker {
namespace {

using Rule = admin::v1::AccessRule;

absl::StatusOr<User> ParseUser(const admin::v1::User& proto) {
  if (!admin::v1::UserType_IsValid(proto.type())) {
    return absl::InvalidArgumentError(
        fmt::format("user {}: {} is no type; choose NORMAL_USER or SUPER_USER", proto.name(),
                    static_cast<int>(proto.type())));
  }
  User user;
  user.name = proto.name();
  user.secret = proto.secret();
  user.super = proto.type() == admin::v1::SUPER_USER;
  user.enabled = !proto.has_enabled() || proto.enabled();
  user.description = proto.description();
  for (const Rule& rule : proto.rules()) {
    if (!Rule::Decision_IsValid(rule.decision())) {
      return absl::InvalidArgumentError(
          fmt::format("user {}: rule {}: {} is no decision; choose ALLOW or DENY", proto.name(),
                      user.rules.size() + 1, static_cast<int>(rule.decision())));
    }
    AccessRule& parsed = user.rules.emplace_back();
    parsed.resource = static_cast<ResourceKind>(rule.resource());
    parsed.pattern = static_cast<NamePattern>(rule.pattern());
    parsed.name = rule.name();
    parsed.deny = rule.decision() == Rule::DENY;
    parsed.source_ips.assign(rule.source_ips().begin(), rule.source_ips().end());
    for (const int action : rule.actions()) {
      // Bit 0 is no action: the check of the user finds it.
      parsed.actions |= Rule::Action_IsValid(action) ? BitOf(static_cast<Action>(action)) : 1;
    }
  }
  return user;
}

// Rules about topics of groups count for nothing, so that nobody is to make one. Who has such from
// earlier can be changed all the same.
absl::Status CheckNewRules(const User& user, const User* old) {
  for (size_t i = 0; i < user.rules.size(); ++i) {
    const AccessRule& rule = user.rules[i];
    const std::string_view name = SplitQualifiedName(rule.name).second;
    if (rule.resource != ResourceKind::kTopic || !IsTopicOfGroup(name)) continue;
    const bool had =
        old != nullptr &&
        std::any_of(old->rules.begin(), old->rules.end(), [&](const AccessRule& before) {
          return before.resource == rule.resource && before.name == rule.name;
        });
    if (had) continue;
    return absl::InvalidArgumentError(fmt::format(
        "user {}: rule {}: topic {} goes by the rules about its group: make it one about GROUP {}",
        user.name, i + 1, Quoted(rule.name), Quoted(GroupOfTopic(name))));
  }
  return absl::OkStatus();
}

admin::v1::User ToProto(const User& user) {
  admin::v1::User proto;
  proto.set_name(user.name);
  proto.set_type(user.super ? admin::v1::SUPER_USER : admin::v1::NORMAL_USER);
  proto.set_enabled(user.enabled);
  proto.set_description(user.description);
  proto.set_secret_fingerprint(SecretFingerprint({user.name, user.secret}));
  SetTime(user.created, proto.mutable_create_time());
  for (const AccessRule& rule : user.rules) {
    Rule& shown = *proto.add_rules();
    shown.set_resource(static_cast<Rule::Resource>(rule.resource));
    shown.set_pattern(static_cast<Rule::Pattern>(rule.pattern));
    shown.set_name(rule.name);
    shown.set_decision(rule.deny ? Rule::DENY : Rule::ALLOW);
    for (int action = Rule::ALL; action <= Rule::LIST; ++action) {
      if ((rule.actions & BitOf(static_cast<Action>(action))) != 0) {
        shown.add_actions(static_cast<Rule::Action>(action));
      }
    }
    for (const std::string& range : rule.source_ips) shown.add_source_ips(range);
  }
  return proto;
}

}  // namespace

absl::StatusOr<admin::v1::User> UserAdmin::Create(const admin::v1::CreateUserRequest& request) {
  ASSIGN_OR_RETURN(User user, ParseUser(request.user()));
  RETURN_IF_ERROR(access_.CheckNotOfFile(user.name));
  RETURN_IF_ERROR(CheckNewRules(user, nullptr));
  ASSIGN_OR_RETURN(const std::shared_ptr<const User> created, users_.Create(std::move(user)));
  return ToProto(*created);
}

absl::StatusOr<admin::v1::User> UserAdmin::Update(const admin::v1::UpdateUserRequest& request) {
  ASSIGN_OR_RETURN(User user, ParseUser(request.user()));
  RETURN_IF_ERROR(access_.CheckNotOfFile(user.name));
  // Who changes something else does not enable it by the way.
  const std::shared_ptr<const User> now = users_.Find(user.name);
  RETURN_IF_ERROR(CheckNewRules(user, now.get()));
  if (now != nullptr && !request.user().has_enabled()) user.enabled = now->enabled;
  ASSIGN_OR_RETURN(const std::shared_ptr<const User> updated, users_.Update(std::move(user)));
  return ToProto(*updated);
}

absl::StatusOr<admin::v1::User> UserAdmin::Get(const admin::v1::GetUserRequest& request) const {
  const std::shared_ptr<const User> user = users_.Find(request.name());
  if (user == nullptr) {
    RETURN_IF_ERROR(access_.CheckNotOfFile(request.name()));
    return absl::NotFoundError(fmt::format("there is no user {}", Quoted(request.name())));
  }
  return ToProto(*user);
}

absl::StatusOr<admin::v1::ListUsersResponse> UserAdmin::List(
    const admin::v1::ListUsersRequest& request) const {
  admin::v1::ListUsersResponse response;
  ASSIGN_OR_RETURN(const auto page, Page(users_.Users(), request.page_size(), request.page_token(),
                                         *response.mutable_next_page_token()));
  for (const auto& user : page) *response.add_users() = ToProto(*user);
  return response;
}

absl::Status UserAdmin::Delete(const admin::v1::DeleteUserRequest& request) {
  // One of that name that was made before there was the file counts for nothing, and may go.
  if (users_.Find(request.name()) == nullptr) {
    RETURN_IF_ERROR(access_.CheckNotOfFile(request.name()));
  }
  return users_.Delete(request.name());
}

}  // namespace dunlin::broker
