#include "operator/planner/credentials.h"

#include <gmock/gmock.h>

#include "absl/strings/escaping.h"

#include "operator/k8s/object.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Json Secret(const std::string& access_key, const std::string& secret_key) {
  return {{"data",
           {{"accessKey", absl::Base64Escape(access_key)},
            {"secretKey", absl::Base64Escape(secret_key)}}}};
}

TEST(CredentialsTest, AreReadFromTheirKeys) {
  const Json secret = Secret("root.user", "12345678");
  const auto credentials = CredentialsOf(&secret, "root");
  ASSERT_OK(credentials);
  EXPECT_EQ(credentials->access_key, "root.user");
  EXPECT_EQ(credentials->secret_key, "12345678");
}

TEST(CredentialsTest, WhatIsMissingIsNamed) {
  EXPECT_THAT(CredentialsOf(nullptr, "root"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no Secret root of type Opaque")));
  Json secret = Secret("root", "12345678");
  secret["data"].erase("accessKey");
  EXPECT_THAT(CredentialsOf(&secret, "root"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no key accessKey")));
  secret["data"]["accessKey"] = "no base64!";
  EXPECT_THAT(CredentialsOf(&secret, "root"), StatusIs(absl::StatusCode::kFailedPrecondition));
  secret.erase("data");
  EXPECT_THAT(CredentialsOf(&secret, "root"), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(CredentialsTest, WhatBrokersRefuseIsRefusedAndNotTold) {
  for (const std::string& key : {std::string("1234567"), std::string(257, 'x'),
                                 std::string("hidden word"), std::string("hidden-word\n")}) {
    const Json secret = Secret("root", key);
    EXPECT_THAT(CredentialsOf(&secret, "root"),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         AllOf(HasSubstr("8 to 256"), Not(HasSubstr("hidden")))));
  }
  for (const std::string& name :
       {std::string("a b"), std::string("root\n"), std::string(65, 'x')}) {
    const Json secret = Secret(name, "12345678");
    EXPECT_THAT(CredentialsOf(&secret, "root"),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("1 to 64")));
  }
}

TEST(CredentialsTest, WhereAUserHasThem) {
  Json user = Json::parse(R"({"kind": "User", "metadata": {"name": "shop", "namespace": "x",
      "uid": "u-1"}, "apiVersion": "dunlin.dev/v1alpha1", "spec": {}})");
  EXPECT_EQ(CredentialsNameOf(user), "shop-credentials");
  EXPECT_TRUE(GeneratesCredentials(user));
  const Json made = NewCredentialsSecret(user, {"shop", "12345678"});
  EXPECT_EQ(k8s::KeyOf(made).ToString(), "x/shop-credentials");
  EXPECT_EQ(k8s::ControllerUidOf(made), "u-1");
  const auto credentials = CredentialsOf(&made, "shop-credentials");
  ASSERT_OK(credentials);
  EXPECT_EQ(credentials->secret_key, "12345678");

  user["spec"]["credentials"] = {{"secretName", "mine"}, {"generate", false}};
  EXPECT_EQ(CredentialsNameOf(user), "mine");
  EXPECT_FALSE(GeneratesCredentials(user));
}

}  // namespace
}  // namespace dunlin::op
