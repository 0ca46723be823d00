#include "operator/planner/declared_user.h"

#include <fmt/format.h>

#include <set>
#include <string_view>
#include <utility>

#include "operator/planner/cluster_resource.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using Rule = admin::v1::AccessRule;

// The enumerators of brokers are called as those of resources, with other letters.
Rule::Resource ResourceOf(std::string_view name) {
  if (name == "Cluster") return Rule::CLUSTER;
  if (name == "Namespace") return Rule::NAMESPACE;
  return name == "Group" ? Rule::GROUP : Rule::TOPIC;
}

Rule::Pattern PatternOf(std::string_view name) {
  if (name == "Prefix") return Rule::PREFIX;
  return name == "Any" ? Rule::ANY : Rule::LITERAL;
}

Rule::Action ActionOf(std::string_view name) {
  constexpr std::pair<std::string_view, Rule::Action> kActions[] = {
      {"All", Rule::ALL},       {"Pub", Rule::PUB},       {"Sub", Rule::SUB},
      {"Create", Rule::CREATE}, {"Update", Rule::UPDATE}, {"Delete", Rule::DELETE},
      {"Get", Rule::GET},       {"List", Rule::LIST}};
  for (const auto& [known, action] : kActions) {
    if (known == name) return action;
  }
  return Rule::ACTION_UNSPECIFIED;  // brokers refuse it
}

Rule RuleOf(const Json& permission) {
  Rule rule;
  rule.set_resource(ResourceOf(k8s::StringAt(permission, {"resource", "type"})));
  rule.set_pattern(PatternOf(k8s::StringAt(permission, {"resource", "pattern"})));
  rule.set_name(std::string(k8s::StringAt(permission, {"resource", "name"})));
  if (const Json* const actions = k8s::Find(permission, {"actions"})) {
    for (const Json& action : *actions) rule.add_actions(ActionOf(k8s::StringAt(action, {})));
  }
  rule.set_decision(k8s::StringAt(permission, {"decision"}) == "Deny" ? Rule::DENY : Rule::ALLOW);
  if (const Json* const ips = k8s::Find(permission, {"sourceIps"})) {
    for (const Json& ip : *ips) rule.add_source_ips(std::string(k8s::StringAt(ip, {})));
  }
  return rule;
}

// Lists in one order, whatever order people wrote: it means nothing.
std::string TextOf(const Rule& rule) {
  std::set<std::string> actions;
  for (const int action : rule.actions()) {
    actions.insert(Rule::Action_Name(static_cast<Rule::Action>(action)));
  }
  const std::set<std::string> ips(rule.source_ips().begin(), rule.source_ips().end());
  return fmt::format(
      "{} {} {}{}{}{}{}{}", Rule::Decision_Name(rule.decision()), fmt::join(actions, "+"),
      Rule::Resource_Name(rule.resource()),
      rule.pattern() == Rule::LITERAL ? "" : " " + Rule::Pattern_Name(rule.pattern()),
      rule.name().empty() ? "" : " ", rule.name(), ips.empty() ? "" : " from ",
      fmt::join(ips, " "));
}

std::multiset<std::string> RulesOf(const admin::v1::User& user) {
  std::multiset<std::string> texts;
  for (const Rule& rule : user.rules()) texts.insert(TextOf(rule));
  return texts;
}

// Those of `some` that are not in `others`, each under what is to be done with it.
void AddMissing(std::string_view what, const std::multiset<std::string>& some,
                const std::multiset<std::string>& others, std::vector<std::string>& differences) {
  for (const std::string& rule : std::set<std::string>(some.begin(), some.end())) {
    if (some.count(rule) <= others.count(rule)) continue;
    differences.push_back(fmt::format("permissions: {}: {}", rule, what));
  }
}

}  // namespace

admin::v1::User UserOf(const Json& resource, const Credentials& credentials) {
  admin::v1::User user;
  user.set_name(ClusterNameOf(resource));
  user.set_secret(credentials.secret_key);
  user.set_type(k8s::StringAt(resource, {"spec", "type"}) == "Super" ? admin::v1::SUPER_USER
                                                                     : admin::v1::NORMAL_USER);
  user.set_enabled(k8s::BoolAt(resource, {"spec", "enabled"}, true));
  user.set_description(std::string(k8s::StringAt(resource, {"spec", "description"})));
  if (const Json* const permissions = k8s::Find(resource, {"spec", "permissions"})) {
    for (const Json& permission : *permissions) *user.add_rules() = RuleOf(permission);
  }
  return user;
}

std::vector<std::string> DifferencesOf(const admin::v1::User& wanted,
                                       const admin::v1::User& there) {
  std::vector<std::string> differences;
  if (there.secret_fingerprint() != SecretFingerprint({wanted.name(), wanted.secret()})) {
    differences.emplace_back("secret: to be that of its Secret");
  }
  if (there.type() != wanted.type()) {
    differences.push_back(fmt::format("type: {}, to be {}", admin::v1::UserType_Name(there.type()),
                                      admin::v1::UserType_Name(wanted.type())));
  }
  if (there.enabled() != wanted.enabled()) {
    differences.push_back(fmt::format("enabled: {}, to be {}", there.enabled(), wanted.enabled()));
  }
  if (there.description() != wanted.description()) {
    differences.push_back(
        fmt::format("description: '{}', to be '{}'", there.description(), wanted.description()));
  }
  const std::multiset<std::string> rules = RulesOf(there);
  const std::multiset<std::string> wanted_rules = RulesOf(wanted);
  AddMissing("to go", rules, wanted_rules, differences);
  AddMissing("to be added", wanted_rules, rules, differences);
  return differences;
}

}  // namespace dunlin::op
