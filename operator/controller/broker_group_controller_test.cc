#include "operator/controller/broker_group_controller.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <memory>

#include "operator/controller/testing/fake_api_server.h"
#include "operator/k8s/conditions.h"
#include "operator/k8s/testing/fake_loop.h"
#include "operator/planner/resource_types.h"
#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::SizeIs;

k8s::ObjectKey Orders() { return {"shop", "orders"}; }

class FakeControl final : public GroupControl {
 public:
  absl::Status SwitchOver(const Master& master, const std::string& to) override {
    asked.push_back(master);
    successor = to;
    return answer;
  }
  absl::Status ChangeMembers(const Master& master, const Plan::MemberChange& change) override {
    asked.push_back(master);
    changes.push_back(change);
    return answer;
  }
  absl::StatusOr<Coordination> Ask(const std::vector<std::string>& addresses) override {
    addresses_asked = addresses;
    if (!said.has_value()) return absl::UnavailableError("nobody");
    return *said;
  }

  std::vector<Master> asked;
  std::string successor;
  std::vector<Plan::MemberChange> changes;
  absl::Status answer;
  std::vector<std::string> addresses_asked;
  std::optional<Coordination> said;
};

class BrokerGroupControllerTest : public ::testing::Test {
 protected:
  BrokerGroupControllerTest() {
    types_ = OwnedTypes();
    types_.push_back(BrokerGroupType());
    types_.push_back(NameServiceType());
    types_.push_back(NodeType());
    types_.push_back(PersistentVolumeClaimType());
    types_.push_back(SecretType());
    for (const k8s::ResourceType& type : types_) caches_.Watch(type, "");
    Json group = Json::parse(R"({"apiVersion": "dunlin.dev/v1alpha1", "kind": "BrokerGroup",
        "metadata": {"name": "orders", "namespace": "shop", "generation": 1},
        "spec": {"replicas": 3, "nameServers": ["names:9876"], "storage": {"size": "10Gi"},
                 "replication": {"mode": "Sync", "minInSyncReplicas": 1}}})");
    server_.Put(BrokerGroupType(), group);
    Tell();
  }

  void Tell() { server_.Tell(caches_, types_); }
  absl::StatusOr<std::chrono::milliseconds> Reconcile() {
    clock_.Advance(std::chrono::seconds(1));
    return controller_->Reconcile(Orders());
  }
  // Calls that change something, but for those that make Events.
  std::vector<std::string> Writes() {
    std::vector<std::string> calls = server_.TakeCalls();
    std::erase_if(calls, [](const std::string& call) {
      return call.starts_with("GET") || call == "POST events";
    });
    return calls;
  }
  void Edit(const k8s::ResourceType& type, const k8s::ObjectKey& key, const Json& patch) {
    Json object = server_.Get(type, key);
    object.merge_patch(patch);
    if (patch.contains("spec")) object["metadata"]["generation"] = k8s::GenerationOf(object) + 1;
    server_.Put(type, object);
  }

  // What the StatefulSet's controller, kubelets and members do.
  void MakePod(int ordinal, const std::string& revision) {
    Json pod = k8s::NewObject(PodType(), {"shop", fmt::format("orders-{}", ordinal)});
    pod["metadata"]["labels"] = {{"dunlin.dev/group", "orders"},
                                 {"controller-revision-hash", revision}};
    pod["status"]["phase"] = "Running";
    pod["status"]["podIP"] = fmt::format("10.0.0.{}", ordinal);
    k8s::SetCondition(pod["status"]["conditions"], {"Ready", k8s::ConditionStatus::kTrue, "X", ""},
                      0, clock_.Now());
    server_.Put(PodType(), pod);
  }
  std::string FileName() {
    const Json set = server_.Get(StatefulSetType(), Orders());
    return set["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"];
  }
  void MakeClaim(int ordinal) {
    Json claim = k8s::NewObject(PersistentVolumeClaimType(),
                                {"shop", fmt::format("data-orders-{}", ordinal)});
    claim["metadata"]["labels"] = {{"dunlin.dev/group", "orders"}};
    claim["spec"]["resources"]["requests"]["storage"] = "10Gi";
    claim["status"] = {{"phase", "Bound"}, {"capacity", {{"storage", "10Gi"}}}};
    server_.Put(PersistentVolumeClaimType(), claim);
  }
  void SetMaster(const std::string& master, int epoch) {
    Json record = {
        {"epoch", epoch}, {"master", master}, {"inSync", {"orders-0", "orders-1", "orders-2"}}};
    for (const std::string& member : members_) record["members"].push_back({{"name", member}});
    Edit(LeaseType(), {"shop", "orders-master"},
         {{"metadata", {{"annotations", {{"dunlin.dev/record", k8s::PrintJson(record)}}}}},
          {"spec", {{"holderIdentity", master}}}});
  }
  void Settle() {
    ASSERT_OK(Reconcile());
    Edit(StatefulSetType(), Orders(),
         {{"status", {{"observedGeneration", 1}, {"updateRevision", "r1"}}}});
    Edit(SecretType(), {"shop", "orders-replication"}, {{"data", {{"secret", "c2VjcmV0"}}}});
    for (int i = 0; i < 3; ++i) MakePod(i, "r1");
    SetMaster("orders-0", 1);
    for (int i = 0; i < 3; ++i) {
      Tell();
      ASSERT_OK(Reconcile());
    }
    Tell();
    Writes();
  }
  std::string ConditionReason(const std::string& type) {
    const Json group = server_.Get(BrokerGroupType(), Orders());
    const Json* const conditions = k8s::Find(group, {"status", "conditions"});
    const Json* const found =
        conditions == nullptr ? nullptr : k8s::FindCondition(*conditions, type);
    return found == nullptr ? "" : std::string(k8s::StringAt(*found, {"reason"}));
  }

  ManualClock clock_;
  k8s::FakeLoop loop_;
  FakeApiServer server_;
  k8s::Client client_{server_, loop_};
  k8s::EventRecorder events_{client_, loop_, {"dunlin.dev/operator", "test"}};
  Caches caches_{{}};
  std::vector<k8s::ResourceType> types_;
  FakeControl control_;
  std::vector<std::string> members_ = {"orders-0", "orders-1", "orders-2"};
  bool leads_ = true;
  Writer writer_{client_, events_, [this] { return leads_; }};
  std::unique_ptr<BrokerGroupController> controller_ = NewController();

  std::unique_ptr<BrokerGroupController> NewController() {
    return std::make_unique<BrokerGroupController>(
        BrokerGroupController::Surroundings{.caches = caches_,
                                            .client = client_,
                                            .events = events_,
                                            .writer = writer_,
                                            .control = control_,
                                            .clock = clock_},
        Defaults{.image = "dunlin:own"});
  }
};

