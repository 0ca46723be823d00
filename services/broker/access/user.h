// User: who signs requests, and what it may do. Pure, thread-safe.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "services/base/clock.h"
#include "services/broker/access/address.h"

namespace dunlin::broker {

// Numbers of all of these are those of dunlin.admin.v1.AccessRule; a test compares them.
enum class ResourceKind : int32_t { kCluster = 1, kNamespace = 2, kTopic = 3, kGroup = 4 };
enum class NamePattern : int32_t { kLiteral = 0, kPrefix = 1, kAny = 2 };
enum class Action : int32_t {
  kAll = 1,
  kPub = 2,
  kSub = 3,
  kCreate = 4,
  kUpdate = 5,
  kDelete = 6,
  kGet = 7,
  kList = 8,
};
constexpr uint32_t BitOf(Action action) { return uint32_t{1} << static_cast<int32_t>(action); }

struct AccessRule {
  ResourceKind resource = ResourceKind::kTopic;
  NamePattern pattern = NamePattern::kLiteral;
  // Of a topic or group in a namespace: "namespace/name".
  std::string name;
  uint32_t actions = 0;  // BitOf
  bool deny = false;
  std::vector<std::string> source_ips;
  std::vector<AddressRange> ranges;  // the same, by CheckUser
};

struct User {
  static constexpr size_t kMaxName = 64;
  static constexpr size_t kMinSecret = 8;
  static constexpr size_t kMaxSecret = 256;
  static constexpr size_t kMaxDescription = 1024;
  static constexpr size_t kMaxRules = 128;
  static constexpr size_t kMaxSourceIps = 32;

  std::string name;
  std::string secret;
  bool super = false;
  bool enabled = true;
  std::string description;
  std::vector<AccessRule> rules;
  Timestamp created;
};

// Whether there may be such a user; completes its rules. INVALID_ARGUMENT: what is wrong where.
absl::Status CheckUser(User& user);
absl::Status CheckUserName(std::string_view name);
absl::Status CheckSecret(std::string_view secret);

// What a request is about. Views into what outlives it.
struct Need {
  uint32_t any_of = 0;  // of these actions one is enough
  ResourceKind resource = ResourceKind::kCluster;
  std::string_view name_space = {};
  std::string_view name = {};
  bool all = false;    // all of them there are, whatever their names
  bool super = false;  // it is for users alone that may do everything
};
inline Need ClusterNeed(Action action) { return {.any_of = BitOf(action)}; }
inline Need TopicNeed(uint32_t any_of, std::string_view name_space, std::string_view name) {
  return {any_of, ResourceKind::kTopic, name_space, name};
}
inline Need GroupNeed(uint32_t any_of, std::string_view name_space, std::string_view name) {
  return {any_of, ResourceKind::kGroup, name_space, name};
}
// Only users of type SUPER_USER may do it, whatever rules say.
bool IsForSuperUsers(const Need& need);

// The group that a topic is of, with its dead letters or with what is to be tried again: rules
// about the group count for it, and none about topics. Empty: it is one like any other.
std::string_view GroupOfTopic(std::string_view topic);
// Also the mere beginning of such names.
bool IsTopicOfGroup(std::string_view topic);

// "to PUB on topic orders".
std::string Describe(const Need& need);

// What no rule allows is refused; what one denies is refused whatever allows it.
bool Allows(const User& user, const Need& need, const IpAddress& from);
// Of what is refused: the first rule without which some of it might be allowed, counted from 1; 0:
// there is none, since no rule allows it.
size_t DenyingRule(const User& user, const Need& need, const IpAddress& from);

}  // namespace dunlin::broker
