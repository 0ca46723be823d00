// Users as resources, with access control, at a broker that checks who asks.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <string>

#include "absl/strings/escaping.h"

#include "operator/controller/testing/stand_in_broker.h"
#include "operator/k8s/client.h"
#include "operator/planner/resource_types.h"
#include "operator/program/testing/operator_fixture.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

class UsersServerTest : public OperatorServerTest {
 protected:
  void MakeGroup() {
    Json names = k8s::NewObject(NameServiceType(), {kSpace, "names"});
    names["spec"] = Json::object();
    ASSERT_OK(client_.Run(Create(NameServiceType(), names)));
    Json group = GroupOf("orders", 1);
    group["spec"].erase("nameServers");
    group["spec"]["nameServiceRef"] = {{"name", "names"}};
    group["spec"]["tls"] = {{"mode", "Off"}};
    group["spec"]["access"] = {{"enabled", true}, {"superUserSecretName", "root"}};
    ASSERT_OK(client_.Run(Create(BrokerGroupType(), group)));
  }
  void MakeSecret(const std::string& name, const std::string& access_key,
                  const std::string& secret_key) {
    control_plane_.Kubectl({"-n", kSpace, "create", "secret", "generic", name,
                            "--from-literal=accessKey=" + access_key,
                            "--from-literal=secretKey=" + secret_key});
  }
  std::string SecretKeyOf(const std::string& name) {
    std::string text;
    absl::Base64Unescape(std::string(k8s::StringAt(Get(SecretType(), name), {"data", "secretKey"})),
                         &text);
    return text;
  }
  void SetSecretKey(const std::string& name, const std::string& secret_key) {
    Patch("secret", name, fmt::format(R"({{"stringData": {{"secretKey": "{}"}}}})", secret_key));
  }
  std::string Events() { return control_plane_.Kubectl({"-n", kSpace, "get", "events"}); }

  StandInBroker broker_{"orders", "127.0.0.1:8081"};
};

TEST_F(UsersServerTest, FromANewSecretToTheBrokersAndAway) {
  const auto program = StartOperator();
  broker_.SetSuperUser({"admin", "of-the-admin"});
  MakeGroup();
  WaitForReason(BrokerGroupType(), "orders", "Stalled", "SuperUserSecretInvalid");
  MakeSecret("root", "admin", "of-the-admin");
  WaitUntilReady("orders");
  const Json file = Get(ConfigMapType(), FileNameOf("orders"));
  EXPECT_THAT(file["data"]["dunlin.yaml"].get<std::string>(),
              AllOf(HasSubstr("super_user: \"admin\""), Not(HasSubstr("of-the-admin"))));

  KubectlApply(R"(
apiVersion: dunlin.dev/v1alpha1
kind: User
metadata: {name: billing, namespace: shop}
spec:
  nameServiceRef: {name: names}
  deletionPolicy: Delete
  permissions:
  - {resource: {type: Topic, name: staging/orders}, actions: [Sub], sourceIps: [10.0.0.0/8]}
  - {resource: {type: Group, name: billing}, actions: [Sub]}
)");
  WaitForReason(UserType(), "billing", "Ready", "Kept");
  const std::string secret = SecretKeyOf("billing-credentials");
  EXPECT_THAT(secret, SizeIs(32));
  ASSERT_TRUE(broker_.UserOf("billing").has_value());
  EXPECT_EQ(broker_.UserOf("billing")->secret(), secret);
  EXPECT_EQ(broker_.UserOf("billing")->rules(0).name(), "staging/orders");
  EXPECT_THAT(control_plane_.Kubectl({"-n", kSpace, "get", "mqu"}),
              AllOf(HasSubstr("billing-credentials"), HasSubstr("Normal")));

  // Another secret, a change of the spec, and a change that nobody may make.
  SetSecretKey("billing-credentials", "another-secret");
  WaitFor("the broker has the other secret",
          [&] { return broker_.UserOf("billing")->secret() == "another-secret"; });
  Patch("user", "billing", R"({"spec": {"enabled": false}})");
  WaitFor("it is not enabled", [&] { return !broker_.UserOf("billing")->enabled(); });
  WaitForReason(UserType(), "billing", "Ready", "Kept");
  admin::v1::User drifted = *broker_.UserOf("billing");
  drifted.clear_rules();
  broker_.Put(drifted);
  control_plane_.Kubectl({"-n", kSpace, "annotate", "user/billing", "example.com/look=now"});
  WaitFor("drift is repaired", [&] { return broker_.UserOf("billing")->rules_size() == 2; });
  WaitFor("drift is told", [&] { return Events().find("DriftRepaired") != std::string::npos; });
  EXPECT_THAT(Events(), AllOf(Not(HasSubstr("another-secret")), Not(HasSubstr(secret))));

  control_plane_.Kubectl({"-n", kSpace, "delete", "user/billing", "--timeout=60s"});
  EXPECT_FALSE(broker_.UserOf("billing").has_value());
  WaitFor("its Secret goes with it",
          [&] { return Get(SecretType(), "billing-credentials").is_null(); });
}

TEST_F(UsersServerTest, WhatIsWrongIsSaidUntilItIsMended) {
  const auto program = StartOperator();
  broker_.SetSuperUser({"admin", "of-the-admin"});
  MakeSecret("root", "admin", "of-another");
  MakeGroup();
  WaitUntilReady("orders");
  KubectlApply(R"(
apiVersion: dunlin.dev/v1alpha1
kind: User
metadata: {name: shop, namespace: shop}
spec:
  nameServiceRef: {name: names}
  userName: shop.user
  type: Super
  credentials: {secretName: mine, generate: false}
)");
  WaitForReason(UserType(), "shop", "Stalled", "SecretMissing");
  MakeSecret("mine", "shop", "of-the-shop");
  WaitForReason(UserType(), "shop", "Stalled", "SecretInvalid");
  Patch("secret", "mine", R"({"stringData": {"accessKey": "shop.user"}})");
  WaitForReason(UserType(), "shop", "Reconciling", "NotAllowed");
  SetSecretKey("root", "of-the-admin");
  WaitForReason(UserType(), "shop", "Ready", "Kept");
  EXPECT_EQ(broker_.UserOf("shop.user")->type(), admin::v1::SUPER_USER);
  // What the broker refuses is told in its words.
  broker_.SetAnswer({grpc::StatusCode::INVALID_ARGUMENT, "one secret too many"});
  SetSecretKey("mine", "of-the-shop-2");
  WaitForReason(UserType(), "shop", "Stalled", "Refused");
  EXPECT_THAT(control_plane_.Kubectl({"-n", kSpace, "get", "user/shop", "-o", "yaml"}),
              HasSubstr("one secret too many"));
  control_plane_.Kubectl({"-n", kSpace, "delete", "user/shop", "--timeout=60s"});
  EXPECT_TRUE(broker_.UserOf("shop.user").has_value());  // Retain
  EXPECT_EQ(SecretKeyOf("mine"), "of-the-shop-2");       // somebody else's
}

}  // namespace
}  // namespace dunlin::op
