// What a group shows, and what is done for it, when members do not work: updates that make no
// progress, masters that are dead, updates that somebody is to let go on.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <chrono>
#include <string>
#include <vector>

#include "operator/k8s/conditions.h"
#include "operator/k8s/json.h"
#include "operator/k8s/object.h"
#include "operator/planner/observed.h"
#include "operator/planner/plan.h"
#include "operator/planner/testing/planner_fixture.h"
#include "services/base/clock.h"

namespace dunlin::op {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class OutageTest : public PlannerFixture {
 protected:
  // A group of one, as all pods become outdated.
  void SettleOne() {
    group_["spec"]["replicas"] = 1;
    group_["spec"]["replication"]["mode"] = "Async";
    Settle();
    observed_.pods = {Shared(MakePod(0, "r0"))};
    observed_.coordination = Coordination{.epoch = 7,
                                          .master = "orders-0",
                                          .in_sync = {"orders-0"},
                                          .members = {{"orders-0", Seat::kVoter}}};
  }
};

TEST_F(OutageTest, ASupervisedUpdateOfAMemberAloneGoesOn) {
  group_["spec"]["update"]["masterUpdatePolicy"] = "Supervised";
  SettleOne();
  EXPECT_FALSE(Make().deletion.has_value());
  group_["metadata"]["annotations"]["dunlin.dev/switchover-to"] = "any";
  const Plan plan = Make();
  ASSERT_TRUE(plan.deletion.has_value());
  EXPECT_EQ(plan.deletion->pod.name, "orders-0");
  EXPECT_THAT(plan.answered, ElementsAre("dunlin.dev/switchover-to"));
}

TEST_F(OutageTest, ASupervisedUpdateWithoutHandingOverGoesOn) {
  group_["spec"]["update"] = {{"masterUpdatePolicy", "Supervised"},
                              {"masterUpdateMethod", "Restart"}};
  Settle();
  observed_.pods[0] = Shared(MakePod(0, "r0"));
  EXPECT_FALSE(Make().deletion.has_value());
  group_["metadata"]["annotations"]["dunlin.dev/switchover-to"] = "any";
  EXPECT_TRUE(Make().deletion.has_value());
  EXPECT_FALSE(Make().switchover.has_value());
  // Who names a pod wants that one to be master.
  group_["metadata"]["annotations"]["dunlin.dev/switchover-to"] = "orders-2";
  ASSERT_TRUE(Make().switchover.has_value());
  EXPECT_EQ(Make().switchover->to, "orders-2");
}

TEST_F(OutageTest, AnUpdateThatMakesNoProgressIsStalled) {
  Settle();
  observed_.pods = {Shared(MakePod(0, "r0")), Shared(MakePod(1, "r0")),
                    Shared(MakePod(2, "r1", false))};
  const auto look = [&](std::chrono::seconds later) {
    now_ += later;
    const Plan plan = Make();
    group_["status"] = plan.status;  // as it was written
    return plan;
  };
  EXPECT_EQ(Condition(look(std::chrono::seconds(0)), "Stalled"), "False Nothing");
  EXPECT_EQ(Condition(look(std::chrono::seconds(600)), "Stalled"), "False Nothing");
  const Plan stuck = look(std::chrono::seconds(1));
  EXPECT_EQ(Condition(stuck, "Stalled"), "True ProgressDeadlineExceeded");
  EXPECT_EQ(stuck.status["phase"], "Stalled");
  EXPECT_THAT(stuck.status["conditions"][0]["message"].get<std::string>(),
              HasSubstr("orders-2 is not ready"));
  // After one step it has as long again; when all are updated there is nothing to be late.
  observed_.pods[1] = Shared(MakePod(1, "r1"));
  EXPECT_EQ(Condition(look(std::chrono::seconds(5)), "Stalled"), "False Nothing");
  EXPECT_EQ(Condition(look(std::chrono::seconds(600)), "Stalled"), "False Nothing");
  EXPECT_EQ(Condition(look(std::chrono::seconds(1)), "Stalled"), "True ProgressDeadlineExceeded");
  for (int i = 0; i < 3; ++i) observed_.pods[i] = Shared(MakePod(i, "r1"));
  EXPECT_EQ(Condition(look(std::chrono::seconds(1)), "Ready"), "True AllMembersReady");
  EXPECT_FALSE(group_["status"].contains("operation"));
}

TEST_F(OutageTest, WhatWaitsForSomebodyIsNotStalled) {
  group_["spec"]["update"]["type"] = "OnDelete";
  Settle();
  observed_.pods[2] = Shared(MakePod(2, "r0"));
  for (int i = 0; i < 3; ++i) {
    const Plan plan = Make();
    EXPECT_EQ(Condition(plan, "Stalled"), "False Nothing");
    EXPECT_EQ(plan.status["phase"], "Updating");
    group_["status"] = plan.status;
    now_ += std::chrono::hours(1);
  }
}

TEST_F(OutageTest, ADeadMasterIsNone) {
  Settle();
  observed_.pods[0] = Shared(MakePod(0, "r1", false));
  Plan plan = Make();
  EXPECT_EQ(Condition(plan, "Available"), "False MasterNotReady");
  EXPECT_EQ(plan.status["master"], "");
  EXPECT_EQ(plan.status["phase"], "FailingOver");
  // All pods are gone; the Lease still names it.
  observed_.pods.clear();
  plan = Make();
  EXPECT_EQ(Condition(plan, "Available"), "False MasterNotReady");
  EXPECT_EQ(plan.status["phase"], "FailingOver");
}

TEST_F(OutageTest, BudgetsThatAreOffGo) {
  Settle();
  EXPECT_THAT(Make().removals, IsEmpty());
  group_["spec"]["podDisruptionBudget"]["enabled"] = false;
  std::vector<std::string> removed;
  for (const Plan::Removal& removal : Make().removals) {
    removed.push_back(removal.type.kind + "/" + removal.object.name);
  }
  EXPECT_THAT(removed,
              ElementsAre("PodDisruptionBudget/orders", "PodDisruptionBudget/orders-master"));
  std::erase_if(observed_.applied,
                [](const auto& entry) { return entry.first.starts_with("PodDisruptionBudget/"); });
  EXPECT_THAT(Make().removals, IsEmpty());
}

TEST_F(OutageTest, WithoutAMasterOneOfAllMayBeEvicted) {
  Settle();
  observed_.applied.clear();  // so that all of them are told
  const auto needed = [&] {
    return Find(Make(), "PodDisruptionBudget/orders")["spec"]["minAvailable"];
  };
  EXPECT_EQ(needed(), 1);
  observed_.coordination->master = "";
  EXPECT_EQ(needed(), 2);
  // By the labels that there are.
  observed_.coordination.reset();
  EXPECT_EQ(needed(), 1);
}

}  // namespace
}  // namespace dunlin::op
