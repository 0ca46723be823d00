// The program itself against a real API server with its controllers: groups are made, updated,
// scaled and deleted, while operators and the API server are killed.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "operator/k8s/client.h"
#include "operator/planner/objects.h"
#include "operator/planner/resource_types.h"
#include "operator/program/testing/operator_fixture.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Nobody makes volumes of these by himself.
constexpr char kStorageClasses[] = R"(
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: grows}
provisioner: example.com/none
allowVolumeExpansion: true
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: fixed}
provisioner: example.com/none
)";

TEST_F(OperatorServerTest, AGroupFromItsBeginningToItsEnd) {
  const auto program = StartOperator();
  ASSERT_OK(client_.Run(Create(BrokerGroupType(), GroupOf("orders", 3))));
  WaitUntilReady("orders");
  EXPECT_THAT(control_plane_.Kubectl({"-n", kSpace, "get", "pods", "-l", "dunlin.dev/role=master"}),
              HasSubstr("orders-0"));
  EXPECT_FALSE(Get(SecretType(), "orders-replication").is_null());

  // One at a time; the master hands over before it goes.
  stand_in_->CountAnew("orders");
  Edit("orders", {{"image", "example.com/dunlin:2"}});
  WaitUntilReady("orders", 2);
  ExpectImages("example.com/dunlin:2", 3);
  EXPECT_GE(stand_in_->LeastReady("orders"), 2);
  EXPECT_EQ(stand_in_->Switchovers(), 1);

  // A new pod is added to the group, and nobody else is restarted for it.
  const std::string first(k8s::UidOf(Get(PodType(), "orders-0")));
  Edit("orders", {{"replicas", 4}});
  WaitUntilReady("orders", 3);
  EXPECT_THAT(stand_in_->Members("orders"),
              ElementsAre("orders-0", "orders-1", "orders-2", "orders-3"));
  EXPECT_EQ(k8s::UidOf(Get(PodType(), "orders-0")), first);
  EXPECT_EQ(k8s::IntAt(Get(BrokerGroupType(), "orders"), {"status", "inSyncReplicas"}), 4);
  Edit("orders", {{"replicas", 2}});
  WaitUntilReady("orders", 4);
  EXPECT_THAT(stand_in_->Members("orders"), ElementsAre("orders-0", "orders-1"));
  EXPECT_TRUE(Get(PodType(), "orders-2").is_null());
  EXPECT_TRUE(Get(PodType(), "orders-3").is_null());

  // What somebody breaks is mended.
  ASSERT_OK(client_.Run(Delete(ServiceType(), {kSpace, "orders-master"})));
  WaitFor("the Service is back", [&] { return !Get(ServiceType(), "orders-master").is_null(); });

  const std::string file = FileNameOf("orders");
  EXPECT_FALSE(Get(ConfigMapType(), file).is_null());
  ASSERT_OK(client_.Run(Delete(BrokerGroupType(), {kSpace, "orders"})));
  WaitFor("all is gone", [&] {
    return Get(StatefulSetType(), "orders").is_null() && Get(PodType(), "orders-0").is_null() &&
           Get(ConfigMapType(), file).is_null() && Get(ServiceType(), "orders").is_null() &&
           Get(SecretType(), "orders-replication").is_null();
  });
  // Its volumes stay, and so does who may be elected from them.
  EXPECT_FALSE(Get(LeaseType(), "orders-master").is_null());
}