TEST_F(BrokerGroupControllerTest, AllIsMadeTheSecretFirstAndOnce) {
  ASSERT_OK(Reconcile());
  const std::vector<std::string> calls = Writes();
  ASSERT_THAT(calls, SizeIs(13));
  EXPECT_EQ(calls.front(), "POST secrets");
  EXPECT_EQ(calls[calls.size() - 2], "PATCH statefulsets/orders");
  EXPECT_EQ(calls.back(), "PATCH brokergroups/orders/status");
  const Json secret = server_.Get(SecretType(), {"shop", "orders-replication"});
  EXPECT_THAT(std::string(k8s::StringAt(secret, {"stringData", "secret"})), SizeIs(64));
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(Writes(), Not(Contains("POST secrets")));
}

TEST_F(BrokerGroupControllerTest, AGroupThatIsAsItShouldBeCostsNoRequest) {
  Settle();
  for (int i = 0; i < 10; ++i) {
    const auto again = Reconcile();
    ASSERT_OK(again);
    EXPECT_EQ(*again, std::chrono::seconds(30));
  }
  EXPECT_THAT(server_.TakeCalls(), IsEmpty());
  EXPECT_EQ(ConditionReason("Ready"), "AllMembersReady");
  const Json master = server_.Get(PodType(), {"shop", "orders-0"});
  EXPECT_EQ(k8s::LabelOf(master, kRoleLabel), "master");
  // Nor does it after a restart, but for the look whether there is a Secret.
  controller_ = NewController();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(server_.TakeCalls(), ElementsAre("GET secrets/orders-replication"));
}

