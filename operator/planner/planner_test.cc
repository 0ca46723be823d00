#include "operator/planner/planner.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <memory>

#include "operator/k8s/conditions.h"
#include "operator/planner/config_text.h"
#include "operator/planner/objects.h"
#include "operator/planner/testing/planner_fixture.h"
#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/testing/status_matchers.h"
#include "services/base/testing/temp_dir.h"
#include "services/runtime/config.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

using PlannerTest = PlannerFixture;

TEST_F(PlannerTest, EverythingIsMadeAtFirst) {
  const Plan plan = Make();
  EXPECT_THAT(Applied(plan),
              ElementsAre("ServiceAccount/orders-member", "Role/orders-member",
                          "RoleBinding/orders-member", "Lease/orders-master",
                          "ConfigMap/" + k8s::KeyOf(FileOf(plan)).name, "Service/orders-members",
                          "Service/orders", "Service/orders-master", "PodDisruptionBudget/orders",
                          "PodDisruptionBudget/orders-master", "StatefulSet/orders"));
  for (const Plan::Apply& apply : plan.applies) {
    // The Lease goes when the volumes do.
    EXPECT_EQ(k8s::ControllerUidOf(apply.object), apply.type.kind == "Lease" ? "" : "u-1");
    EXPECT_EQ(k8s::LabelOf(apply.object, "app.kubernetes.io/managed-by"), "dunlin-operator");
  }
  EXPECT_FALSE(plan.deletion.has_value());
  EXPECT_EQ(plan.status["phase"], "Creating");
  EXPECT_EQ(plan.status["observedGeneration"], 4);
  EXPECT_EQ(Condition(plan, "Ready"), "Unknown NotAsked");
}

TEST_F(PlannerTest, TheStatefulSet) {
  const Json set = Find(Make(), "StatefulSet/orders");
  const Json& spec = set["spec"];
  EXPECT_EQ(spec["replicas"], 3);
  EXPECT_EQ(spec["serviceName"], "orders-members");
  EXPECT_EQ(spec["podManagementPolicy"], "Parallel");
  EXPECT_EQ(spec["updateStrategy"]["type"], "OnDelete");
  // Of a StatefulSet that is there it cannot be changed, whatever version made it.
  EXPECT_EQ(spec["selector"], Json::parse(R"({"matchLabels": {
      "app.kubernetes.io/name": "dunlin", "app.kubernetes.io/component": "broker",
      "dunlin.dev/group": "orders"}})"));
  EXPECT_EQ(spec["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"], "10Gi");
  const Json& pod = spec["template"]["spec"];
  EXPECT_EQ(pod["securityContext"]["runAsNonRoot"], true);
  ASSERT_THAT(pod["topologySpreadConstraints"], SizeIs(1));
  EXPECT_TRUE(pod["topologySpreadConstraints"].is_array());
  ASSERT_TRUE(pod["containers"].is_array());
  const Json& server = pod["containers"][0];
  EXPECT_EQ(server["image"], "dunlin:own");
  EXPECT_EQ(server["args"], Json::parse(R"(["--config", "/etc/dunlin/dunlin.yaml"])"));
  EXPECT_EQ(server["securityContext"]["capabilities"], Json::parse(R"({"drop": ["ALL"]})"));
  EXPECT_EQ(server["env"][2]["value"], "$(POD_NAME).orders-members.shop.svc:8081");
  EXPECT_EQ(server["readinessProbe"]["tcpSocket"]["port"], 8081);
  ASSERT_THAT(pod["containers"], SizeIs(2));
  const Json& replicator = pod["containers"][1];
  EXPECT_EQ(replicator["name"], "replicator");
  EXPECT_EQ(replicator["command"], Json::parse(R"(["dunlin-replicator"])"));
  EXPECT_EQ(replicator["args"], server["args"]);
  EXPECT_EQ(replicator["volumeMounts"], server["volumeMounts"]);
  EXPECT_EQ(replicator["readinessProbe"]["grpc"]["port"], 10912);
  EXPECT_EQ(pod["serviceAccountName"], "orders-member");
  EXPECT_EQ(pod["automountServiceAccountToken"], true);
}