TEST_F(OperatorServerTest, ANameServiceAndWhoRefersToIt) {
  const auto program = StartOperator();
  Json group = GroupOf("orders", 1);
  group["spec"].erase("nameServers");
  group["spec"]["nameServiceRef"] = {{"name", "names"}};
  ASSERT_OK(client_.Run(Create(BrokerGroupType(), group)));
  WaitFor("it says what is missing", [&] {
    return ConditionReason(BrokerGroupType(), "orders", "Stalled") == "NameServiceMissing";
  });
  Json names = k8s::NewObject(NameServiceType(), {kSpace, "names"});
  names["spec"] = {{"replicas", 2}};
  ASSERT_OK(client_.Run(Create(NameServiceType(), names)));
  WaitUntilReady("orders");
  WaitFor("the name service is ready", [&] {
    return ConditionReason(NameServiceType(), "names", "Ready") == "AllInstancesReady";
  });
  EXPECT_EQ(k8s::IntAt(Get(NameServiceType(), "names"), {"status", "brokerGroups"}), 1);

  // Another number of instances is another configuration of its groups.
  const std::string former = FileNameOf("orders");
  ASSERT_OK(
      client_.Run(MergePatch(NameServiceType(), {kSpace, "names"}, {{"spec", {{"replicas", 3}}}})));
  WaitFor("the group is told", [&] {
    const Json file = Get(ConfigMapType(), FileNameOf("orders"));
    return k8s::StringAt(file, {"data", "dunlin.yaml"}).find("names-2.names-members") !=
           std::string_view::npos;
  });
  WaitFor("the former file is gone", [&] { return Get(ConfigMapType(), former).is_null(); });

  ASSERT_OK(client_.Run(Delete(NameServiceType(), {kSpace, "names"})));
  WaitFor("it is gone", [&] { return Get(StatefulSetType(), "names").is_null(); });
}

TEST_F(OperatorServerTest, OperatorsAndTheApiServerAreKilled) {
  const auto first = StartOperator();
  WaitFor("the first leads", [&] { return first->Leads(); });
  const auto second = StartOperator();
  ASSERT_OK(client_.Run(Create(BrokerGroupType(), GroupOf("orders", 3))));
  WaitUntilReady("orders");
  EXPECT_TRUE(first->Leads());
  EXPECT_FALSE(second->Leads());

  // The leader dies amid an update; the other one goes on with it.
  stand_in_->CountAnew("orders");
  Edit("orders", {{"image", "example.com/dunlin:2"}});
  WaitFor("the first pod is replaced",
          [&] { return ImageOf("orders-2") == "example.com/dunlin:2"; });
  first->Kill();
  WaitUntilReady("orders", 2);
  ExpectImages("example.com/dunlin:2", 3);
  EXPECT_TRUE(second->Leads());
  EXPECT_GE(stand_in_->LeastReady("orders"), 2);

  // The API server dies amid the next one. Who loses leadership by that ends, and is started anew.
  stand_in_->CountAnew("orders");
  Edit("orders", {{"image", "example.com/dunlin:3"}});
  WaitFor("a pod is replaced", [&] {
    return ImageOf("orders-2") == "example.com/dunlin:3" ||
           ImageOf("orders-1") == "example.com/dunlin:3";
  });
  control_plane_.KillApiServer();
  control_plane_.StartApiServer();
  WaitUntilReady("orders", 3);
  ExpectImages("example.com/dunlin:3", 3);
  EXPECT_GE(stand_in_->LeastReady("orders"), 2);

  // Who stops in order gives leadership back.
  WaitFor("the second leads", [&] { return second->Leads(); });
  second->Terminate();
  const auto lease = client_.Run(k8s::Get(LeaseType(), {"default", "dunlin-operator"}));
  ASSERT_OK(lease);
  EXPECT_EQ(k8s::StringAt(*lease, {"spec", "holderIdentity"}), "");
}