TEST_F(BrokerGroupControllerTest, WhatSomebodyElseChangesOrDeletesIsMended) {
  Settle();
  Edit(ServiceType(), {"shop", "orders-master"}, {{"spec", {{"selector", {{"x", "y"}}}}}});
  Edit(ServiceType(), {"shop", "orders-master"},
       {{"spec", {{"selector", {{"dunlin.dev/role", nullptr}}}}}});
  const std::string file = FileName();
  server_.Remove(ConfigMapType(), {"shop", file});
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(Writes(), ElementsAre("PATCH configmaps/" + file, "PATCH services/orders-master"));
}

TEST_F(BrokerGroupControllerTest, AnOutdatedSlaveGoesAfterALookAtHowItIsNow) {
  Settle();
  MakePod(2, "r0");
  Tell();
  ASSERT_OK(Reconcile());  // its label
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(Writes(), Contains("DELETE pods/orders-2"));
  // The cache does not know yet: nothing goes twice, and nobody else.
  ASSERT_OK(Reconcile());
  EXPECT_THAT(Writes(), Not(Contains(HasSubstr("DELETE"))));
}

TEST_F(BrokerGroupControllerTest, WhatIsPlannedFromOldNewsIsDropped) {
  Settle();
  MakePod(2, "r0");
  Tell();
  ASSERT_OK(Reconcile());
  Tell();
  // Meanwhile another one is master.
  SetMaster("orders-2", 2);
  const auto again = Reconcile();
  ASSERT_OK(again);
  EXPECT_EQ(*again, std::chrono::seconds(1));
  EXPECT_THAT(Writes(), Not(Contains(HasSubstr("DELETE"))));
}

TEST_F(BrokerGroupControllerTest, TheGroupIsAskedToHandOverWithItsSecret) {
  Settle();
  Edit(BrokerGroupType(), Orders(),
       {{"metadata", {{"annotations", {{"dunlin.dev/switchover-to", "orders-2"}}}}}});
  Tell();
  ASSERT_OK(Reconcile());
  ASSERT_THAT(control_.asked, SizeIs(1));
  EXPECT_EQ(control_.asked[0].address, "10.0.0.0:10912");
  EXPECT_EQ(control_.asked[0].group, "orders");
  EXPECT_EQ(control_.asked[0].member, "orders-0");
  EXPECT_EQ(control_.successor, "orders-2");
  EXPECT_EQ(control_.asked[0].epoch, 1);
  EXPECT_EQ(control_.asked[0].secret, "secret");
  const Json group = server_.Get(BrokerGroupType(), Orders());
  EXPECT_EQ(k8s::AnnotationOf(group, "dunlin.dev/switchover-to"), "");
}

TEST_F(BrokerGroupControllerTest, ADeclinedSwitchoverIsSeenAndAskedForAgainLater) {
  Settle();
  MakePod(0, "r0");
  Tell();
  control_.answer = absl::FailedPreconditionError("orders-1 is behind");
  server_.TakeCalls();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(control_.asked, SizeIs(1));
  EXPECT_THAT(server_.TakeCalls(), Contains("POST events"));
  EXPECT_EQ(ConditionReason("SwitchoverFailed"), "Declined");
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(control_.asked, SizeIs(1));
  clock_.Advance(std::chrono::seconds(10));
  control_.answer = absl::OkStatus();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(control_.asked, SizeIs(2));
  SetMaster("orders-1", 2);
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_EQ(ConditionReason("SwitchoverFailed"), "");
}

