#include "operator/planner/declared_user.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <string>

#include "operator/k8s/object.h"
#include "operator/k8s/yaml_json.h"
#include "services/base/file.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using Rule = admin::v1::AccessRule;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// One of those that CRDs are tested with.
Json Valid(const std::string& name) {
  const auto text = ReadWholeFile(RealFiles(), "operator/crds/testdata/valid.yaml");
  EXPECT_OK(text);
  const auto documents = k8s::ParseYamlDocuments(*text, "valid.yaml");
  EXPECT_OK(documents);
  for (const Json& document : *documents) {
    if (k8s::KeyOf(document).name == name) return document;
  }
  ADD_FAILURE() << name << " is not there";
  return {};
}

// As a broker would show it.
admin::v1::User Shown(admin::v1::User user) {
  user.set_secret_fingerprint(SecretFingerprint({user.name(), user.secret()}));
  user.clear_secret();
  return user;
}

TEST(DeclaredUserTest, EveryFieldOfAUser) {
  Json resource = Valid("shop");
  resource["spec"]["description"] = "writes orders";
  const admin::v1::User user = UserOf(resource, {"shop", "12345678"});
  EXPECT_EQ(user.name(), "shop");
  EXPECT_EQ(user.secret(), "12345678");
  EXPECT_EQ(user.type(), admin::v1::NORMAL_USER);
  EXPECT_TRUE(user.has_enabled() && user.enabled());
  EXPECT_EQ(user.description(), "writes orders");
  ASSERT_EQ(user.rules_size(), 8);
  EXPECT_EQ(user.rules(0).resource(), Rule::TOPIC);
  EXPECT_EQ(user.rules(0).pattern(), Rule::LITERAL);
  EXPECT_EQ(user.rules(0).name(), "orders");
  EXPECT_THAT(user.rules(0).actions(), ElementsAre(Rule::PUB, Rule::SUB));
  EXPECT_EQ(user.rules(0).decision(), Rule::ALLOW);
  EXPECT_THAT(user.rules(0).source_ips(), ElementsAre("10.0.0.0/8", "2001:db8::1"));
  EXPECT_EQ(user.rules(1).resource(), Rule::GROUP);
  EXPECT_EQ(user.rules(1).pattern(), Rule::PREFIX);
  EXPECT_EQ(user.rules(2).pattern(), Rule::ANY);
  EXPECT_THAT(user.rules(2).actions(), ElementsAre(Rule::ALL));
  EXPECT_EQ(user.rules(2).decision(), Rule::DENY);
  EXPECT_EQ(user.rules(3).name(), "staging/orders");
  EXPECT_EQ(user.rules(5).resource(), Rule::NAMESPACE);
  EXPECT_EQ(user.rules(7).resource(), Rule::CLUSTER);
  EXPECT_EQ(user.rules(7).name(), "");
}

TEST(DeclaredUserTest, EveryAction) {
  Json resource = Valid("shop");
  resource["spec"]["permissions"] = Json::parse(R"([{"resource": {"type": "Topic"},
      "actions": ["All", "Pub", "Sub", "Create", "Update", "Delete", "Get", "List"]}])");
  EXPECT_THAT(UserOf(resource, {}).rules(0).actions(),
              ElementsAre(Rule::ALL, Rule::PUB, Rule::SUB, Rule::CREATE, Rule::UPDATE, Rule::DELETE,
                          Rule::GET, Rule::LIST));
}

TEST(DeclaredUserTest, ASuperUserOfAnotherName) {
  Json resource = Valid("root");
  resource["spec"]["enabled"] = false;
  const admin::v1::User user = UserOf(resource, {"root.user", "12345678"});
  EXPECT_EQ(user.name(), "root.user");
  EXPECT_EQ(user.type(), admin::v1::SUPER_USER);
  EXPECT_TRUE(user.has_enabled());
  EXPECT_FALSE(user.enabled());
}

TEST(DeclaredUserTest, WhatIsTheSameInAnotherOrderIsTheSame) {
  const admin::v1::User wanted = UserOf(Valid("shop"), {"shop", "12345678"});
  admin::v1::User there = Shown(wanted);
  EXPECT_THAT(DifferencesOf(wanted, there), IsEmpty());
  std::reverse(there.mutable_rules()->begin(), there.mutable_rules()->end());
  for (Rule& rule : *there.mutable_rules()) {
    std::reverse(rule.mutable_actions()->begin(), rule.mutable_actions()->end());
    std::reverse(rule.mutable_source_ips()->begin(), rule.mutable_source_ips()->end());
  }
  EXPECT_THAT(DifferencesOf(wanted, there), IsEmpty());
}

TEST(DeclaredUserTest, DifferencesNameWhatIsToChangeAndNoSecret) {
  const admin::v1::User wanted = UserOf(Valid("shop"), {"shop", "12345678"});
  admin::v1::User other = wanted;
  other.set_secret("87654321");
  other.set_type(admin::v1::SUPER_USER);
  other.set_enabled(false);
  other.set_description("x");
  other.mutable_rules(0)->clear_source_ips();
  EXPECT_THAT(
      DifferencesOf(wanted, Shown(other)),
      ElementsAre("secret: to be that of its Secret", "type: SUPER_USER, to be NORMAL_USER",
                  "enabled: false, to be true", "description: 'x', to be ''",
                  "permissions: ALLOW PUB+SUB TOPIC orders: to go",
                  "permissions: ALLOW PUB+SUB TOPIC orders from 10.0.0.0/8 2001:db8::1: to be "
                  "added"));
}

TEST(DeclaredUserTest, ARuleThatIsThereTwiceIsADifference) {
  const admin::v1::User wanted = UserOf(Valid("shop"), {"shop", "12345678"});
  admin::v1::User there = Shown(wanted);
  *there.add_rules() = wanted.rules(1);
  EXPECT_THAT(DifferencesOf(wanted, there),
              ElementsAre("permissions: ALLOW SUB GROUP PREFIX GID_: to go"));
}

}  // namespace
}  // namespace dunlin::op
