// What a group shows, and what is done for it, when members do not work: updates that make no
// progress, masters that are dead, updates that somebody is to let go on.

#include <fmt/format.h>
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

using k8s::Json;
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

}  // namespace
}  // namespace dunlin::op
