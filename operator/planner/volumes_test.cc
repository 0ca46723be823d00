#include "operator/planner/volumes.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "operator/k8s/conditions.h"
#include "operator/k8s/json.h"
#include "operator/k8s/object.h"
#include "operator/planner/objects.h"
#include "operator/planner/plan.h"
#include "operator/planner/testing/planner_fixture.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Each member has a volume of 10Gi.
class VolumesTest : public PlannerFixture {
 protected:
  void SettleWithVolumes() {
    Settle();
    for (int i = 0; i < 3; ++i) observed_.claims.push_back(Shared(Claim(i, "10Gi", "10Gi")));
  }
  static Json Claim(int ordinal, const std::string& asks, const std::string& has) {
    Json claim = {{"metadata",
                   {{"name", fmt::format("data-orders-{}", ordinal)},
                    {"namespace", "shop"},
                    {"resourceVersion", fmt::format("v{}", ordinal)}}}};
    claim["spec"]["resources"]["requests"]["storage"] = asks;
    claim["status"] = {{"phase", "Bound"}, {"capacity", {{"storage", has}}}};
    return claim;
  }
  static std::vector<std::string> Grown(const Plan& plan) {
    std::vector<std::string> names;
    for (const Plan::Growth& growth : plan.growths) names.push_back(growth.claim.name);
    return names;
  }
  void Raise() { group_["spec"]["storage"]["size"] = "20Gi"; }
  void SetAll(const std::string& asks, const std::string& has) {
    for (int i = 0; i < 3; ++i) {
      observed_.claims[static_cast<size_t>(i)] = Shared(Claim(i, asks, has));
    }
  }
};

TEST_F(VolumesTest, WhatIsAsAskedIsLeftAlone) {
  SettleWithVolumes();
  group_["spec"]["storage"]["size"] = "10240Mi";  // the same in other words
  const Plan plan = Make();
  EXPECT_THAT(plan.growths, IsEmpty());
  EXPECT_THAT(plan.removals, IsEmpty());
  EXPECT_EQ(Condition(plan, "StorageReady"), "True AsAsked");
  EXPECT_EQ(plan.status["members"][0]["volumeSize"], "10Gi");
}