TEST_F(BrokerGroupControllerTest, ASwitchoverThatIsTooEarlyIsAskedForAgainSoonAndToldOnce) {
  Settle();
  Edit(BrokerGroupType(), Orders(),
       {{"metadata", {{"annotations", {{"dunlin.dev/switchover-to", "orders-2"}}}}}});
  control_.answer = absl::AbortedError("orders-1 does not reach orders-2: no such name");
  for (size_t asked = 1; asked <= 3; ++asked, clock_.Advance(std::chrono::seconds(2))) {
    Tell();
    server_.TakeCalls();
    EXPECT_EQ(Reconcile().value(), std::chrono::seconds(2));
    EXPECT_THAT(control_.asked, SizeIs(asked));
    EXPECT_EQ(ConditionReason("SwitchoverFailed"), "");
    const auto calls = server_.TakeCalls();
    EXPECT_EQ(std::count(calls.begin(), calls.end(), "POST events"), asked == 1 ? 1 : 0);
  }
}

TEST_F(BrokerGroupControllerTest, TheMasterHandsOverWhenItsNodeIsCordoned) {
  Settle();
  for (int i = 0; i < 3; ++i) {
    const std::string node = fmt::format("node-{}", i);
    server_.Put(NodeType(), k8s::NewObject(NodeType(), {"", node}));
    Edit(PodType(), {"shop", fmt::format("orders-{}", i)}, {{"spec", {{"nodeName", node}}}});
  }
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(control_.asked, IsEmpty());
  Edit(NodeType(), {"", "node-0"}, {{"spec", {{"unschedulable", true}}}});
  Tell();
  ASSERT_THAT(caches_.PodsOn("node-0"), SizeIs(1));
  ASSERT_OK(Reconcile());
  ASSERT_THAT(control_.asked, SizeIs(1));
  EXPECT_EQ(control_.successor, "orders-1");
  EXPECT_EQ(ConditionReason("Draining"), "HandingOver");
  SetMaster("orders-1", 2);
  for (int i = 0; i < 3; ++i) {
    Tell();
    ASSERT_OK(Reconcile());
  }
  EXPECT_THAT(control_.asked, SizeIs(1));
  EXPECT_EQ(ConditionReason("Draining"), "");
}

TEST_F(BrokerGroupControllerTest, ARequestThatWasDeclinedIsShownForAWhile) {
  Settle();
  Edit(BrokerGroupType(), Orders(),
       {{"metadata", {{"annotations", {{"dunlin.dev/switchover-to", "orders-2"}}}}}});
  Tell();
  control_.answer = absl::FailedPreconditionError("orders-2 is behind");
  ASSERT_OK(Reconcile());
  Tell();
  const auto again = Reconcile();
  ASSERT_OK(again);
  EXPECT_EQ(*again, std::chrono::seconds(10));
  EXPECT_EQ(ConditionReason("SwitchoverFailed"), "Declined");
  EXPECT_THAT(control_.asked, SizeIs(1));
  clock_.Advance(std::chrono::seconds(10));
  Tell();
  ASSERT_OK(Reconcile());  // it was not known before that nobody asks any more
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_EQ(ConditionReason("SwitchoverFailed"), "");
}

TEST_F(BrokerGroupControllerTest, ANewPodIsAddedToTheGroupOnce) {
  Settle();
  Edit(BrokerGroupType(), Orders(), {{"spec", {{"replicas", 4}}}});
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(Writes(), Not(Contains(HasSubstr("PATCH configmaps/"))));
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(control_.changes, IsEmpty());
  MakePod(3, "r1");
  for (int i = 0; i < 3; ++i) {
    Tell();
    ASSERT_OK(Reconcile());
  }
  ASSERT_THAT(control_.changes, SizeIs(1));
  EXPECT_EQ(control_.changes[0].member, "orders-3");
  EXPECT_EQ(control_.changes[0].address, "orders-3.orders-members.shop.svc:10912");
  EXPECT_EQ(control_.asked[0].address, "10.0.0.0:10912");
  EXPECT_EQ(control_.asked[0].epoch, 1);
  EXPECT_EQ(control_.asked[0].secret, "secret");
  members_.emplace_back("orders-3");
  SetMaster("orders-0", 1);
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(control_.changes, SizeIs(1));
}

