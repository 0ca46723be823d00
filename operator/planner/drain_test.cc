#include "operator/planner/drain.h"

#include <gmock/gmock.h>

#include <string>

#include "operator/k8s/json.h"
#include "operator/planner/observed.h"
#include "operator/planner/plan.h"
#include "operator/planner/testing/planner_fixture.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(IsToBeEmptiedTest, CordonedOrTakenAway) {
  const auto emptied = [](const char* spec) {
    Json node;
    node["spec"] = Json::parse(spec);
    return IsToBeEmptied(node);
  };
  EXPECT_FALSE(IsToBeEmptied(Json::object()));
  EXPECT_FALSE(emptied(R"({"unschedulable": false, "taints": []})"));
  EXPECT_FALSE(emptied(R"({"taints": [{"key": "node.kubernetes.io/not-ready"}]})"));
  EXPECT_TRUE(emptied(R"({"unschedulable": true})"));
  EXPECT_TRUE(
      emptied(R"({"taints": [{"key": "x"}, {"key": "node.kubernetes.io/unschedulable"}]})"));
  EXPECT_TRUE(emptied(R"({"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]})"));
  EXPECT_TRUE(emptied(R"({"taints": [{"key": "karpenter.sh/disrupted"}]})"));
}

// Member i runs on node-i.
class DrainTest : public PlannerFixture {
 protected:
  void SettleOnNodes() {
    Settle();
    for (int i = 0; i < 3; ++i) SetPod(i, true);
  }
  void SetPod(int ordinal, bool ready) {
    Json pod = MakePod(ordinal, "r1", ready);
    pod["spec"]["nodeName"] = fmt::format("node-{}", ordinal);
    observed_.pods[static_cast<size_t>(ordinal)] = Shared(pod);
  }
  // As it was written.
  Plan Look() {
    Plan plan = Make();
    group_["status"] = plan.status;
    return plan;
  }
};

TEST_F(DrainTest, TheMasterHandsOverToAMemberWhoseNodeStays) {
  SettleOnNodes();
  observed_.emptied_nodes = {"node-0", "node-1"};
  const Plan plan = Look();
  ASSERT_TRUE(plan.switchover.has_value());
  EXPECT_EQ(plan.switchover->to, "orders-2");
  EXPECT_EQ(plan.switchover->epoch, 7);
  ASSERT_THAT(plan.events, SizeIs(1));
  EXPECT_EQ(plan.events[0].reason, "SwitchingOver");
  EXPECT_EQ(Condition(plan, "Draining"), "True HandingOver");
  // Then there is nothing left to do: it is not the master's node that is emptied.
  observed_.coordination->master = "orders-2";
  observed_.coordination->epoch = 8;
  CarryOut(Make());
  const Plan after = Look();
  EXPECT_FALSE(after.switchover.has_value());
  EXPECT_EQ(Condition(after, "Draining"), "");
}

TEST_F(DrainTest, ANodeUnderASlaveConcernsNobody) {
  SettleOnNodes();
  observed_.emptied_nodes = {"node-1"};
  const Plan plan = Look();
  EXPECT_FALSE(plan.switchover.has_value());
  EXPECT_EQ(Condition(plan, "Draining"), "");
}

TEST_F(DrainTest, WhoCannotTakeOverIsWaitedForAndToldOfOnce) {
  SettleOnNodes();
  observed_.emptied_nodes = {"node-0"};
  SetPod(1, false);
  observed_.coordination->in_sync = {"orders-0", "orders-1"};
  const Plan plan = Look();
  EXPECT_FALSE(plan.switchover.has_value());
  EXPECT_EQ(Condition(plan, "Draining"), "True NoSuccessor");
  ASSERT_THAT(plan.events, SizeIs(1));
  EXPECT_EQ(plan.events[0].reason, "DrainBlocked");
  EXPECT_THAT(Look().events, IsEmpty());
  observed_.coordination->in_sync.insert("orders-2");
  EXPECT_EQ(Look().switchover->to, "orders-2");
}

TEST_F(DrainTest, WhenAllNodesAreEmptiedNobodyIsAskedInACircle) {
  SettleOnNodes();
  observed_.emptied_nodes = {"node-0", "node-1", "node-2"};
  EXPECT_FALSE(Look().switchover.has_value());
  EXPECT_EQ(Condition(Look(), "Draining"), "True NoSuccessor");
}

TEST_F(DrainTest, AGroupOfOneSaysThatNobodyTakesOver) {
  group_["spec"]["replicas"] = 1;
  group_["spec"]["replication"]["mode"] = "Async";
  Settle();
  observed_.pods.resize(1);
  observed_.coordination->members = {{"orders-0", Seat::kVoter}};
  observed_.coordination->in_sync = {"orders-0"};
  observed_.emptied_nodes = {"n"};
  const Plan plan = Look();
  EXPECT_FALSE(plan.switchover.has_value());
  EXPECT_EQ(Condition(plan, "Draining"), "True NobodyElse");
  EXPECT_THAT(plan.events.at(0).note, HasSubstr("podDisruptionBudget.enabled"));
}

TEST_F(DrainTest, WithoutElectionsNobodyTakesOver) {
  group_["spec"]["failover"]["coordinator"] = Json::parse(R"({"type": "Static"})");
  SettleOnNodes();
  observed_.emptied_nodes = {"node-0"};
  EXPECT_FALSE(Look().switchover.has_value());
  EXPECT_EQ(Condition(Look(), "Draining"), "True NobodyElse");
}

TEST_F(DrainTest, PausedIsHandsOff) {
  SettleOnNodes();
  group_["metadata"]["annotations"]["dunlin.dev/pause-reconciliation"] = "true";
  observed_.emptied_nodes = {"node-0"};
  const Plan plan = Look();
  EXPECT_FALSE(plan.switchover.has_value());
  EXPECT_EQ(Condition(plan, "Draining"), "True Paused");
}

TEST_F(DrainTest, NoPodGoesInTheSamePlan) {
  SettleOnNodes();
  Json outdated = *observed_.pods[2];
  outdated["metadata"]["labels"]["controller-revision-hash"] = "r0";
  observed_.pods[2] = Shared(outdated);
  ASSERT_TRUE(Make().deletion.has_value());
  observed_.emptied_nodes = {"node-0"};
  const Plan plan = Look();
  EXPECT_FALSE(plan.deletion.has_value());
  ASSERT_TRUE(plan.switchover.has_value());
  EXPECT_EQ(plan.switchover->to, "orders-1");
}

TEST_F(DrainTest, ASpecThatIsWrongDoesNotHoldADrainUp) {
  SettleOnNodes();
  observed_.emptied_nodes = {"node-0"};
  group_["spec"]["config"] = Json::parse(R"({"store": {"segment_size_bytes": 5}})");
  const Plan plan = Look();
  EXPECT_EQ(Condition(plan, "Stalled"), "True InvalidSpec");
  EXPECT_EQ(plan.switchover->to, "orders-1");
}

TEST_F(DrainTest, AnUpdateHandsOverToANodeThatStaysToo) {
  SettleOnNodes();
  Json outdated = *observed_.pods[0];
  outdated["metadata"]["labels"]["controller-revision-hash"] = "r0";
  observed_.pods[0] = Shared(outdated);
  observed_.emptied_nodes = {"node-1"};
  EXPECT_EQ(Look().switchover->to, "orders-2");
}

}  // namespace
}  // namespace dunlin::op