TEST_F(PlannerTest, PodTemplatesAreMergedByName) {
  group_["spec"]["podTemplate"] = Json::parse(R"({"metadata": {"labels": {"team": "x"}},
      "spec": {"nodeSelector": {"disk": "nvme"}, "terminationGracePeriodSeconds": 5,
               "containers": [{"name": "dunlin", "env": [{"name": "A", "value": "B"}]},
                              {"name": "helper", "image": "helper:1"}]}})");
  const Json pod = Find(Make(), "StatefulSet/orders")["spec"]["template"];
  EXPECT_EQ(pod["metadata"]["labels"]["team"], "x");
  EXPECT_EQ(pod["metadata"]["labels"]["dunlin.dev/group"], "orders");
  EXPECT_EQ(pod["spec"]["terminationGracePeriodSeconds"], 5);
  ASSERT_THAT(pod["spec"]["containers"], SizeIs(3));
  EXPECT_EQ(pod["spec"]["containers"][0]["image"], "dunlin:own");
  EXPECT_THAT(pod["spec"]["containers"][0]["env"], SizeIs(4));
  EXPECT_EQ(pod["spec"]["containers"][2]["name"], "helper");
}

TEST_F(PlannerTest, BudgetsShareNoPod) {
  const Plan plan = Make();
  const Json slaves = Find(plan, "PodDisruptionBudget/orders")["spec"];
  const Json master = Find(plan, "PodDisruptionBudget/orders-master")["spec"];
  EXPECT_EQ(slaves["minAvailable"], 2);  // there is no master yet
  EXPECT_EQ(master["minAvailable"], 1);
  EXPECT_EQ(slaves["selector"]["matchLabels"]["dunlin.dev/role"], "slave");
  EXPECT_EQ(master["selector"]["matchLabels"]["dunlin.dev/role"], "master");
}

// The text is read by the program's own reader.
TEST_F(PlannerTest, TheConfigurationIsOneThatTheServerReads) {
  group_["spec"]["config"] = Json::parse(R"({"log": {"level": "DEBUG"},
      "broker": {"retry_backoff_seconds": [1, 2]}, "store": {"retention": {"time_hours": 5}}})");
  group_["spec"]["replication"]["flush"] = "Sync";
  group_["spec"]["tls"] = {{"mode", "Required"}, {"secretName", "certificate"}};
  TempDir directory;
  const std::string path = directory.path() + "/dunlin.yaml";
  std::ofstream(path) << FileOf(Make())["data"]["dunlin.yaml"].get<std::string>();
  config::v1::DunlinConfig config;
  ASSERT_OK(LoadConfig({.file = path, .environment = {}, .overrides = {}}, config));
  EXPECT_EQ(config.broker().broker_name(), "orders");
  EXPECT_THAT(config.broker().name_services(), ElementsAre("names-0.names-members.shop.svc:9876",
                                                           "names-1.names-members.shop.svc:9876"));
  EXPECT_THAT(config.broker().retry_backoff_seconds(), ElementsAre(1, 2));
  EXPECT_EQ(config.store().flush_mode(), config::v1::StoreConfig::SYNC_FLUSH);
  EXPECT_EQ(config.store().retention().time_hours(), 5U);
  EXPECT_EQ(config.server().tls().mode(), config::v1::TlsConfig::REQUIRED);
  EXPECT_EQ(config.server().tls().private_key_file(), "/etc/dunlin-tls/tls.key");
  EXPECT_FALSE(config.name_service().enabled());
}

