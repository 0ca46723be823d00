#include "services/broker/access/user.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/admission/text.h"
#include "services/broker/topics/qualified_name.h"

namespace dunlin::broker {
namespace {

constexpr std::array<std::string_view, 9> kActionNames = {
    "", "ALL", "PUB", "SUB", "CREATE", "UPDATE", "DELETE", "GET", "LIST"};
constexpr std::string_view kRetryPrefix = "%RETRY%";

constexpr uint32_t kKnownActions = 0b111111110;

absl::Status Invalid(const std::string& message) { return absl::InvalidArgumentError(message); }

bool MayStandInUserName(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-';
}

bool MayStandInResourceName(char c) {
  return (MayStandInUserName(c) && c != '.') || c == '%' || c == '|';
}

std::string_view NameOf(ResourceKind kind) {
  switch (kind) {
    case ResourceKind::kCluster:
      return "CLUSTER";
    case ResourceKind::kNamespace:
      return "NAMESPACE";
    case ResourceKind::kTopic:
      return "TOPIC";
    case ResourceKind::kGroup:
      return "GROUP";
  }
  return "";
}

// The topics of a group, which brokers make and write themselves.
constexpr uint32_t kActionsOnTopicsOfGroups = BitOf(Action::kSub) | BitOf(Action::kUpdate) |
                                              BitOf(Action::kDelete) | BitOf(Action::kGet) |
                                              BitOf(Action::kList);

uint32_t ActionsOf(const AccessRule& rule) {
  return (rule.actions & BitOf(Action::kAll)) != 0 ? kKnownActions : rule.actions;
}

absl::Status CheckResourceName(const AccessRule& rule) {
  if (rule.pattern == NamePattern::kAny || rule.resource == ResourceKind::kCluster) {
    if (rule.name.empty()) return absl::OkStatus();
    return Invalid(
        fmt::format("it is about all of them, and has a name: {}; remove the name, or "
                    "take another pattern",
                    Quoted(rule.name)));
  }
  if (rule.name.empty()) return Invalid("it names nothing; give a name, or pattern ANY");
  const bool may_be_qualified = rule.resource != ResourceKind::kNamespace;
  const auto [name_space, name] = SplitQualifiedName(rule.name);
  const bool legal = std::all_of(name.begin(), name.end(), MayStandInResourceName) &&
                     std::all_of(name_space.begin(), name_space.end(), MayStandInResourceName) &&
                     (may_be_qualified || name.size() == rule.name.size());
  if (rule.name.size() > 255) {
    return Invalid(
        fmt::format("it has a name of {} bytes, more than the 255 of the longest one: {}",
                    rule.name.size(), Quoted(rule.name)));
  }
  // "ns/" is the beginning of all names in ns.
  const bool empty = name.empty() && rule.pattern == NamePattern::kLiteral;
  if (!legal || empty) {
    return Invalid(fmt::format("it has a name that is none: {}; use a-z A-Z 0-9 _ - % |{}",
                               Quoted(rule.name), may_be_qualified ? ", or namespace/name" : ""));
  }
  return absl::OkStatus();
}

absl::Status CheckActions(const AccessRule& rule) {
  if (rule.actions == 0 || (rule.actions & ~kKnownActions) != 0) {
    return Invalid(
        "it has no known action; choose ALL, or among PUB, SUB, CREATE, UPDATE, DELETE, "
        "GET, LIST");
  }
  const auto has = [&](Action action) { return (rule.actions & BitOf(action)) != 0; };
  if (has(Action::kAll) && rule.actions != BitOf(Action::kAll)) {
    return Invalid("it has ALL and other actions; ALL stands alone");
  }
  const bool is_namespace = rule.resource == ResourceKind::kNamespace;
  if (has(Action::kPub) && rule.resource != ResourceKind::kTopic && !is_namespace) {
    return Invalid("it has PUB, which is for topics and namespaces");
  }
  if (has(Action::kSub) && rule.resource == ResourceKind::kCluster) {
    return Invalid("it has SUB, which is for topics, groups and namespaces");
  }
  if (has(Action::kList) && rule.pattern != NamePattern::kAny &&
      rule.resource != ResourceKind::kCluster) {
    return Invalid("it has LIST, which tells all names: that needs pattern ANY");
  }
  return absl::OkStatus();
}

absl::Status CheckRule(AccessRule& rule) {
  if (NameOf(rule.resource).empty()) {
    return Invalid("it is about no known resource; choose CLUSTER, NAMESPACE, TOPIC or GROUP");
  }
  if (rule.pattern < NamePattern::kLiteral || rule.pattern > NamePattern::kAny) {
    return Invalid("it has no known pattern; choose LITERAL, PREFIX or ANY");
  }
  RETURN_IF_ERROR(CheckResourceName(rule));
  RETURN_IF_ERROR(CheckActions(rule));
  if (rule.source_ips.size() > User::kMaxSourceIps) {
    return Invalid(fmt::format("it has {} addresses; at most {} are allowed",
                               rule.source_ips.size(), User::kMaxSourceIps));
  }
  rule.ranges.clear();
  for (const std::string& text : rule.source_ips) {
    const std::optional<AddressRange> range = AddressRange::Parse(text);
    if (!range.has_value()) {
      return Invalid(
          fmt::format("it has an address that is none: {}; give one as 10.1.2.3, or a "
                      "range as 10.1.0.0/16 whose other bits are 0",
                      Quoted(text)));
    }
    rule.ranges.push_back(*range);
  }
  return absl::OkStatus();
}

// Of a rule about topics, groups or namespaces.
bool NameMatches(const AccessRule& rule, const Need& need) {
  if (rule.pattern == NamePattern::kAny) return true;
  if (need.all) return false;
  if (rule.resource == ResourceKind::kNamespace) {
    return rule.pattern == NamePattern::kPrefix ? need.name_space.starts_with(rule.name)
                                                : need.name_space == rule.name;
  }
  const auto [name_space, name] = SplitQualifiedName(rule.name);
  if (name_space != need.name_space) return false;
  return rule.pattern == NamePattern::kPrefix ? need.name.starts_with(name) : need.name == name;
}

bool Matches(const AccessRule& rule, const Need& need, const IpAddress& from) {
  const bool in_namespace =
      rule.resource == ResourceKind::kNamespace && need.resource != ResourceKind::kCluster;
  if (rule.resource != need.resource && !in_namespace) return false;
  if (rule.resource != ResourceKind::kCluster && !NameMatches(rule, need)) return false;
  return rule.ranges.empty() ||
         std::any_of(rule.ranges.begin(), rule.ranges.end(),
                     [&](const AddressRange& range) { return range.Contains(from); });
}

// What is about dead letters, or what is to be tried again, is about the group they are of; nobody
// but who may do everything makes such a topic, or sends to it.
Need Resolved(Need need) {
  if (need.resource != ResourceKind::kTopic) return need;
  const std::string_view group = GroupOfTopic(need.name);
  if (group.empty()) return need;
  if ((need.any_of & kActionsOnTopicsOfGroups) == 0) return {.super = true};
  need.any_of &= kActionsOnTopicsOfGroups;
  need.resource = ResourceKind::kGroup;
  need.name = group;
  return need;
}

// Names come from callers, also those that are none.
std::string Shown(std::string_view qualified) {
  const bool legal = !qualified.empty() && qualified.size() <= 255 &&
                     std::all_of(qualified.begin(), qualified.end(),
                                 [](char c) { return MayStandInResourceName(c) || c == '/'; });
  return legal ? std::string(qualified) : Quoted(qualified);
}

}  // namespace

absl::Status CheckUserName(std::string_view name) {
  if (!name.empty() && name.size() <= User::kMaxName &&
      std::all_of(name.begin(), name.end(), MayStandInUserName)) {
    return absl::OkStatus();
  }
  return Invalid(fmt::format("the name of the user is none: {}; give 1 to {} of a-z A-Z 0-9 _ . -",
                             Quoted(name), User::kMaxName));
}

absl::Status CheckSecret(std::string_view secret) {
  const bool printable =
      std::all_of(secret.begin(), secret.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (printable && secret.size() >= User::kMinSecret && secret.size() <= User::kMaxSecret) {
    return absl::OkStatus();
  }
  return Invalid(
      fmt::format("the secret has {} bytes{}; give {} to {} printable ASCII characters "
                  "without a space, for instance from `openssl rand -hex 16`",
                  secret.size(), printable ? "" : ", and others than these", User::kMinSecret,
                  User::kMaxSecret));
}

absl::Status CheckUser(User& user) {
  RETURN_IF_ERROR(CheckUserName(user.name));
  RETURN_IF_ERROR(CheckSecret(user.secret));
  if (user.description.size() > User::kMaxDescription) {
    return Invalid(fmt::format("user {}: a description of {} bytes; at most {} are allowed",
                               user.name, user.description.size(), User::kMaxDescription));
  }
  if (user.rules.size() > User::kMaxRules) {
    return Invalid(fmt::format("user {}: {} rules; at most {} are allowed", user.name,
                               user.rules.size(), User::kMaxRules));
  }
  if (user.super && !user.rules.empty()) {
    return Invalid(fmt::format(
        "user {}: of type SUPER_USER, which may do everything, and has rules: remove them, or make "
        "it a NORMAL_USER",
        user.name));
  }
  for (size_t i = 0; i < user.rules.size(); ++i) {
    const absl::Status status = CheckRule(user.rules[i]);
    if (status.ok()) continue;
    return Invalid(
        fmt::format("user {}: rule {}: {}", user.name, i + 1, std::string(status.message())));
  }
  return absl::OkStatus();
}

bool IsForSuperUsers(const Need& need) { return Resolved(need).super; }

std::string Describe(const Need& asked) {
  const Need need = Resolved(asked);
  if (need.super) return "what only users of type SUPER_USER may";
  std::string actions;
  for (size_t action = 1; action < kActionNames.size(); ++action) {
    if ((need.any_of & uint32_t{1} << action) == 0) continue;
    if (!actions.empty()) actions += " or ";
    actions += kActionNames[action];
  }
  switch (need.resource) {
    case ResourceKind::kCluster:
    case ResourceKind::kNamespace:
      return fmt::format("{} on the cluster", actions);
    case ResourceKind::kTopic:
    case ResourceKind::kGroup:
      break;
  }
  const std::string_view kind = need.resource == ResourceKind::kTopic ? "topic" : "group";
  if (need.all) return fmt::format("{} on any {}", actions, kind);
  return fmt::format("{} on {} {}", actions, kind,
                     Shown(QualifiedName(need.name_space, need.name)));
}

size_t DenyingRule(const User& user, const Need& asked, const IpAddress& from) {
  const Need need = Resolved(asked);
  if (need.super) return 0;
  uint32_t allowed = 0;
  for (const AccessRule& rule : user.rules) {
    if (!rule.deny && Matches(rule, need, from)) allowed |= ActionsOf(rule);
  }
  for (size_t i = 0; i < user.rules.size(); ++i) {
    const AccessRule& rule = user.rules[i];
    if (!rule.deny || (need.any_of & allowed & ActionsOf(rule)) == 0) continue;
    if (Matches(rule, need, from)) return i + 1;
  }
  return 0;
}

bool IsTopicOfGroup(std::string_view topic) {
  return topic.starts_with(kDeadLetterPrefix) || topic.starts_with(kRetryPrefix);
}

std::string_view GroupOfTopic(std::string_view topic) {
  for (const std::string_view prefix : {kDeadLetterPrefix, kRetryPrefix}) {
    if (topic.starts_with(prefix)) return topic.substr(prefix.size());
  }
  return "";
}

bool Allows(const User& user, const Need& asked, const IpAddress& from) {
  if (user.super) return true;
  const Need need = Resolved(asked);
  if (need.super) return false;
  uint32_t allowed = 0;
  uint32_t denied = 0;
  for (const AccessRule& rule : user.rules) {
    if (!Matches(rule, need, from)) continue;
    (rule.deny ? denied : allowed) |= ActionsOf(rule);
  }
  return (need.any_of & allowed & ~denied) != 0;
}

}  // namespace dunlin::broker