TEST_F(VolumesTest, ClaimsGrowThenTheStatefulSetIsMadeAnew) {
  SettleWithVolumes();
  Raise();
  Plan plan = Make();
  EXPECT_THAT(Grown(plan), ElementsAre("data-orders-0", "data-orders-1", "data-orders-2"));
  EXPECT_EQ(plan.growths[1].size, "20Gi");
  EXPECT_EQ(plan.growths[1].version, "v1");
  EXPECT_THAT(plan.removals, IsEmpty());
  EXPECT_EQ(Condition(plan, "StorageReady"), "False Resizing");

  // It is not waited for the storage.
  SetAll("20Gi", "10Gi");
  Json set = *observed_.stateful_set;
  set["metadata"]["resourceVersion"] = "s1";
  observed_.stateful_set = Shared(set);
  plan = Make();
  EXPECT_THAT(plan.growths, IsEmpty());
  ASSERT_THAT(plan.removals, SizeIs(1));
  EXPECT_EQ(plan.removals[0].type.kind, "StatefulSet");
  EXPECT_EQ(plan.removals[0].object.name, "orders");
  EXPECT_EQ(plan.removals[0].version, "s1");
  EXPECT_TRUE(plan.removals[0].orphans);
  EXPECT_EQ(Condition(plan, "StorageReady"), "False Resizing");
  EXPECT_EQ(Condition(plan, "Ready"), "True AllMembersReady");

  // While it goes nothing is applied to it.
  set["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  observed_.stateful_set = Shared(set);
  plan = Make();
  EXPECT_THAT(Applied(plan), IsEmpty());
  EXPECT_THAT(plan.removals, IsEmpty());

  SetAll("20Gi", "20Gi");
  observed_.stateful_set = nullptr;
  observed_.applied.erase("StatefulSet/orders");
  plan = Make();
  EXPECT_THAT(Applied(plan), ElementsAre("StatefulSet/orders"));
  const Json anew = Find(plan, "StatefulSet/orders");
  EXPECT_EQ(anew["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"],
            "20Gi");
  EXPECT_EQ(plan.status["phase"], "Updating");
  CarryOut(plan);
  plan = Make();
  EXPECT_THAT(plan.removals, IsEmpty());
  EXPECT_EQ(Condition(plan, "StorageReady"), "True AsAsked");
}

// Another template would be another revision of all members.
TEST_F(VolumesTest, TheNewStatefulSetHasTheTemplateOfTheFormer) {
  SettleWithVolumes();
  const Json before = (*observed_.stateful_set)["spec"]["template"];
  group_["spec"]["replicas"] = 4;
  CarryOut(Make());
  for (int i = 0; i < 4; ++i) {
    Json pod = MakePod(i, "r1");
    pod["metadata"]["annotations"] = before["metadata"]["annotations"];
    if (i < 3) {
      observed_.pods[static_cast<size_t>(i)] = Shared(pod);
    } else {
      observed_.pods.push_back(Shared(pod));
    }
  }
  observed_.coordination->members["orders-3"] = Seat::kVoter;
  observed_.stateful_set = nullptr;
  observed_.applied.erase("StatefulSet/orders");
  const Json anew = Find(Make(), "StatefulSet/orders");
  EXPECT_EQ(anew["spec"]["template"], before);
  EXPECT_EQ(anew["spec"]["replicas"], 4);
}

TEST_F(VolumesTest, TheStatefulSetStaysWhileSomethingIsUnderWay) {
  SettleWithVolumes();
  Raise();
  SetAll("20Gi", "20Gi");
  observed_.pods[2] = Shared(MakePod(2, "r0"));
  EXPECT_TRUE(Make().deletion.has_value());
  EXPECT_THAT(Make().removals, IsEmpty());
  observed_.pods[2] = Shared(MakePod(2, "r1"));
  EXPECT_THAT(Make().removals, SizeIs(1));
  group_["metadata"]["annotations"]["dunlin.dev/pause-reconciliation"] = "true";
  EXPECT_THAT(Make().removals, IsEmpty());
}

TEST_F(VolumesTest, ASwitchoverThatIsAskedForComesFirst) {
  SettleWithVolumes();
  Raise();
  SetAll("20Gi", "20Gi");
  group_["metadata"]["annotations"]["dunlin.dev/switchover-to"] = "orders-2";
  EXPECT_TRUE(Make().switchover.has_value());
  EXPECT_THAT(Make().removals, IsEmpty());
}

TEST_F(VolumesTest, WhatIsRefusedIsShownAndNotAskedForInACircle) {
  SettleWithVolumes();
  Raise();
  observed_.growth_refused = "the storageclass must support resize";
  const Plan plan = Make();
  EXPECT_THAT(plan.growths, IsEmpty());
  EXPECT_THAT(plan.removals, IsEmpty());
  EXPECT_EQ(Condition(plan, "StorageReady"), "False Refused");
  const Json* const told = k8s::FindCondition(plan.status["conditions"], "StorageReady");
  EXPECT_THAT(std::string(k8s::StringAt(*told, {"message"})), HasSubstr("allowVolumeExpansion"));
}

TEST_F(VolumesTest, WhatTheStorageSaysIsShown) {
  SettleWithVolumes();
  Raise();
  SetAll("20Gi", "20Gi");
  Json claim = Claim(1, "20Gi", "10Gi");
  claim["status"]["conditions"] =
      Json::parse(R"([{"type": "FileSystemResizePending", "status": "True"}])");
  observed_.claims[1] = Shared(claim);
  EXPECT_EQ(Condition(Make(), "StorageReady"), "False FileSystemResizePending");
  claim["status"]["allocatedResourceStatuses"]["storage"] = "ControllerResizeInfeasible";
  observed_.claims[1] = Shared(claim);
  EXPECT_EQ(Condition(Make(), "StorageReady"), "False ResizeInfeasible");
}

TEST_F(VolumesTest, AClaimWithoutAVolumeIsWaitedFor) {
  SettleWithVolumes();
  Raise();
  SetAll("20Gi", "20Gi");
  Json claim = Claim(2, "10Gi", "10Gi");
  claim["status"] = {{"phase", "Pending"}};
  observed_.claims[2] = Shared(claim);
  const Plan plan = Make();
  EXPECT_THAT(plan.growths, IsEmpty());
  EXPECT_THAT(plan.removals, IsEmpty());
  EXPECT_EQ(Condition(plan, "StorageReady"), "False Resizing");
}

TEST_F(VolumesTest, LargerVolumesAndThoseOfFormerMembersStayAsTheyAre) {
  SettleWithVolumes();
  Raise();
  SetAll("30Gi", "30Gi");
  observed_.claims.push_back(Shared(Claim(3, "10Gi", "10Gi")));
  const Plan plan = Make();
  EXPECT_THAT(plan.growths, IsEmpty());
  EXPECT_EQ(Condition(plan, "StorageReady"), "True AsAsked");
}

}  // namespace
}  // namespace dunlin::op
