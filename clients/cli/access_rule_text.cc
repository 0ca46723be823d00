#include "clients/cli/access_rule_text.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"

#include "services/base/strings.h"

namespace dunlin::cli {
namespace {

using admin::v1::AccessRule;

constexpr char kExample[] = "write it as topic:orders:pub,sub or cluster:get";

absl::Status Wrong(std::string_view rule, const std::string& why) {
  return absl::InvalidArgumentError(ToAbsl(fmt::format("\"{}\": {}", rule, why)));
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// "TOPIC" is "topic" here.
std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// A newer broker may know more of them.
std::string NameOrNumber(const std::string& name, int number) {
  return name.empty() ? std::to_string(number) : Lower(name);
}

AccessRule::Resource ResourceOf(std::string_view text) {
  for (const auto resource :
       {AccessRule::CLUSTER, AccessRule::NAMESPACE, AccessRule::TOPIC, AccessRule::GROUP}) {
    if (Lower(std::string(text)) == Lower(AccessRule::Resource_Name(resource))) return resource;
  }
  return AccessRule::RESOURCE_UNSPECIFIED;
}

AccessRule::Action ActionOf(std::string_view text) {
  for (int action = AccessRule::ALL; action <= AccessRule::Action_MAX; ++action) {
    const auto known = static_cast<AccessRule::Action>(action);
    if (Lower(std::string(text)) == Lower(AccessRule::Action_Name(known))) return known;
  }
  return AccessRule::ACTION_UNSPECIFIED;
}

// An address, or a range like 10.0.0.0/8. What bits may be set in a range the broker knows.
bool IsRange(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  std::array<unsigned char, sizeof(in6_addr)> bytes;
  const bool is_v4 = inet_pton(AF_INET, address.c_str(), bytes.data()) == 1;
  if (!is_v4 && inet_pton(AF_INET6, address.c_str(), bytes.data()) != 1) return false;
  if (slash == std::string_view::npos) return true;
  const std::string_view length = text.substr(slash + 1);
  int bits = 0;
  return !length.empty() && length.find_first_not_of("0123456789") == std::string_view::npos &&
         absl::SimpleAtoi(ToAbsl(length), &bits) && bits <= (is_v4 ? 32 : 128);
}

absl::Status ParseName(std::string_view rule, std::string_view name, AccessRule& parsed) {
  if (name.empty()) {
    return Wrong(rule, fmt::format("there is no name behind \"{}:\"; * is any, as in {}:*:sub",
                                   Lower(AccessRule::Resource_Name(parsed.resource())),
                                   Lower(AccessRule::Resource_Name(parsed.resource()))));
  }
  const size_t star = name.find('*');
  if (star != std::string_view::npos && star + 1 != name.size()) {
    return Wrong(rule, fmt::format("a * stands alone or at the end of a name, as in orders*, and "
                                   "not within \"{}\"",
                                   name));
  }
  if (name == "*") {
    parsed.set_pattern(AccessRule::ANY);
    return absl::OkStatus();
  }
  parsed.set_pattern(star == std::string_view::npos ? AccessRule::LITERAL : AccessRule::PREFIX);
  parsed.set_name(std::string(name.substr(0, star)));
  return absl::OkStatus();
}

absl::Status ParseActions(std::string_view rule, std::string_view actions, AccessRule& parsed) {
  for (const std::string_view text : Split(actions, ',')) {
    const AccessRule::Action action = ActionOf(text);
    if (action == AccessRule::ACTION_UNSPECIFIED) {
      return Wrong(rule,
                   fmt::format("\"{}\" is no action: choose all, or some of pub, sub, create, "
                               "update, delete, get, list with commas in between",
                               text));
    }
    const auto& before = parsed.actions();
    if (std::find(before.begin(), before.end(), action) != before.end()) {
      return Wrong(rule, fmt::format("\"{}\" stands there twice", text));
    }
    parsed.add_actions(action);
  }
  const bool has_all = std::find(parsed.actions().begin(), parsed.actions().end(),
                                 AccessRule::ALL) != parsed.actions().end();
  if (has_all && parsed.actions_size() > 1) {
    return Wrong(rule, "\"all\" stands alone: leave out the other actions");
  }
  return absl::OkStatus();
}

absl::Status ParseRanges(std::string_view rule, std::string_view ranges, AccessRule& parsed) {
  for (const std::string_view range : Split(ranges, ',')) {
    if (!IsRange(range)) {
      return Wrong(rule, fmt::format("\"{}\" behind the @ is neither an address nor a range of "
                                     "them: write 10.1.2.3, 10.0.0.0/8 or fd00::/8",
                                     range));
    }
    parsed.add_source_ips(std::string(range));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<AccessRule> ParseRule(std::string_view text, AccessRule::Decision decision) {
  const size_t at = text.find('@');
  const std::vector<std::string_view> parts = Split(text.substr(0, at), ':');
  AccessRule rule;
  rule.set_decision(decision);
  rule.set_resource(ResourceOf(parts[0]));
  if (rule.resource() == AccessRule::RESOURCE_UNSPECIFIED) {
    return Wrong(text, fmt::format("\"{}\" is no resource: choose topic, group, namespace or "
                                   "cluster; {}",
                                   parts[0], kExample));
  }
  const bool is_cluster = rule.resource() == AccessRule::CLUSTER;
  if (is_cluster && parts.size() != 2) {
    return Wrong(text,
                 "there is one cluster, without a name: write cluster:ACTION, as cluster:get");
  }
  if (!is_cluster && parts.size() != 3) {
    return Wrong(text, fmt::format("it has {} of the 3 parts RESOURCE:NAME:ACTION; {}",
                                   parts.size(), kExample));
  }
  absl::Status status;
  if (!is_cluster) status = ParseName(text, parts[1], rule);
  if (status.ok()) status = ParseActions(text, parts.back(), rule);
  if (status.ok() && at != std::string_view::npos) {
    status = ParseRanges(text, text.substr(at + 1), rule);
  }
  if (!status.ok()) return status;
  return rule;
}

std::string RuleText(const AccessRule& rule) {
  std::string text = NameOrNumber(AccessRule::Resource_Name(rule.resource()), rule.resource());
  if (rule.resource() != AccessRule::CLUSTER) {
    const bool is_open = rule.pattern() != AccessRule::LITERAL;
    text += fmt::format(":{}{}", rule.name(), is_open ? "*" : "");
  }
  char separator = ':';
  for (const int action : rule.actions()) {
    text += separator;
    text += NameOrNumber(AccessRule::Action_Name(static_cast<AccessRule::Action>(action)), action);
    separator = ',';
  }
  separator = '@';
  for (const std::string& range : rule.source_ips()) {
    text += separator;
    text += range;
    separator = ',';
  }
  return text;
}

}  // namespace dunlin::cli