// By a member's own reader, with the environment that the pod has.
TEST_F(PlannerTest, MembersStartWithTheConfiguration) {
  const Plan plan = Make();
  TempDir directory;
  const std::string path = directory.path() + "/dunlin.yaml";
  std::ofstream(path) << FileOf(plan)["data"]["dunlin.yaml"].get<std::string>();
  const Json pod = Find(plan, "StatefulSet/orders")["spec"]["template"]["spec"];
  for (const Json& container : pod["containers"]) {
    std::vector<std::string> environment;
    for (const Json& variable : container["env"]) {
      std::string value = variable.value("value", "orders-1");
      if (const size_t at = value.find("$(POD_NAME)"); at != std::string::npos) {
        value.replace(at, std::string_view("$(POD_NAME)").size(), "orders-1");
      }
      environment.push_back(variable["name"].get<std::string>() + "=" + value);
    }
    config::v1::DunlinConfig config;
    ASSERT_OK(LoadConfig({.file = path, .environment = environment, .overrides = {}}, config));
    const config::v1::ReplicationConfig& replication = config.replication();
    EXPECT_EQ(replication.member(), "orders-1");
    EXPECT_EQ(replication.members(),
              "orders-0=orders-0.orders-members.shop.svc:10912, "
              "orders-1=orders-1.orders-members.shop.svc:10912, "
              "orders-2=orders-2.orders-members.shop.svc:10912");
    EXPECT_EQ(replication.mode(), config::v1::ReplicationConfig::SYNC);
    EXPECT_EQ(replication.coordinator(), config::v1::ReplicationConfig::KUBERNETES);
    EXPECT_EQ(replication.kubernetes_lease(), "orders-master");
    EXPECT_EQ(replication.kubernetes_namespace(), "shop");
    EXPECT_EQ(replication.lease_ttl_seconds(), 6U);
    EXPECT_EQ(replication.min_in_sync(), 1U);
    EXPECT_EQ(replication.secret_file(), "/etc/dunlin-secret/secret");
    EXPECT_EQ(config.server().advertised_address(), "orders-1.orders-members.shop.svc:8081");
  }
  ASSERT_TRUE(plan.secret.has_value());
  EXPECT_EQ(k8s::KeyOf(plan.secret->object).name, "orders-replication");
  EXPECT_EQ(plan.secret->key, "secret");
}

TEST_F(PlannerTest, OtherCoordinators) {
  group_["spec"]["failover"]["coordinator"] =
      Json::parse(R"({"type": "Etcd", "etcd": {"endpoints": ["e-0:2379", "e-1:2379"]}})");
  Plan plan = Make();
  std::string text = FileOf(plan)["data"]["dunlin.yaml"];
  EXPECT_THAT(text, HasSubstr(R"(etcd_endpoints: "e-0:2379, e-1:2379")"));
  EXPECT_THAT(text, HasSubstr(R"(etcd_prefix: "/dunlin/shop")"));
  EXPECT_TRUE(Find(plan, "Lease/orders-master").is_null());
  const Json pod = Find(plan, "StatefulSet/orders")["spec"]["template"]["spec"];
  EXPECT_EQ(pod["automountServiceAccountToken"], false);
  group_["spec"]["failover"]["coordinator"] = Json::parse(R"({"type": "Static"})");
  plan = Make();
  text = FileOf(plan)["data"]["dunlin.yaml"];
  EXPECT_THAT(text, HasSubstr(R"(master: "orders-0")"));
}

TEST_F(PlannerTest, WhatSomebodyElseChangesIsMended) {
  Settle();
  observed_.applied.clear();
  const Plan all = Make();
  for (const Plan::Apply& apply : all.applies) {
    observed_.live[fmt::format("{}/{}", apply.type.kind, k8s::KeyOf(apply.object).name)] =
        Shared(apply.object);
  }
  CarryOut(all);
  EXPECT_THAT(Applied(Make()), IsEmpty());
  Json service = *observed_.live["Service/orders"];
  service["spec"]["clusterIP"] = "10.0.0.1";  // more is fine
  observed_.live["Service/orders"] = Shared(service);
  EXPECT_THAT(Applied(Make()), IsEmpty());
  service["spec"]["selector"] = {{"app", "other"}};
  observed_.live["Service/orders"] = Shared(service);
  EXPECT_THAT(Applied(Make()), ElementsAre("Service/orders"));
}

