#include "operator/planner/preference.h"

#include <gmock/gmock.h>

#include <chrono>
#include <string>

#include "operator/k8s/conditions.h"
#include "operator/k8s/json.h"
#include "operator/k8s/object.h"
#include "operator/planner/observed.h"
#include "operator/planner/plan.h"
#include "operator/planner/testing/planner_fixture.h"
#include "services/base/clock.h"

namespace dunlin::op {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// orders-0 is master, orders-1 is to be.
class PreferenceTest : public PlannerFixture {
 protected:
  void SettleWith(const std::string& preferred) {
    group_["spec"]["failover"]["preferredMaster"] = preferred;
    Settle();
  }
  // As it is written, so long after the last one.
  Plan Look(std::chrono::seconds later = std::chrono::seconds(0)) {
    now_ += later;
    Plan plan = Make();
    group_["status"] = plan.status;
    return plan;
  }
  std::string Why(const Plan& plan) {
    const k8s::Json* const found = k8s::FindCondition(plan.status["conditions"], "PreferredMaster");
    return found == nullptr ? "" : (*found)["message"].get<std::string>();
  }
};

TEST_F(PreferenceTest, TheGroupIsAskedToHandOverWhenItsMasterHasBeenForAWhile) {
  SettleWith("orders-1");
  Plan plan = Look();
  EXPECT_FALSE(plan.switchover.has_value());
  EXPECT_EQ(Condition(plan, "PreferredMaster"), "False TooSoon");
  EXPECT_THAT(Why(plan), HasSubstr("less than 30 s ago (failover.minIntervalSeconds)"));
  EXPECT_FALSE(Look(std::chrono::seconds(29)).switchover.has_value());
  plan = Look(std::chrono::seconds(1));
  ASSERT_TRUE(plan.switchover.has_value());
  EXPECT_EQ(plan.switchover->to, "orders-1");
  EXPECT_EQ(plan.switchover->epoch, 7);
  ASSERT_THAT(plan.events, SizeIs(1));
  EXPECT_EQ(plan.events[0].note,
            "orders-0 hands over to orders-1: failover.preferredMaster is orders-1");
  EXPECT_EQ(Condition(plan, "PreferredMaster"), "False HandingOver");
  EXPECT_EQ(Condition(plan, "Ready"), "True AllMembersReady");

  observed_.coordination->master = "orders-1";
  observed_.coordination->epoch = 8;
  CarryOut(Make());
  plan = Look(std::chrono::hours(1));
  EXPECT_FALSE(plan.switchover.has_value());
  EXPECT_EQ(Condition(plan, "PreferredMaster"), "True IsMaster");
  EXPECT_EQ(plan.status["lastRoleChange"]["from"], "orders-0");
  EXPECT_EQ(plan.status["lastRoleChange"]["to"], "orders-1");
  EXPECT_EQ(plan.status["lastRoleChange"]["epoch"], 8);
}

TEST_F(PreferenceTest, WithoutOneNothingIsShown) {
  Settle();
  Look();
  const Plan plan = Look(std::chrono::hours(1));
  EXPECT_FALSE(plan.switchover.has_value());
  EXPECT_EQ(Condition(plan, "PreferredMaster"), "");
}

TEST_F(PreferenceTest, TheIntervalIsThatOfTheSpec) {
  group_["spec"]["failover"]["minIntervalSeconds"] = 0;
  SettleWith("orders-1");
  EXPECT_TRUE(Look().switchover.has_value());
}

TEST_F(PreferenceTest, WhoCannotTakeOverIsNotAskedTo) {
  SettleWith("orders-1");
  Look();
  now_ += std::chrono::hours(1);
  observed_.coordination->in_sync.erase("orders-1");
  EXPECT_FALSE(Look().switchover.has_value());
  EXPECT_EQ(Why(Look()), "orders-1 cannot take over: it is not in sync");
  observed_.coordination->in_sync.insert("orders-1");
  observed_.pods[1] = Shared(MakePod(1, "r1", false));
  EXPECT_FALSE(Look().switchover.has_value());
  EXPECT_EQ(Why(Look()), "orders-1 cannot take over: it is not ready");
  observed_.pods.erase(observed_.pods.begin() + 1);
  EXPECT_FALSE(Look().switchover.has_value());
  EXPECT_EQ(Why(Look()), "orders-1 cannot take over: it has no pod");
  observed_.coordination->master = "";
  EXPECT_EQ(Condition(Look(), "PreferredMaster"), "False NoMaster");
}

TEST_F(PreferenceTest, WhatIsUnderWayComesFirst) {
  SettleWith("orders-1");
  Look();
  now_ += std::chrono::hours(1);
  ASSERT_TRUE(Look().switchover.has_value());
  // An update: a slave of the older revision goes.
  const k8s::Object settled = observed_.pods[2];
  observed_.pods[2] = Shared(MakePod(2, "r0"));
  Plan plan = Look();
  EXPECT_FALSE(plan.switchover.has_value());
  EXPECT_TRUE(plan.deletion.has_value());
  observed_.pods[2] = settled;
  // Somebody asks for another one.
  group_["metadata"]["annotations"]["dunlin.dev/switchover-to"] = "orders-2";
  plan = Look();
  ASSERT_TRUE(plan.switchover.has_value());
  EXPECT_EQ(plan.switchover->to, "orders-2");
  group_["metadata"]["annotations"].erase("dunlin.dev/switchover-to");
  group_["metadata"]["annotations"]["dunlin.dev/pause-reconciliation"] = "true";
  EXPECT_FALSE(Look().switchover.has_value());
}

TEST_F(PreferenceTest, NotToANodeThatIsToBeEmptied) {
  SettleWith("orders-1");
  k8s::Json pod = MakePod(1, "r1");
  pod["spec"]["nodeName"] = "node-1";
  observed_.pods[1] = Shared(pod);
  observed_.emptied_nodes = {"node-1"};
  Look();
  EXPECT_FALSE(Look(std::chrono::hours(1)).switchover.has_value());
  EXPECT_EQ(Condition(Make(), "PreferredMaster"), "False NodeLeaves");
}

}  // namespace
}  // namespace dunlin::op
