#include "services/broker/access/user.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "proto/dunlin/admin/v1/admin.pb.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::broker {
namespace {

using ::testing::HasSubstr;
using Proto = admin::v1::AccessRule;

constexpr uint32_t kPub = BitOf(Action::kPub);
constexpr uint32_t kSub = BitOf(Action::kSub);
constexpr uint32_t kAll = BitOf(Action::kAll);
IpAddress Here() { return *IpAddress::Parse("10.1.2.3"); }

AccessRule Rule(ResourceKind resource, const std::string& name, uint32_t actions,
                NamePattern pattern = NamePattern::kLiteral) {
  AccessRule rule;
  rule.resource = resource;
  rule.pattern = pattern;
  rule.name = name;
  rule.actions = actions;
  return rule;
}

AccessRule Denied(AccessRule rule) {
  rule.deny = true;
  return rule;
}

AccessRule From(AccessRule rule, const std::string& range) {
  rule.source_ips = {range};
  return rule;
}

User UserWith(std::vector<AccessRule> rules) {
  User user;
  user.name = "alice";
  user.secret = "secret-of-alice";
  user.rules = std::move(rules);
  const absl::Status checked = CheckUser(user);
  EXPECT_OK(checked);
  return user;
}

TEST(UserTest, NumbersAreThoseOfTheContract) {
  EXPECT_EQ(static_cast<int>(ResourceKind::kCluster), Proto::CLUSTER);
  EXPECT_EQ(static_cast<int>(ResourceKind::kNamespace), Proto::NAMESPACE);
  EXPECT_EQ(static_cast<int>(ResourceKind::kTopic), Proto::TOPIC);
  EXPECT_EQ(static_cast<int>(ResourceKind::kGroup), Proto::GROUP);
  EXPECT_EQ(static_cast<int>(NamePattern::kLiteral), Proto::LITERAL);
  EXPECT_EQ(static_cast<int>(NamePattern::kPrefix), Proto::PREFIX);
  EXPECT_EQ(static_cast<int>(NamePattern::kAny), Proto::ANY);
  EXPECT_EQ(static_cast<int>(Action::kAll), Proto::ALL);
  EXPECT_EQ(static_cast<int>(Action::kPub), Proto::PUB);
  EXPECT_EQ(static_cast<int>(Action::kSub), Proto::SUB);
  EXPECT_EQ(static_cast<int>(Action::kCreate), Proto::CREATE);
  EXPECT_EQ(static_cast<int>(Action::kUpdate), Proto::UPDATE);
  EXPECT_EQ(static_cast<int>(Action::kDelete), Proto::DELETE);
  EXPECT_EQ(static_cast<int>(Action::kGet), Proto::GET);
  EXPECT_EQ(static_cast<int>(Action::kList), Proto::LIST);
}

TEST(UserTest, WithoutRulesNothingIsAllowed) {
  const User user = UserWith({});
  EXPECT_FALSE(Allows(user, TopicNeed(kPub, "", "orders"), Here()));
  EXPECT_FALSE(Allows(user, ClusterNeed(Action::kGet), Here()));
}

TEST(UserTest, ASuperUserMayDoEverything) {
  User user = UserWith({});
  user.super = true;
  EXPECT_TRUE(Allows(user, TopicNeed(kPub, "ns", "orders"), Here()));
  EXPECT_TRUE(Allows(user, ClusterNeed(Action::kUpdate), Here()));
  EXPECT_TRUE(Allows(user, {.super = true}, Here()));
}

TEST(UserTest, NobodyElseMayManageUsers) {
  const User user = UserWith({Rule(ResourceKind::kCluster, "", kAll),
                              Rule(ResourceKind::kNamespace, "", kAll, NamePattern::kAny)});
  EXPECT_FALSE(Allows(user, {.super = true}, Here()));
  EXPECT_TRUE(Allows(user, ClusterNeed(Action::kUpdate), Here()));
}

TEST(UserTest, ALiteralNameIsThatName) {
  const User user = UserWith({Rule(ResourceKind::kTopic, "orders", kPub)});
  EXPECT_TRUE(Allows(user, TopicNeed(kPub, "", "orders"), Here()));
  EXPECT_TRUE(Allows(user, TopicNeed(kPub | kSub, "", "orders"), Here()));
  EXPECT_FALSE(Allows(user, TopicNeed(kSub, "", "orders"), Here()));
  EXPECT_FALSE(Allows(user, TopicNeed(kPub, "", "orders2"), Here()));
  EXPECT_FALSE(Allows(user, TopicNeed(kPub, "ns", "orders"), Here()));
  EXPECT_FALSE(Allows(user, GroupNeed(kPub, "", "orders"), Here()));
}

TEST(UserTest, APrefixStaysInItsNamespace) {
  const User user = UserWith({Rule(ResourceKind::kTopic, "or", kPub, NamePattern::kPrefix),
                              Rule(ResourceKind::kTopic, "ns/", kSub, NamePattern::kPrefix)});
  EXPECT_TRUE(Allows(user, TopicNeed(kPub, "", "orders"), Here()));
  EXPECT_FALSE(Allows(user, TopicNeed(kPub, "orders-ns", "x"), Here()));
  EXPECT_FALSE(Allows(user, TopicNeed(kPub, "ns", "orders"), Here()));
  EXPECT_TRUE(Allows(user, TopicNeed(kSub, "ns", "orders"), Here()));
  EXPECT_FALSE(Allows(user, TopicNeed(kSub, "", "orders"), Here()));
}

TEST(UserTest, ANamespaceIsAllTopicsAndGroupsInIt) {
  const User user = UserWith({Rule(ResourceKind::kNamespace, "team-a", kPub | kSub)});
  EXPECT_TRUE(Allows(user, TopicNeed(kPub, "team-a", "orders"), Here()));
  EXPECT_TRUE(Allows(user, GroupNeed(kSub, "team-a", "workers"), Here()));
  EXPECT_FALSE(Allows(user, TopicNeed(kPub, "team-b", "orders"), Here()));
  EXPECT_FALSE(Allows(user, TopicNeed(kPub, "", "orders"), Here()));
  EXPECT_FALSE(Allows(user, ClusterNeed(Action::kGet), Here()));
}

TEST(UserTest, AllNamesAreToldToWhoMayListAny) {
  const uint32_t list = BitOf(Action::kList);
  const Need need{.any_of = list, .resource = ResourceKind::kTopic, .all = true};
  EXPECT_TRUE(
      Allows(UserWith({Rule(ResourceKind::kTopic, "", list, NamePattern::kAny)}), need, Here()));
  EXPECT_FALSE(Allows(UserWith({Rule(ResourceKind::kTopic, "orders", kAll)}), need, Here()));
  EXPECT_FALSE(
      Allows(UserWith({Rule(ResourceKind::kGroup, "", kAll, NamePattern::kAny)}), need, Here()));
}

TEST(UserTest, WhatIsDeniedIsRefusedWhateverAllowsIt) {
  const User user = UserWith({Denied(Rule(ResourceKind::kTopic, "pay", kPub, NamePattern::kPrefix)),
                              Rule(ResourceKind::kTopic, "", kAll, NamePattern::kAny),
                              Rule(ResourceKind::kTopic, "payments", kPub)});
  EXPECT_FALSE(Allows(user, TopicNeed(kPub, "", "payments"), Here()));
  EXPECT_TRUE(Allows(user, TopicNeed(kSub, "", "payments"), Here()));
  EXPECT_TRUE(Allows(user, TopicNeed(kPub | kSub, "", "payments"), Here()));
  EXPECT_TRUE(Allows(user, TopicNeed(kPub, "", "orders"), Here()));
}

TEST(UserTest, DeadLettersBelongToTheGroup) {
  const User user = UserWith({Rule(ResourceKind::kGroup, "workers", kSub)});
  EXPECT_TRUE(Allows(user, TopicNeed(kSub, "", "%DLQ%workers"), Here()));
  EXPECT_TRUE(Allows(user, TopicNeed(kSub, "", "%RETRY%workers"), Here()));
  EXPECT_FALSE(Allows(user, TopicNeed(kSub, "", "%DLQ%others"), Here()));
  EXPECT_FALSE(Allows(user, TopicNeed(kPub, "", "%DLQ%workers"), Here()));
}

TEST(UserTest, AddressesAreLookedAt) {
  const User user = UserWith({From(Rule(ResourceKind::kTopic, "orders", kPub), "10.0.0.0/8"),
                              From(Denied(Rule(ResourceKind::kTopic, "orders", kAll)), "10.9.9.9"),
                              From(Rule(ResourceKind::kTopic, "six", kPub), "fd00::/8")});
  const Need orders = TopicNeed(kPub, "", "orders");
  EXPECT_TRUE(Allows(user, orders, IpAddress::OfPeer("ipv4:10.1.2.3:4711")));
  EXPECT_FALSE(Allows(user, orders, IpAddress::OfPeer("ipv4:10.9.9.9:4711")));
  EXPECT_FALSE(Allows(user, orders, IpAddress::OfPeer("ipv4:11.1.2.3:4711")));
  EXPECT_FALSE(Allows(user, orders, IpAddress::OfPeer("unix:/tmp/socket")));
  EXPECT_TRUE(Allows(user, orders, IpAddress::OfPeer("ipv6:%5B::ffff:10.1.2.3%5D:4711")));
  EXPECT_TRUE(Allows(user, TopicNeed(kPub, "", "six"), IpAddress::OfPeer("ipv6:[fd12::1]:80")));
  EXPECT_FALSE(Allows(user, TopicNeed(kPub, "", "six"), IpAddress::OfPeer("ipv6:[fe80::1]:80")));
}

TEST(UserTest, RangesAreParsedWithCare) {
  for (const char* good : {"10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "::/0", "fd00::/8", "::1/128"}) {
    EXPECT_TRUE(AddressRange::Parse(good).has_value()) << good;
  }
  for (const char* bad : {"", "10.0.0.1/8", "10.0.0.0/33", "10.0.0/8", "::1/129", "10.0.0.0/",
                          "10.0.0.0/8x", "host", "10.0.0.0/-1", "fd00::1/8"}) {
    EXPECT_FALSE(AddressRange::Parse(bad).has_value()) << bad;
  }
  EXPECT_FALSE(AddressRange::Parse("::/0")->Contains(Here()));
  EXPECT_TRUE(AddressRange::Parse("0.0.0.0/0")->Contains(Here()));
}

// Brokers make and write the topics of groups themselves.
TEST(UserTest, NobodySendsToTheDeadLettersOfAGroup) {
  const User user = UserWith({Rule(ResourceKind::kGroup, "workers", kAll),
                              Rule(ResourceKind::kTopic, "", kAll, NamePattern::kAny)});
  for (const char* topic : {"%DLQ%workers", "%RETRY%workers"}) {
    EXPECT_FALSE(Allows(user, TopicNeed(kPub, "", topic), Here()));
    EXPECT_FALSE(Allows(user, TopicNeed(BitOf(Action::kCreate), "", topic), Here()));
    EXPECT_TRUE(Allows(user, TopicNeed(kPub | kSub, "", topic), Here()));
    EXPECT_TRUE(Allows(user, TopicNeed(BitOf(Action::kDelete), "", topic), Here()));
  }
}

TEST(UserTest, WhatIsNeededIsSaidInWords) {
  EXPECT_EQ(Describe(TopicNeed(kPub | kSub, "ns", "orders")), "PUB or SUB on topic ns/orders");
  EXPECT_EQ(Describe(TopicNeed(kSub, "", "%DLQ%workers")), "SUB on group workers");
  EXPECT_EQ(Describe(ClusterNeed(Action::kGet)), "GET on the cluster");
  EXPECT_EQ(Describe(TopicNeed(kPub, "", "a\nb")), "PUB on topic \"a\\x0ab\"");
  EXPECT_EQ(Describe(TopicNeed(kPub, "", "")), "PUB on topic \"\"");
  EXPECT_LT(Describe(TopicNeed(kPub, "", std::string(100'000, 'a'))).size(), 100u);
  EXPECT_EQ(
      Describe({.any_of = BitOf(Action::kList), .resource = ResourceKind::kGroup, .all = true}),
      "LIST on any group");
}

TEST(UserTest, RefusesUsersThatCannotBe) {
  struct Case {
    const char* says;
    std::function<void(User&)> spoil;
  };
  const auto rule = [](AccessRule bad) { return [bad](User& user) { user.rules = {bad}; }; };
  const std::vector<Case> cases = {
      {"name of the user is none", [](User& user) { user.name = ""; }},
      {"name of the user is none", [](User& user) { user.name = "a/b"; }},
      {"name of the user is none", [](User& user) { user.name = std::string(65, 'a'); }},
      {"secret has 7 bytes", [](User& user) { user.secret = "1234567"; }},
      {"secret has 257 bytes", [](User& user) { user.secret = std::string(257, 'a'); }},
      {"others than these", [](User& user) { user.secret = "with a space"; }},
      {"description of 1025 bytes", [](User& user) { user.description = std::string(1025, 'a'); }},
      {"129 rules",
       [](User& user) { user.rules.assign(129, Rule(ResourceKind::kTopic, "t", kPub)); }},
      {"has rules",
       [](User& user) {
         user.super = true;
         user.rules = {Rule(ResourceKind::kTopic, "t", kPub)};
       }},
      {"rule 2: ",
       [](User& user) {
         user.rules = {Rule(ResourceKind::kTopic, "t", kPub), Rule(ResourceKind::kTopic, "t", 0)};
       }},
      {"no known resource", rule(Rule(static_cast<ResourceKind>(9), "t", kPub))},
      {"no known pattern",
       rule(Rule(ResourceKind::kTopic, "t", kPub, static_cast<NamePattern>(9)))},
      {"names nothing", rule(Rule(ResourceKind::kTopic, "", kPub))},
      {"has a name", rule(Rule(ResourceKind::kTopic, "t", kPub, NamePattern::kAny))},
      {"has a name", rule(Rule(ResourceKind::kCluster, "t", BitOf(Action::kGet)))},
      {"name that is none", rule(Rule(ResourceKind::kTopic, "a b", kPub))},
      {"name of 256 bytes", rule(Rule(ResourceKind::kTopic, std::string(256, 'a'), kPub))},
      {"name that is none", rule(Rule(ResourceKind::kTopic, "a/b/c", kPub))},
      {"name that is none", rule(Rule(ResourceKind::kTopic, "ns/", kPub))},
      {"name that is none", rule(Rule(ResourceKind::kNamespace, "a/b", kPub))},
      {"no known action", rule(Rule(ResourceKind::kTopic, "t", 1))},
      {"no known action", rule(Rule(ResourceKind::kTopic, "t", 1u << 9))},
      {"ALL stands alone", rule(Rule(ResourceKind::kTopic, "t", kAll | kPub))},
      {"has PUB", rule(Rule(ResourceKind::kGroup, "g", kPub))},
      {"has SUB", rule(Rule(ResourceKind::kCluster, "", kSub))},
      {"has LIST", rule(Rule(ResourceKind::kTopic, "t", BitOf(Action::kList)))},
      {"an address that is none", rule(From(Rule(ResourceKind::kTopic, "t", kPub), "10.0.0.1/8"))},
  };
  for (const Case& bad : cases) {
    User user = UserWith({});
    bad.spoil(user);
    const absl::Status status = CheckUser(user);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << bad.says;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.says));
  }
}

}  // namespace
}  // namespace dunlin::broker