TEST_F(BrokerGroupControllerTest, APodGoesWhenItsMemberIsRemovedNotBefore) {
  Settle();
  Edit(BrokerGroupType(), Orders(), {{"spec", {{"replicas", 2}}}});
  Tell();
  control_.answer = absl::FailedPreconditionError("replication.min_in_sync is 3");
  Writes();
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(Reconcile());
    Tell();
  }
  EXPECT_EQ(server_.Get(StatefulSetType(), Orders())["spec"]["replicas"], 3);
  ASSERT_THAT(control_.changes, SizeIs(1));
  EXPECT_EQ(control_.changes[0].member, "orders-2");
  EXPECT_EQ(control_.changes[0].address, "");
  EXPECT_EQ(ConditionReason("MemberChangeFailed"), "Declined");
  control_.answer = absl::UnavailableError("nobody answers");
  clock_.Advance(std::chrono::seconds(10));
  ASSERT_OK(Reconcile());
  EXPECT_THAT(control_.changes, SizeIs(2));
  EXPECT_EQ(ConditionReason("MemberChangeFailed"), "Unreachable");
  members_ = {"orders-0", "orders-1"};
  SetMaster("orders-0", 1);
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_EQ(server_.Get(StatefulSetType(), Orders())["spec"]["replicas"], 2);
  EXPECT_EQ(ConditionReason("MemberChangeFailed"), "");
}

TEST_F(BrokerGroupControllerTest, WhoDoesNotLeadWritesNothing) {
  leads_ = false;
  EXPECT_TRUE(absl::IsFailedPrecondition(Reconcile().status()));
  EXPECT_THAT(Writes(), IsEmpty());
}

TEST_F(BrokerGroupControllerTest, ASecretThatIsAboutToGoIsWaitedFor) {
  Json secret = k8s::NewObject(SecretType(), {"shop", "orders-replication"});
  secret["metadata"]["ownerReferences"] =
      Json::array({Json{{"uid", "of-a-former-group"}, {"controller", true}}});
  server_.Put(SecretType(), secret);
  EXPECT_TRUE(absl::IsAborted(Reconcile().status()));
  EXPECT_THAT(Writes(), ElementsAre("PATCH brokergroups/orders/status"));
  server_.Remove(SecretType(), {"shop", "orders-replication"});
  EXPECT_OK(Reconcile());
  EXPECT_THAT(Writes(), Contains("POST secrets"));
}

TEST_F(BrokerGroupControllerTest, ASecretThatSomebodyDeletedIsMadeAgainWhenItIsNeeded) {
  Settle();
  server_.Remove(SecretType(), {"shop", "orders-replication"});
  MakePod(0, "r0");
  Tell();
  EXPECT_TRUE(absl::IsNotFound(Reconcile().status()));
  EXPECT_THAT(control_.asked, IsEmpty());
  Writes();
  Tell();
  static_cast<void>(Reconcile());
  EXPECT_THAT(Writes(), Contains("POST secrets"));
}

TEST_F(BrokerGroupControllerTest, WhatIsRefusedIsToldAndTriedAgain) {
  server_.Refuse("PATCH statefulsets/orders");
  EXPECT_FALSE(Reconcile().ok());
  const std::vector<std::string> calls = server_.TakeCalls();
  EXPECT_THAT(calls, Contains("POST events"));
  EXPECT_EQ(calls.back(), "PATCH brokergroups/orders/status");
  server_.RefuseNothing();
  Tell();
  EXPECT_OK(Reconcile());
  EXPECT_FALSE(server_.Get(StatefulSetType(), Orders()).is_null());
}

