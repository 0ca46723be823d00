#include "clients/cli/access_rule_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace dunlin::cli {
namespace {

using admin::v1::AccessRule;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

AccessRule Parsed(const std::string& text) {
  const auto rule = ParseRule(text, AccessRule::ALLOW);
  EXPECT_TRUE(rule.ok()) << rule.status();
  return rule.ok() ? *rule : AccessRule();
}

std::string ErrorOf(const std::string& text) {
  const auto rule = ParseRule(text, AccessRule::ALLOW);
  EXPECT_FALSE(rule.ok()) << text;
  return std::string(rule.status().message());
}

TEST(AccessRuleTextTest, ANameIsThatName) {
  const AccessRule rule = Parsed("topic:orders:pub,sub");
  EXPECT_EQ(rule.resource(), AccessRule::TOPIC);
  EXPECT_EQ(rule.pattern(), AccessRule::LITERAL);
  EXPECT_EQ(rule.name(), "orders");
  EXPECT_THAT(rule.actions(), ElementsAre(AccessRule::PUB, AccessRule::SUB));
  EXPECT_EQ(rule.decision(), AccessRule::ALLOW);
  EXPECT_EQ(rule.source_ips_size(), 0);
}

TEST(AccessRuleTextTest, AStarAtTheEndIsABeginning) {
  const AccessRule rule = Parsed("topic:ns/orders*:sub");
  EXPECT_EQ(rule.pattern(), AccessRule::PREFIX);
  EXPECT_EQ(rule.name(), "ns/orders");
}

TEST(AccessRuleTextTest, AStarAloneIsAnyName) {
  const AccessRule rule = Parsed("group:*:list");
  EXPECT_EQ(rule.pattern(), AccessRule::ANY);
  EXPECT_EQ(rule.name(), "");
}

TEST(AccessRuleTextTest, TheClusterHasNoName) {
  const AccessRule rule = Parsed("cluster:get,update");
  EXPECT_EQ(rule.resource(), AccessRule::CLUSTER);
  EXPECT_EQ(rule.pattern(), AccessRule::LITERAL);
  EXPECT_THAT(rule.actions(), ElementsAre(AccessRule::GET, AccessRule::UPDATE));
}

TEST(AccessRuleTextTest, BehindTheAtStandsWhereItMayComeFrom) {
  const auto rule =
      ParseRule("namespace:team-a:all@10.1.2.3,10.0.0.0/8,fd00::/8,::1", AccessRule::DENY);
  ASSERT_TRUE(rule.ok()) << rule.status();
  EXPECT_THAT(rule->source_ips(), ElementsAre("10.1.2.3", "10.0.0.0/8", "fd00::/8", "::1"));
  EXPECT_EQ(rule->decision(), AccessRule::DENY);
}

TEST(AccessRuleTextTest, WhatIsReadIsWhatIsWritten) {
  for (const char* text :
       {"topic:orders:pub", "topic:orders*:pub,sub", "topic:ns/orders:sub", "topic:ns/*:sub",
        "group:*:sub", "group:%RETRY%g|x:all", "namespace:team-a:all", "namespace:team-*:get",
        "cluster:get", "cluster:all@10.0.0.0/8,fd00::1", "topic:*:create,update,delete,get,list",
        "topic:a:pub@0.0.0.0/0"}) {
    EXPECT_EQ(RuleText(Parsed(text)), text);
  }
}

TEST(AccessRuleTextTest, WhatANewerBrokerKnowsIsANumber) {
  AccessRule rule;
  rule.set_resource(static_cast<AccessRule::Resource>(77));
  rule.set_name("n");
  rule.add_actions(static_cast<AccessRule::Action>(88));
  EXPECT_EQ(RuleText(rule), "77:n:88");
}

// As refusals and documentation write them.
TEST(AccessRuleTextTest, CapitalsAreFine) {
  const auto rule = ParseRule("TOPIC:Orders:PUB,Sub", AccessRule::ALLOW);
  ASSERT_TRUE(rule.ok());
  EXPECT_EQ(RuleText(*rule), "topic:Orders:pub,sub");
}

TEST(AccessRuleTextTest, ErrorsSayWhichPartIsWrong) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("\"\" is no resource"));
  EXPECT_THAT(ErrorOf("orders:pub"), HasSubstr("\"orders\" is no resource: choose topic"));
  EXPECT_THAT(ErrorOf("topics:a:pub"), HasSubstr("\"topics\" is no resource"));
  EXPECT_THAT(ErrorOf("topic:orders"), HasSubstr("2 of the 3 parts RESOURCE:NAME:ACTION"));
  EXPECT_THAT(ErrorOf("topic:orders"), HasSubstr("topic:orders:pub,sub"));
  EXPECT_THAT(ErrorOf("topic:a:b:pub"), HasSubstr("4 of the 3 parts"));
  EXPECT_THAT(ErrorOf("cluster:*:get"), HasSubstr("write cluster:ACTION"));
  EXPECT_THAT(ErrorOf("cluster"), HasSubstr("write cluster:ACTION"));
  EXPECT_THAT(ErrorOf("topic::pub"), HasSubstr("no name behind \"topic:\""));
  EXPECT_THAT(ErrorOf("topic:*a:pub"), HasSubstr("within \"*a\""));
  EXPECT_THAT(ErrorOf("topic:a**:pub"), HasSubstr("within \"a**\""));
  EXPECT_THAT(ErrorOf("topic:a:"), HasSubstr("\"\" is no action"));
  EXPECT_THAT(ErrorOf("topic:a:pub,send"), HasSubstr("\"send\" is no action: choose all"));
  EXPECT_THAT(ErrorOf("topic:a:pub,pub"), HasSubstr("\"pub\" stands there twice"));
  EXPECT_THAT(ErrorOf("topic:a:all,pub"), HasSubstr("\"all\" stands alone"));
}

TEST(AccessRuleTextTest, ErrorsSayWhichAddressIsNone) {
  for (const char* range : {"", "10.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/", "10.0.0.0/x",
                            "10.0.0.0/-1", "host", "10.0.0.1:80"}) {
    EXPECT_THAT(ErrorOf(std::string("topic:a:pub@") + range),
                HasSubstr("\"" + std::string(range) + "\" behind the @"));
  }
  EXPECT_THAT(ErrorOf("topic:a:pub@10.0.0.1,"), HasSubstr("\"\" behind the @"));
}

}  // namespace
}  // namespace dunlin::cli