TEST_F(OperatorServerTest, TheMasterHandsOverBeforeItsNodeIsDrained) {
  control_plane_.Kubectl({"create", "clusterrolebinding", "operator-nodes",
                          "--clusterrole=dunlin-operator-nodes",
                          "--serviceaccount=default:operator"});
  const auto program = StartOperator();
  ASSERT_OK(client_.Run(Create(BrokerGroupType(), GroupOf("orders", 3))));
  WaitUntilReady("orders");
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(client_.Run(Create(NodeType(), NewObject(NodeType(), {"", fmt::format("n-{}", i)}))));
    Bind(fmt::format("orders-{}", i), fmt::format("n-{}", i));
  }
  const auto master = [&] {
    return std::string(k8s::StringAt(Get(BrokerGroupType(), "orders"), {"status", "master"}));
  };
  const auto why = [&] { return ConditionReason(BrokerGroupType(), "orders", "Draining"); };
  ASSERT_EQ(master(), "orders-0");

  control_plane_.Kubectl({"cordon", "n-1"});
  control_plane_.Kubectl({"cordon", "n-0"});
  WaitFor("another one is master", [&] { return master() == "orders-2" && why().empty(); });
  EXPECT_EQ(stand_in_->Switchovers(), 1);
  WaitUntilReady("orders");

  // Nobody is asked in a circle.
  control_plane_.Kubectl({"cordon", "n-2"});
  WaitFor("it says that nobody fits", [&] { return why() == "NoSuccessor"; });
  EXPECT_EQ(stand_in_->Switchovers(), 1);
  control_plane_.Kubectl({"uncordon", "n-1"});
  WaitFor("somebody fits again", [&] { return master() == "orders-1" && why().empty(); });
  EXPECT_EQ(stand_in_->Switchovers(), 2);
}

TEST_F(OperatorServerTest, VolumesGrow) {
  const auto program = StartOperator();
  control_plane_.Kubectl({"apply", "-f", WriteFile("classes.yaml", kStorageClasses)});
  for (const std::string name : {"grows", "fixed"}) {
    Json group = GroupOf(name, 2);
    group["spec"]["storage"]["storageClassName"] = name;
    for (int i = 0; i < 2; ++i) MakeVolume(name, fmt::format("data-{}-{}", name, i));
    ASSERT_OK(client_.Run(Create(BrokerGroupType(), group)));
    WaitUntilReady(name);
    WaitFor("its volumes are there", [&] {
      return ConditionReason(BrokerGroupType(), name, "StorageReady") == "AsAsked" &&
             IsBound(fmt::format("data-{}-0", name)) && IsBound(fmt::format("data-{}-1", name));
    });
  }
  const std::string set(k8s::UidOf(Get(StatefulSetType(), "grows")));
  const std::string pod(k8s::UidOf(Get(PodType(), "grows-1")));
  const std::string fixed_set(k8s::UidOf(Get(StatefulSetType(), "fixed")));
  for (const std::string name : {"grows", "fixed"}) Edit(name, {{"storage", {{"size", "2Gi"}}}});

  WaitFor("the claims ask for more",
          [&] { return SizeOf("data-grows-0") == "2Gi" && SizeOf("data-grows-1") == "2Gi"; });
  WaitFor("the StatefulSet is another one", [&] {
    const Json now = Get(StatefulSetType(), "grows");
    return !now.is_null() && k8s::UidOf(now) != set;
  });
  WaitFor("it has taken the pods over", [&] {
    return k8s::ControllerUidOf(Get(PodType(), "grows-1")) ==
           k8s::UidOf(Get(StatefulSetType(), "grows"));
  });
  EXPECT_EQ(ConditionReason(BrokerGroupType(), "grows", "StorageReady"), "Resizing");
  for (const std::string claim : {"data-grows-0", "data-grows-1"}) {
    SetStatus(PersistentVolumeClaimType(), claim, {{"capacity", {{"storage", "2Gi"}}}});
  }
  WaitFor("it is said to be done",
          [&] { return ConditionReason(BrokerGroupType(), "grows", "StorageReady") == "AsAsked"; });
  WaitUntilReady("grows", 2);
  EXPECT_EQ(k8s::UidOf(Get(PodType(), "grows-1")), pod) << "a pod was replaced";

  // A new member's is as large from the beginning.
  Edit("grows", {{"replicas", 3}});
  WaitFor("the new claim", [&] { return SizeOf("data-grows-2") == "2Gi"; });

  WaitFor("what is refused is told",
          [&] { return ConditionReason(BrokerGroupType(), "fixed", "StorageReady") == "Refused"; });
  EXPECT_EQ(SizeOf("data-fixed-0"), "1Gi");
  EXPECT_EQ(k8s::UidOf(Get(StatefulSetType(), "fixed")), fixed_set);
}