TEST_F(PlannerTest, AConfigurationThatIsWrongChangesNothing) {
  Settle();
  group_["spec"]["config"] = Json::parse(R"({"store": {"segment_size_bytes": 5}})");
  const Plan plan = Make();
  EXPECT_THAT(plan.applies, IsEmpty());
  EXPECT_EQ(Condition(plan, "Stalled"), "True InvalidSpec");
  EXPECT_EQ(Condition(plan, "Reconciling"), "False Stalled");
  EXPECT_EQ(plan.status["phase"], "Stalled");
  EXPECT_THAT(std::string(k8s::StringAt(*k8s::FindCondition(plan.status["conditions"], "Stalled"),
                                        {"message"})),
              HasSubstr("store.segment_size_bytes"));
}

TEST_F(PlannerTest, ANameServiceThatIsNotThereIsNamed) {
  names_ = nullptr;
  const Plan plan = Make();
  EXPECT_THAT(plan.applies, IsEmpty());
  EXPECT_EQ(Condition(plan, "Stalled"), "True NameServiceMissing");
}

TEST_F(PlannerTest, WhenAllIsWellThereIsNothingToDo) {
  Settle();
  const Plan plan = Make();
  EXPECT_THAT(Applied(plan), IsEmpty());
  EXPECT_FALSE(plan.deletion.has_value());
  EXPECT_FALSE(plan.switchover.has_value());
  EXPECT_THAT(plan.events, IsEmpty());
  EXPECT_EQ(Condition(plan, "Ready"), "True AllMembersReady");
  EXPECT_EQ(Condition(plan, "Available"), "True MasterServes");
  EXPECT_EQ(Condition(plan, "Reconciling"), "False AllMembersReady");
  EXPECT_EQ(plan.status["phase"], "Healthy");
  EXPECT_EQ(plan.status["master"], "orders-0");
  EXPECT_EQ(plan.status["epoch"], 7);
  EXPECT_EQ(plan.look_again, std::chrono::seconds(30));
}

TEST_F(PlannerTest, AChangeIsAppliedBeforeAnythingGoes) {
  Settle();
  group_["spec"]["image"] = "dunlin:2";
  observed_.pods[2] = Shared(MakePod(2, "r0"));
  const Plan plan = Make();
  EXPECT_THAT(Applied(plan), ElementsAre("StatefulSet/orders"));
  EXPECT_FALSE(plan.deletion.has_value());
  // Nor is the group ready, or any pod updated, though some are of the newest revision that is
  // known yet.
  EXPECT_EQ(Condition(plan, "Ready"), "False Updating");
  EXPECT_EQ(plan.status["updatedReplicas"], 0);
}

TEST_F(PlannerTest, AnOutdatedSlaveGoesByItsUid) {
  Settle();
  observed_.pods[2] = Shared(MakePod(2, "r0"));
  const Plan plan = Make();
  ASSERT_TRUE(plan.deletion.has_value());
  EXPECT_EQ(plan.deletion->pod.name, "orders-2");
  EXPECT_EQ(plan.deletion->uid, "uid-2");
  EXPECT_THAT(plan.events, SizeIs(1));
  EXPECT_EQ(Condition(plan, "Ready"), "False Updating");
  EXPECT_EQ(plan.status["phase"], "Updating");
  EXPECT_EQ(plan.status["updatedReplicas"], 2);
}

TEST_F(PlannerTest, TheMasterHandsOverInItsEpoch) {
  Settle();
  observed_.pods[0] = Shared(MakePod(0, "r0"));
  const Plan plan = Make();
  EXPECT_FALSE(plan.deletion.has_value());
  ASSERT_TRUE(plan.switchover.has_value());
  EXPECT_EQ(plan.switchover->to, "orders-1");
  EXPECT_EQ(plan.switchover->epoch, 7);
}