TEST_F(BrokerGroupControllerTest, MembersAreAskedWhereKubernetesDoesNotCoordinate) {
  Edit(BrokerGroupType(), Orders(),
       {{"spec", {{"failover", {{"coordinator", {{"type", "Static"}}}}}}}});
  Tell();
  ASSERT_OK(Reconcile());
  MakePod(0, "r1");
  control_.said = Coordination{.epoch = 3, .master = "orders-0", .in_sync = {"orders-0"}};
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(control_.addresses_asked, ElementsAre("10.0.0.0:10912"));
  EXPECT_EQ(server_.Get(BrokerGroupType(), Orders())["status"]["master"], "orders-0");
}

TEST_F(BrokerGroupControllerTest, AGroupThatIsGoneIsForgotten) {
  Settle();
  server_.Remove(BrokerGroupType(), Orders());
  Tell();
  const auto again = Reconcile();
  ASSERT_OK(again);
  EXPECT_EQ(*again, std::chrono::milliseconds(0));
  EXPECT_THAT(server_.TakeCalls(), IsEmpty());
}

TEST_F(BrokerGroupControllerTest, WhatIsSomebodyElsesIsLeftAlone) {
  Json service = k8s::NewObject(ServiceType(), Orders());
  service["metadata"]["labels"] = {{"app", "shop"}};
  service["spec"]["selector"] = {{"app", "shop"}};
  server_.Put(ServiceType(), service);
  ASSERT_OK(Reconcile());
  EXPECT_EQ(server_.Get(ServiceType(), Orders())["spec"]["selector"], Json({{"app", "shop"}}));
  EXPECT_EQ(ConditionReason("Stalled"), "NameTaken");
  EXPECT_TRUE(server_.Get(StatefulSetType(), Orders()).is_null());
  server_.Remove(ServiceType(), Orders());
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_NE(ConditionReason("Stalled"), "NameTaken");
  EXPECT_FALSE(server_.Get(StatefulSetType(), Orders()).is_null());
}

TEST_F(BrokerGroupControllerTest, AMasterThatDidNotAnswerOnceStaysMaster) {
  Edit(BrokerGroupType(), Orders(),
       {{"spec", {{"failover", {{"coordinator", {{"type", "Etcd"}}}}}}}});
  Tell();
  ASSERT_OK(Reconcile());
  for (int i = 0; i < 3; ++i) MakePod(i, "r1");
  const auto role = [&] {
    return std::string(
        k8s::LabelOf(server_.Get(PodType(), {"shop", "orders-0"}), "dunlin.dev/role"));
  };
  const auto look = [&] {
    Tell();
    ASSERT_OK(Reconcile());
  };
  control_.said = Coordination{.epoch = 3, .master = "orders-0", .in_sync = {"orders-0"}};
  look();
  ASSERT_EQ(role(), "master");
  control_.said = Coordination{.epoch = 3, .master = "", .in_sync = {}, .hearsay = "orders-0"};
  look();
  EXPECT_EQ(role(), "master");
  EXPECT_EQ(ConditionReason("Available"), "NotAsked");
  // Dead, or nobody knows of one any more.
  control_.said->hearsay = "";
  look();
  EXPECT_EQ(role(), "slave");
}

TEST_F(BrokerGroupControllerTest, VolumesGrowAndTheStatefulSetIsMadeAnewAroundItsPods) {
  Settle();
  for (int i = 0; i < 3; ++i) MakeClaim(i);
  Edit(BrokerGroupType(), Orders(), {{"spec", {{"storage", {{"size", "20Gi"}}}}}});
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(Writes(), IsSupersetOf({"PATCH persistentvolumeclaims/data-orders-0",
                                      "PATCH persistentvolumeclaims/data-orders-1",
                                      "PATCH persistentvolumeclaims/data-orders-2"}));
  EXPECT_EQ(ConditionReason("StorageReady"), "Resizing");
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(Writes(), Contains("DELETE statefulsets/orders"));
  // Not twice, and nothing else, as long as it is not gone.
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(Writes(), Not(Contains(HasSubstr("statefulsets"))));
  server_.Remove(StatefulSetType(), Orders());
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(Writes(), Contains("PATCH statefulsets/orders"));
  const Json set = server_.Get(StatefulSetType(), Orders());
  EXPECT_EQ(set["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"],
            "20Gi");
}

