// Access control of a BrokerGroup: what members are told of it, and what the operator waits for.

#include <gmock/gmock.h>

#include <fstream>
#include <string>

#include "operator/planner/testing/planner_fixture.h"
#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/runtime/config.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class AccessTest : public PlannerFixture {
 protected:
  void Enable() {
    group_["spec"]["access"] = {{"enabled", true}, {"superUserSecretName", "root"}};
    observed_.super_user = "admin";
  }
  static config::v1::DunlinConfig Read(const std::string& text) {
    const TempDir directory;
    const std::string path = directory.path() + "/dunlin.yaml";
    std::ofstream(path) << text;
    ConfigSources sources;
    sources.file = path;
    config::v1::DunlinConfig config;
    EXPECT_OK(LoadConfig(sources, config));
    return config;
  }
};

TEST_F(AccessTest, OffThereIsNothingOfIt) {
  const std::string text = FileOf(Make())["data"]["dunlin.yaml"];
  EXPECT_THAT(text, Not(HasSubstr("access")));
  // With a Secret that would be used.
  group_["spec"]["access"] = {{"enabled", false}, {"superUserSecretName", "root"}};
  EXPECT_EQ(FileOf(Make())["data"]["dunlin.yaml"], text);
}

TEST_F(AccessTest, MembersKnowTheSuperUserAndReadTheSecretFromAFile) {
  Enable();
  const Plan plan = Make();
  const config::v1::DunlinConfig config = Read(FileOf(plan)["data"]["dunlin.yaml"]);
  EXPECT_TRUE(config.access().enabled());
  EXPECT_EQ(config.access().super_user(), "admin");
  EXPECT_EQ(config.access().super_user_secret_file(), "/etc/dunlin-access/secretKey");

  const Json pod = Find(plan, "StatefulSet/orders")["spec"]["template"]["spec"];
  const Json mount =
      Json::parse(R"({"name": "access", "mountPath": "/etc/dunlin-access", "readOnly": true})");
  EXPECT_THAT(pod["containers"][0]["volumeMounts"], Contains(mount));
  EXPECT_THAT(pod["containers"][1]["volumeMounts"], Not(Contains(mount)));  // the replicator
  // dunlinctl in the container asks as the super user.
  EXPECT_THAT(pod["containers"][0]["env"], Contains(Json::parse(R"({"name": "DUNLIN_ACCESS_KEY",
      "valueFrom": {"secretKeyRef": {"name": "root", "key": "accessKey"}}})")));
  EXPECT_THAT(pod["containers"][0]["env"],
              Contains(Json::parse(R"({"name": "DUNLIN_SECRET_KEY_FILE",
      "value": "/etc/dunlin-access/secretKey"})")));
  EXPECT_THAT(pod["volumes"], Contains(Json::parse(R"({"name": "access", "secret": {
      "secretName": "root", "items": [{"key": "secretKey", "path": "secretKey"}],
      "defaultMode": 288}})")));
}

TEST_F(AccessTest, OtherSettingsOfItStay) {
  Enable();
  group_["spec"]["config"]["access"] = {{"max_users", 5}};
  const config::v1::DunlinConfig config = Read(FileOf(Make())["data"]["dunlin.yaml"]);
  EXPECT_TRUE(config.access().enabled());
  EXPECT_EQ(config.access().max_users(), 5U);
}

TEST_F(AccessTest, ToTurnItOnIsAnUpdateOfAllMembers) {
  Settle();
  Enable();
  Plan plan = Make();
  EXPECT_THAT(Applied(plan), Contains("StatefulSet/orders"));
  EXPECT_FALSE(plan.deletion.has_value());
  CarryOut(plan);
  // Another name is another configuration, another secret is not.
  EXPECT_THAT(Applied(Make()), IsEmpty());
  observed_.super_user = "root";
  EXPECT_THAT(Applied(Make()), Contains("StatefulSet/orders"));
}

TEST_F(AccessTest, OtherGroupsOfTheClusterAreToAgree) {
  Settle();
  EXPECT_EQ(Condition(Make(), "AccessDiffers"), "");
  observed_.others_access = {"b", "c"};
  const Plan plan = Make();
  const Json* const differs = k8s::FindCondition(plan.status["conditions"], "AccessDiffers");
  ASSERT_NE(differs, nullptr);
  EXPECT_THAT(std::string(k8s::StringAt(*differs, {"message"})),
              HasSubstr("another one at b, c of the same cluster: "));
  observed_.others_access.assign(11, "x");
  EXPECT_EQ(Condition(Make(), "AccessDiffers"), "True OtherGroups");
}

TEST_F(AccessTest, WithoutItsSecretNothingChangesAndWhatRunsGoesOn) {
  Settle();
  Enable();
  observed_.super_user = absl::NotFoundError("there is no Secret root: make it");
  const Plan plan = Make();
  EXPECT_THAT(Applied(plan), IsEmpty());
  EXPECT_FALSE(plan.deletion.has_value());
  EXPECT_EQ(Condition(plan, "Stalled"), "True SuperUserSecretInvalid");
  const Json* const stalled = k8s::FindCondition(plan.status["conditions"], "Stalled");
  EXPECT_EQ(k8s::StringAt(*stalled, {"message"}),
            "access.superUserSecretName: there is no Secret root: make it");
}

}  // namespace
}  // namespace dunlin::op