TEST_F(PlannerTest, RolesAreShownOnPodsTheOldMastersFirst) {
  Settle();
  observed_.coordination->master = "orders-2";
  const Plan plan = Make();
  ASSERT_THAT(Applied(plan), ElementsAre("Pod/orders-0", "Pod/orders-2"));
  EXPECT_EQ(k8s::LabelOf(plan.applies[0].object, kRoleLabel), "slave");
  EXPECT_EQ(k8s::LabelOf(plan.applies[1].object, kRoleLabel), "master");
  EXPECT_EQ(k8s::UidOf(plan.applies[0].object), "uid-0");
}

TEST_F(PlannerTest, WhenNobodyCanBeAskedRolesStayAndNothingGoes) {
  Settle();
  observed_.coordination = std::nullopt;
  observed_.pods[2] = Shared(MakePod(2, "r0"));
  const Plan plan = Make();
  EXPECT_THAT(Applied(plan), IsEmpty());
  EXPECT_FALSE(plan.deletion.has_value());
  EXPECT_EQ(Condition(plan, "Available"), "Unknown NotAsked");
}

TEST_F(PlannerTest, ConditionsOfTrouble) {
  Settle();
  observed_.coordination->in_sync = {"orders-0"};
  group_["spec"]["replication"]["minInSyncReplicas"] = 2;
  Plan plan = Make();
  EXPECT_EQ(Condition(plan, "Available"), "False NotEnoughInSync");
  EXPECT_EQ(Condition(plan, "InSync"), "False SlaveLagging");
  observed_.coordination->master = "";
  plan = Make();
  EXPECT_EQ(Condition(plan, "Available"), "False NoMaster");
  EXPECT_EQ(plan.status["phase"], "FailingOver");
  EXPECT_EQ(plan.look_again, std::chrono::seconds(2));
}

TEST_F(PlannerTest, TransitionTimesAreKept) {
  Settle();
  group_["status"] = Make().status;
  const Plan later = PlanBrokerGroup(Observed{.group = Shared(group_),
                                              .name_service = observed_.name_service,
                                              .stateful_set = observed_.stateful_set,
                                              .pods = observed_.pods,
                                              .applied = observed_.applied,
                                              .coordination = observed_.coordination},
                                     OwnDefaults(), kNow + std::chrono::hours(1));
  EXPECT_EQ(later.status, group_["status"]);
}

TEST_F(PlannerTest, PausedIsHandsOff) {
  Settle();
  group_["metadata"]["annotations"]["dunlin.dev/pause-reconciliation"] = "true";
  group_["spec"]["image"] = "dunlin:2";
  observed_.pods[2] = Shared(MakePod(2, "r0"));
  const Plan plan = Make();
  EXPECT_THAT(Applied(plan), IsEmpty());
  EXPECT_FALSE(plan.deletion.has_value());
  EXPECT_EQ(Condition(plan, "Paused"), "True Annotation");
  EXPECT_EQ(Condition(plan, "Ready"), "False Paused");
}

TEST_F(PlannerTest, WhoIsMasterIsShownAlsoWhenPaused) {
  Settle();
  group_["metadata"]["annotations"]["dunlin.dev/pause-reconciliation"] = "true";
  observed_.coordination->master = "orders-2";
  EXPECT_THAT(Applied(Make()), ElementsAre("Pod/orders-0", "Pod/orders-2"));
}

TEST_F(PlannerTest, AnotherConfigurationIsAnotherFileAndTheOldOneGoesLast) {
  Settle();
  const std::string former = k8s::KeyOf(FileOf(Everything())).name;
  group_["spec"]["config"] = Json::parse(R"({"log": {"level": "DEBUG"}})");
  Plan plan = Make();
  const Json file = FileOf(plan);
  EXPECT_NE(k8s::KeyOf(file).name, former);
  EXPECT_EQ(file["immutable"], true);
  EXPECT_EQ(
      Find(plan,
           "StatefulSet/orders")["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"],
      k8s::KeyOf(file).name);
  EXPECT_THAT(plan.removals, IsEmpty());
  CarryOut(plan);
  Json set = *observed_.stateful_set;
  set["status"]["updateRevision"] = "r2";
  observed_.stateful_set = Shared(set);
  EXPECT_THAT(Make().removals, IsEmpty());
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Make().removals, IsEmpty());
    observed_.pods[static_cast<size_t>(i)] = Shared(MakePod(i, "r2"));
  }
  plan = Make();
  ASSERT_THAT(plan.removals, SizeIs(1));
  EXPECT_EQ(plan.removals[0].type.kind, "ConfigMap");
  EXPECT_EQ(plan.removals[0].object.name, former);
  // A pod that is about to come may have been made before.
  observed_.pods.pop_back();
  EXPECT_THAT(Make().removals, IsEmpty());
}