TEST_F(BrokerGroupControllerTest, VolumesThatMayNotGrowAreToldOfAndAskedForAgainLater) {
  Settle();
  for (int i = 0; i < 3; ++i) MakeClaim(i);
  server_.Refuse("PATCH persistentvolumeclaims/data-orders-0");
  Edit(BrokerGroupType(), Orders(), {{"spec", {{"storage", {{"size", "20Gi"}}}}}});
  Tell();
  ASSERT_OK(Reconcile());
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_EQ(ConditionReason("StorageReady"), "Refused");
  Writes();
  Tell();
  ASSERT_OK(Reconcile());
  EXPECT_THAT(Writes(), IsEmpty());
  server_.RefuseNothing();
  clock_.Advance(std::chrono::minutes(5));
  ASSERT_OK(Reconcile());
  EXPECT_THAT(Writes(), Contains("PATCH persistentvolumeclaims/data-orders-0"));
}

TEST_F(BrokerGroupControllerTest, BudgetsThatAreOffGo) {
  Settle();
  Edit(BrokerGroupType(), Orders(), {{"spec", {{"podDisruptionBudget", {{"enabled", false}}}}}});
  Tell();
  ASSERT_OK(Reconcile());
  const std::vector<std::string> writes = Writes();
  EXPECT_THAT(writes, Contains("DELETE poddisruptionbudgets/orders"));
  EXPECT_THAT(writes, Contains("DELETE poddisruptionbudgets/orders-master"));
}

TEST_F(BrokerGroupControllerTest, AccessControlWaitsForItsSecret) {
  Edit(BrokerGroupType(), Orders(),
       {{"spec", {{"access", {{"enabled", true}, {"superUserSecretName", "root"}}}}}});
  Tell();
  ASSERT_OK(Reconcile());
  const Json group = server_.Get(BrokerGroupType(), Orders());
  const Json* const stalled = k8s::FindCondition(group["status"]["conditions"], "Stalled");
  ASSERT_NE(stalled, nullptr);
  EXPECT_EQ(k8s::StringAt(*stalled, {"reason"}), "SuperUserSecretInvalid");
  EXPECT_TRUE(server_.Get(StatefulSetType(), Orders()).is_null());

  Json secret = k8s::NewObject(SecretType(), {"shop", "root"});
  secret["data"] = {{"accessKey", "YWRtaW4="}, {"secretKey", "MTIzNDU2Nzg="}};
  server_.Put(SecretType(), secret);
  Tell();
  ASSERT_OK(Reconcile());
  const Json file = server_.Get(ConfigMapType(), {"shop", FileName()});
  EXPECT_THAT(file["data"]["dunlin.yaml"].get<std::string>(), HasSubstr("super_user: \"admin\""));
}

TEST_F(BrokerGroupControllerTest, AnotherGroupWithAnotherAccessIsTold) {
  Json other = server_.Get(BrokerGroupType(), Orders());
  other["metadata"] = {{"name", "other"}, {"namespace", "shop"}};
  other["spec"]["nameServiceRef"] = {{"name", "names"}};
  other["spec"]["access"] = {{"enabled", true}, {"superUserSecretName", "root"}};
  server_.Put(BrokerGroupType(), other);
  Edit(BrokerGroupType(), Orders(), {{"spec", {{"nameServiceRef", {{"name", "names"}}}}}});
  Tell();
  ASSERT_OK(Reconcile());
  const Json group = server_.Get(BrokerGroupType(), Orders());
  EXPECT_NE(k8s::FindCondition(group["status"]["conditions"], "AccessDiffers"), nullptr);
}

}  // namespace
}  // namespace dunlin::op