TEST_F(OperatorServerTest, VolumesOfANameServiceGrow) {
  const auto program = StartOperator();
  control_plane_.Kubectl({"apply", "-f", WriteFile("classes.yaml", kStorageClasses)});
  Json names = k8s::NewObject(NameServiceType(), {kSpace, "names"});
  names["spec"] = {{"replicas", 2}, {"storage", {{"storageClassName", "grows"}}}};
  for (const std::string claim : {"data-names-0", "data-names-1"}) MakeVolume("grows", claim);
  ASSERT_OK(client_.Run(Create(NameServiceType(), names)));
  const auto why = [&](const char* type) {
    return ConditionReason(NameServiceType(), "names", type);
  };
  WaitFor("its volumes are there", [&] {
    return why("Ready") == "AllInstancesReady" && why("StorageReady") == "AsAsked" &&
           IsBound("data-names-0") && IsBound("data-names-1");
  });
  const std::string set(k8s::UidOf(Get(StatefulSetType(), "names")));
  const std::string pod(k8s::UidOf(Get(PodType(), "names-1")));

  ASSERT_OK(client_.Run(MergePatch(NameServiceType(), {kSpace, "names"},
                                   {{"spec", {{"storage", {{"size", "2Gi"}}}}}})));
  WaitFor("the claims ask for more",
          [&] { return SizeOf("data-names-0") == "2Gi" && SizeOf("data-names-1") == "2Gi"; });
  WaitFor("another StatefulSet has the instances", [&] {
    const std::string owner(k8s::ControllerUidOf(Get(PodType(), "names-1")));
    return !owner.empty() && owner != set;
  });
  for (const std::string claim : {"data-names-0", "data-names-1"}) {
    SetStatus(PersistentVolumeClaimType(), claim, {{"capacity", {{"storage", "2Gi"}}}});
  }
  WaitFor("it is said to be done",
          [&] { return why("StorageReady") == "AsAsked" && why("Ready") == "AllInstancesReady"; });
  EXPECT_EQ(k8s::UidOf(Get(PodType(), "names-1")), pod) << "an instance was replaced";

  ASSERT_OK(
      client_.Run(MergePatch(NameServiceType(), {kSpace, "names"}, {{"spec", {{"replicas", 3}}}})));
  WaitFor("a new one's is as large", [&] { return SizeOf("data-names-2") == "2Gi"; });
}

// Figures for docs: memory, time of a look, requests of groups that are as they should be.
TEST_F(OperatorServerTest, ManyGroups) {
  const char* const given = std::getenv("DUNLIN_OPERATOR_GROUPS");
  const int groups = given == nullptr ? 30 : std::stoi(given);
  patience_ += std::chrono::seconds(groups);
  const auto program = StartOperator();
  const Timestamp begun = clock_.Now();
  for (int i = 0; i < groups; ++i) {
    ASSERT_OK(client_.Run(Create(BrokerGroupType(), GroupOf(fmt::format("g-{}", i), 1))));
  }
  for (int i = 0; i < groups; ++i) WaitUntilReady(fmt::format("g-{}", i));
  const auto made = clock_.Now() - begun;
  const double before = program->Requests();
  const double looks = program->Metric("dunlin_operator_reconciles_total");
  // Each is looked at again, though nothing has changed.
  WaitFor("all were looked at again",
          [&] { return program->Metric("dunlin_operator_reconciles_total") >= looks + groups; });
  const double after = program->Requests();
  fmt::print("{} groups: ready after {} s; {:.0f} MiB; {:.0f} requests in {:.0f} looks when idle\n",
             groups, std::chrono::duration_cast<std::chrono::seconds>(made).count(),
             program->Memory(), after - before,
             program->Metric("dunlin_operator_reconciles_total") - looks);
  fmt::print("{}\n", program->Text());
  // The last groups may have had a status to write when the count began.
  EXPECT_LT(after - before, groups * 0.2 + 20);
}

}  // namespace
}  // namespace dunlin::op