TEST_F(PlannerTest, PodsAreFoundWhateverTheirTemplateSays) {
  group_["spec"]["podTemplate"]["metadata"]["labels"] = {
      {"app.kubernetes.io/managed-by", "me"}, {"dunlin.dev/group", "x"}, {"team", "a"}};
  const Json set = Find(Make(), "StatefulSet/orders");
  const Json& labels = set["spec"]["template"]["metadata"]["labels"];
  EXPECT_EQ(labels["app.kubernetes.io/managed-by"], "dunlin-operator");
  EXPECT_EQ(labels["dunlin.dev/group"], "orders");
  EXPECT_EQ(labels["team"], "a");
}

TEST_F(PlannerTest, ASwitchoverThatIsAskedFor) {
  Settle();
  group_["metadata"]["annotations"]["dunlin.dev/switchover-to"] = "orders-2";
  Plan plan = Make();
  ASSERT_TRUE(plan.switchover.has_value());
  EXPECT_EQ(plan.switchover->to, "orders-2");
  EXPECT_THAT(plan.answered, ElementsAre("dunlin.dev/switchover-to"));

  group_["metadata"]["annotations"]["dunlin.dev/switchover-to"] = "orders-9";
  plan = Make();
  EXPECT_FALSE(plan.switchover.has_value());
  EXPECT_THAT(plan.answered, SizeIs(1));
  ASSERT_THAT(plan.events, SizeIs(1));
  EXPECT_EQ(plan.events[0].reason, "SwitchoverRefused");
}

TEST_F(PlannerTest, ScalingOutAddsEachNewPodAndRestartsNobody) {
  Settle();
  const Json before = (*observed_.stateful_set)["spec"]["template"];
  group_["spec"]["replicas"] = 5;
  Plan plan = Make();
  // The configuration stays as it was, and with it the revision of those that run.
  EXPECT_THAT(Applied(plan), ElementsAre("PodDisruptionBudget/orders", "StatefulSet/orders"));
  EXPECT_EQ(Find(plan, "StatefulSet/orders")["spec"]["replicas"], 5);
  EXPECT_EQ(Find(plan, "StatefulSet/orders")["spec"]["template"], before);
  CarryOut(plan);
  plan = Make();
  EXPECT_FALSE(plan.member_change.has_value());
  EXPECT_EQ(Condition(plan, "Ready"), "False Scaling");
  observed_.pods.push_back(Shared(MakePod(3, "r1", false)));
  plan = Make();
  EXPECT_EQ(
      plan.member_change,
      (Plan::MemberChange{
          .member = "orders-3", .address = "orders-3.orders-members.shop.svc:10912", .epoch = 7}));
  ASSERT_THAT(plan.events, SizeIs(1));
  EXPECT_EQ(plan.events[0].reason, "AddingMember");
  EXPECT_FALSE(plan.deletion.has_value());
  observed_.coordination->members["orders-3"] = Seat::kJoining;
  plan = Make();
  EXPECT_FALSE(plan.member_change.has_value());
  EXPECT_EQ(plan.status["phase"], "ScalingOut");
  // Another change is for all of them: new pods get the same file.
  group_["spec"]["config"] = Json::parse(R"({"log": {"level": "DEBUG"}})");
  const std::string text = FileOf(Make())["data"]["dunlin.yaml"];
  EXPECT_THAT(text, HasSubstr("orders-2="));
  EXPECT_THAT(text, Not(HasSubstr("orders-3=")));
}

TEST_F(PlannerTest, ScalingInRemovesThenTakesThePodOneAtATime) {
  Settle();
  group_["spec"]["replicas"] = 1;
  Plan plan = Make();
  EXPECT_TRUE(Find(plan, "StatefulSet/orders").is_null());
  EXPECT_EQ(plan.member_change,
            (Plan::MemberChange{.member = "orders-2", .address = "", .epoch = 7}));
  EXPECT_EQ(plan.status["phase"], "ScalingIn");
  observed_.coordination->members.erase("orders-2");
  observed_.coordination->in_sync.erase("orders-2");
  plan = Make();
  EXPECT_EQ(Find(plan, "StatefulSet/orders")["spec"]["replicas"], 2);
  EXPECT_TRUE(FileOf(plan).is_null());
  EXPECT_FALSE(plan.member_change.has_value());
}

TEST_F(PlannerTest, ScalingInHandsOverBeforeTheMasterIsRemoved) {
  Settle();
  observed_.coordination->master = "orders-2";
  group_["spec"]["replicas"] = 2;
  const Plan plan = Make();
  ASSERT_TRUE(plan.switchover.has_value());
  EXPECT_EQ(plan.switchover->to, "orders-0");
  EXPECT_FALSE(plan.member_change.has_value());
  EXPECT_TRUE(Find(plan, "StatefulSet/orders").is_null());
}

TEST_F(PlannerTest, AMemberOfTheRecordThatHasNoPodIsRemoved) {
  Settle();
  observed_.coordination->members["orders-4"] = Seat::kVoter;
  observed_.coordination->members["made-by-hand"] = Seat::kLearner;  // somebody else's
  EXPECT_EQ(Make().member_change,
            (Plan::MemberChange{.member = "orders-4", .address = "", .epoch = 7}));
}

TEST_F(PlannerTest, WithoutARecordAnotherNumberOfMembersIsAnotherConfiguration) {
  group_["spec"]["failover"]["coordinator"] = Json::parse(R"({"type": "Static"})");
  Settle();
  group_["spec"]["replicas"] = 4;
  const Plan plan = Make();
  const std::string text = FileOf(plan)["data"]["dunlin.yaml"];
  EXPECT_THAT(text, HasSubstr("orders-3="));
  CarryOut(plan);
  observed_.pods.push_back(Shared(MakePod(3, "r1")));
  EXPECT_FALSE(Make().member_change.has_value());
}

TEST_F(PlannerTest, ABadRevisionIsTakenBackWhileScalingInWaitsForIt) {
  Settle();
  observed_.pods[1] = Shared(MakePod(1, "r0", false));
  observed_.coordination->in_sync = {"orders-0", "orders-2"};
  group_["spec"]["replicas"] = 2;
  for (const Plan::Apply& apply : Make().applies) {
    observed_.applied[fmt::format("{}/{}", apply.type.kind, k8s::KeyOf(apply.object).name)] =
        k8s::AnnotationOf(apply.object, kFingerprint);
  }
  const Plan plan = Make();
  ASSERT_TRUE(plan.deletion.has_value());
  EXPECT_EQ(plan.deletion->pod.name, "orders-1");
  // Of those who serve nobody goes meanwhile.
  observed_.pods[1] = Shared(MakePod(1, "r1"));
  observed_.pods[2] = Shared(MakePod(2, "r0"));
  EXPECT_FALSE(Make().deletion.has_value());
}

TEST(FingerprintTest, IsTheSameForEver) {
  EXPECT_EQ(Fingerprint(""), "cbf29ce484222325");
  EXPECT_EQ(Fingerprint("dunlin"), Fingerprint("dunlin"));
  EXPECT_NE(Fingerprint("dunlin"), Fingerprint("dunlim"));
}

}  // namespace
}  // namespace dunlin::op
