#include "operator/planner/name_service.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <fstream>
#include <memory>

#include "operator/k8s/conditions.h"
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

constexpr Timestamp kNow = FromUnixMillis(1'767'323'045'000);

k8s::Object Shared(Json json) { return std::make_shared<const Json>(std::move(json)); }

class NameServiceTest : public ::testing::Test {
 protected:
  NameServiceTest() {
    resource_ = Json::parse(R"({"apiVersion": "dunlin.dev/v1alpha1", "kind": "NameService",
        "metadata": {"name": "names", "namespace": "shop", "uid": "u-1", "generation": 2},
        "spec": {"replicas": 2, "storage": {"size": "1Gi"}}})");
  }

  Plan Make() {
    observed_.resource = Shared(resource_);
    return PlanNameService(observed_, {.image = "dunlin:own"}, kNow);
  }
  void Settle() {
    for (const Plan::Apply& apply : Make().applies) {
      observed_.applied[fmt::format("{}/{}", apply.type.kind, k8s::KeyOf(apply.object).name)] =
          k8s::AnnotationOf(apply.object, kFingerprint);
      if (apply.type.kind == "StatefulSet") set_ = apply.object;
    }
    set_["metadata"]["generation"] = 1;
    SetStatus(2, 2, 2);
  }
  void SetStatus(int there, int ready, int updated) {
    set_["status"] = {{"observedGeneration", 1},
                      {"replicas", there},
                      {"readyReplicas", ready},
                      {"updatedReplicas", updated}};
    observed_.stateful_set = Shared(set_);
  }
  static std::vector<std::string> Applied(const Plan& plan) {
    std::vector<std::string> names;
    for (const Plan::Apply& apply : plan.applies) {
      names.push_back(fmt::format("{}/{}", apply.type.kind, k8s::KeyOf(apply.object).name));
    }
    return names;
  }
  static Json Find(const Plan& plan, const std::string& kind, const std::string& name) {
    for (const Plan::Apply& apply : plan.applies) {
      if (apply.type.kind == kind && k8s::KeyOf(apply.object).name == name) return apply.object;
    }
    return nullptr;
  }
  static std::string Condition(const Plan& plan, const std::string& type) {
    const Json* const found = k8s::FindCondition(plan.status["conditions"], type);
    return fmt::format("{} {}", k8s::StringAt(*found, {"status"}),
                       k8s::StringAt(*found, {"reason"}));
  }

  // The ConfigMap.
  static Json FileOf(const Plan& plan) {
    for (const Plan::Apply& apply : plan.applies) {
      if (apply.type.kind == "ConfigMap") return apply.object;
    }
    return nullptr;
  }

  Json resource_;
  Json set_;
  ObservedNameService observed_;
};

TEST_F(NameServiceTest, EverythingIsMadeAtFirst) {
  const Plan plan = Make();
  EXPECT_THAT(Applied(plan),
              ElementsAre("ConfigMap/" + k8s::KeyOf(FileOf(plan)).name, "Service/names-members",
                          "Service/names", "PodDisruptionBudget/names", "StatefulSet/names"));
  for (const Plan::Apply& apply : plan.applies) {
    EXPECT_EQ(k8s::ControllerUidOf(apply.object), "u-1");
    EXPECT_EQ(k8s::LabelOf(apply.object, kNameServiceLabel), "names");
  }
  EXPECT_EQ(plan.status["phase"], "Creating");
  EXPECT_EQ(Condition(plan, "Ready"), "False Creating");
  EXPECT_EQ(plan.status["address"], "names.shop.svc:9876");
  // Under the names that broker groups are told.
  EXPECT_EQ(plan.status["endpoints"][1], "names-1.names-members.shop.svc:9876");
  const Json set = Find(plan, "StatefulSet", "names")["spec"];
  // Of one that is there it cannot be changed, whatever version made it.
  EXPECT_EQ(set["selector"], Json::parse(R"({"matchLabels": {
      "app.kubernetes.io/name": "dunlin", "app.kubernetes.io/component": "nameservice",
      "dunlin.dev/nameservice": "names"}})"));
  const Json& pod = set["template"]["spec"];
  EXPECT_EQ(pod["containers"][0]["command"], Json::parse(R"(["dunlin-nameservice"])"));
  EXPECT_EQ(pod["containers"][0]["readinessProbe"]["grpc"]["port"], 9876);
  EXPECT_EQ(pod["securityContext"]["runAsNonRoot"], true);
}

TEST_F(NameServiceTest, InstancesStartWithTheConfiguration) {
  resource_["spec"]["config"] = Json::parse(R"({"registry": {"session_timeout_ms": 5000}})");
  resource_["spec"]["tls"] = {{"mode", "Required"}, {"secretName", "certificate"}};
  TempDir directory;
  const std::string path = directory.path() + "/dunlin.yaml";
  std::ofstream(path) << FileOf(Make())["data"]["dunlin.yaml"].get<std::string>();
  config::v1::NameServiceConfig config;
  ASSERT_OK(LoadConfig(
      {.file = path,
       .environment = {"DUNLIN_SERVER__ADVERTISED_ADDRESS=names-0.names-members.shop.svc:9876"},
       .overrides = {}},
      config));
  EXPECT_EQ(config.server().listen_address(), "0.0.0.0:9876");
  EXPECT_EQ(config.server().tls().mode(), config::v1::TlsConfig::REQUIRED);
  EXPECT_EQ(config.metrics().listen_address(), "0.0.0.0:5558");
  EXPECT_EQ(config.registry().session_timeout_ms(), 5000U);
}

TEST_F(NameServiceTest, WhenAllIsWellThereIsNothingToDo) {
  Settle();
  observed_.broker_groups = 3;
  const Plan plan = Make();
  EXPECT_THAT(plan.applies, IsEmpty());
  EXPECT_EQ(Condition(plan, "Ready"), "True AllInstancesReady");
  EXPECT_EQ(plan.status["phase"], "Healthy");
  EXPECT_EQ(plan.status["brokerGroups"], 3);
  EXPECT_EQ(plan.look_again, std::chrono::seconds(30));
  resource_["status"] = plan.status;
  observed_.resource = Shared(resource_);
  EXPECT_EQ(
      PlanNameService(observed_, {.image = "dunlin:own"}, kNow + std::chrono::hours(1)).status,
      plan.status);
}

TEST_F(NameServiceTest, WhileAChangeIsAppliedNothingIsUpdated) {
  Settle();
  resource_["spec"]["image"] = "dunlin:2";
  const Plan plan = Make();
  EXPECT_THAT(Applied(plan), ElementsAre("StatefulSet/names"));
  EXPECT_EQ(Condition(plan, "Ready"), "False Updating");
  EXPECT_EQ(plan.status["updatedReplicas"], 0);
  EXPECT_EQ(plan.status["readyReplicas"], 2);
}

TEST_F(NameServiceTest, AnotherFileIsAnotherConfigMap) {
  const Json first = FileOf(Make());
  EXPECT_EQ(first["immutable"], true);
  Settle();
  // Of a version that wrote it in place.
  observed_.applied["ConfigMap/names-config"] = "x";
  const std::string former = "ConfigMap/" + k8s::KeyOf(first).name;
  resource_["spec"]["config"] = Json::parse(R"({"registry": {"session_timeout_ms": 5000}})");
  Plan plan = Make();
  const Json second = FileOf(plan);
  EXPECT_NE(k8s::KeyOf(second).name, k8s::KeyOf(first).name);
  const Json set = Find(plan, "StatefulSet", "names");
  EXPECT_EQ(set["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"],
            k8s::KeyOf(second).name);
  EXPECT_THAT(plan.removals, IsEmpty());
  Settle();
  // As long as an instance may have the former one it stays.
  SetStatus(2, 2, 1);
  EXPECT_THAT(Make().removals, IsEmpty());
  SetStatus(2, 2, 2);
  std::vector<std::string> removed;
  for (const Plan::Removal& removal : Make().removals) {
    removed.push_back(removal.type.kind + "/" + removal.object.name);
  }
  EXPECT_THAT(removed, ElementsAre("ConfigMap/names-config", former));
}

TEST_F(NameServiceTest, ConditionsOfTrouble) {
  Settle();
  SetStatus(2, 1, 2);
  EXPECT_EQ(Condition(Make(), "Ready"), "False InstancesNotReady");
  EXPECT_EQ(Condition(Make(), "Available"), "True InstancesServe");
  SetStatus(2, 0, 1);
  EXPECT_EQ(Condition(Make(), "Ready"), "False Updating");
  EXPECT_EQ(Condition(Make(), "Available"), "False NoInstance");
  resource_["spec"]["config"] = Json::parse(R"({"registry": {"max_groups": 0}})");
  const Plan plan = Make();
  EXPECT_THAT(plan.applies, IsEmpty());
  EXPECT_EQ(Condition(plan, "Stalled"), "True InvalidSpec");
  EXPECT_EQ(plan.status["phase"], "Stalled");
}

TEST_F(NameServiceTest, ItIsExposedAsAsked) {
  resource_["spec"]["expose"] = Json::parse(
      R"({"type": "NodePort", "nodePort": 30876,
          "annotations": {"example.com/internal": "true"}})");
  resource_["spec"]["podDisruptionBudget"] = {{"enabled", false}};
  const Plan plan = Make();
  EXPECT_EQ(Find(plan, "Service", "names")["spec"]["type"], "ClusterIP");
  const Json service = Find(plan, "Service", "names-outside");
  EXPECT_EQ(service["spec"]["type"], "NodePort");
  EXPECT_EQ(service["spec"]["ports"][0]["nodePort"], 30876);
  EXPECT_EQ(service["spec"]["ports"][0]["port"], 9976);
  EXPECT_EQ(service["spec"]["ports"][0]["targetPort"], 9976);
  EXPECT_EQ(service["spec"]["selector"], Find(plan, "Service", "names")["spec"]["selector"]);
  EXPECT_EQ(k8s::AnnotationOf(service, "example.com/internal"), "true");
  EXPECT_TRUE(Find(plan, "PodDisruptionBudget", "names").is_null());
}

TEST_F(NameServiceTest, WhoIsOutsideReachesTheListenerForClientsAlone) {
  const auto file = [this] { return FileOf(Make())["data"]["dunlin.yaml"].get<std::string>(); };
  const auto ports = [this] {
    const Json set = Find(Make(), "StatefulSet", "names");
    return set["spec"]["template"]["spec"]["containers"][0]["ports"];
  };
  EXPECT_THAT(file(), Not(HasSubstr("clients_listen_address")));
  EXPECT_EQ(ports().size(), 2u);

  resource_["spec"]["expose"] = {{"type", "LoadBalancer"}};
  EXPECT_THAT(file(), HasSubstr("0.0.0.0:9976"));
  ASSERT_EQ(ports().size(), 3u);
  EXPECT_EQ(ports()[2]["name"], "outside");
  EXPECT_EQ(ports()[2]["containerPort"], 9976);
}

TEST_F(NameServiceTest, TheAddressOutsideIsShown) {
  resource_["spec"]["expose"] = Json::parse(R"({"type": "NodePort", "port": 9999})");
  EXPECT_FALSE(Make().status.contains("externalAddress"));
  Json service = Find(Make(), "Service", "names-outside");
  service["spec"]["ports"][0]["nodePort"] = 30123;
  observed_.outside_service = std::make_shared<const Json>(service);
  EXPECT_EQ(Make().status["externalAddress"], "*:30123");
  resource_["spec"]["expose"]["type"] = "LoadBalancer";
  service["spec"]["type"] = "LoadBalancer";
  observed_.outside_service = std::make_shared<const Json>(service);
  EXPECT_FALSE(Make().status.contains("externalAddress"));
  service["status"]["loadBalancer"] = Json::parse(R"({"ingress": [{"hostname": "lb.example"}]})");
  observed_.outside_service = std::make_shared<const Json>(service);
  EXPECT_EQ(Make().status["externalAddress"], "lb.example:9999");
}

TEST_F(NameServiceTest, WhatIsNotExposedAnyMoreGoes) {
  resource_["spec"]["expose"] = Json::parse(R"({"type": "NodePort"})");
  for (const Plan::Apply& apply : Make().applies) {
    observed_.applied[apply.type.kind + "/" + k8s::KeyOf(apply.object).name] = "x";
  }
  EXPECT_THAT(Make().removals, IsEmpty());
  resource_["spec"]["expose"]["type"] = "ClusterIP";
  const Plan plan = Make();
  ASSERT_EQ(plan.removals.size(), 1u);
  EXPECT_EQ(plan.removals[0].object.name, "names-outside");
}

TEST_F(NameServiceTest, PausedOrDeletedIsHandsOff) {
  resource_["metadata"]["annotations"]["dunlin.dev/pause-reconciliation"] = "true";
  EXPECT_THAT(Make().applies, IsEmpty());
  resource_["metadata"].erase("annotations");
  resource_["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  EXPECT_THAT(Make().applies, IsEmpty());
}

// Each instance has a volume of 1Gi.
class NameServiceVolumesTest : public NameServiceTest {
 protected:
  void SettleWithVolumes() {
    SetClaims("1Gi", "1Gi");
    Settle();
  }
  void SetClaims(const std::string& asks, const std::string& has) {
    observed_.claims.clear();
    for (int i = 0; i < 2; ++i) {
      Json claim = {
          {"metadata", {{"name", fmt::format("data-names-{}", i)}, {"namespace", "shop"}}}};
      claim["spec"]["resources"]["requests"]["storage"] = asks;
      claim["status"] = {{"phase", "Bound"}, {"capacity", {{"storage", has}}}};
      observed_.claims.push_back(Shared(claim));
    }
  }
};

TEST_F(NameServiceVolumesTest, ClaimsGrowThenTheStatefulSetIsMadeAnew) {
  SettleWithVolumes();
  Plan plan = Make();
  EXPECT_EQ(Condition(plan, "StorageReady"), "True AsAsked");
  EXPECT_THAT(plan.growths, IsEmpty());
  EXPECT_THAT(plan.removals, IsEmpty());

  resource_["spec"]["storage"]["size"] = "2Gi";
  plan = Make();
  ASSERT_THAT(plan.growths, SizeIs(2));
  EXPECT_EQ(plan.growths[1].claim.name, "data-names-1");
  EXPECT_EQ(plan.growths[1].size, "2Gi");
  EXPECT_THAT(plan.removals, IsEmpty());
  EXPECT_EQ(Condition(plan, "StorageReady"), "False Resizing");

  SetClaims("2Gi", "1Gi");
  // Not while instances are replaced.
  SetStatus(2, 1, 2);
  EXPECT_THAT(Make().removals, IsEmpty());
  SetStatus(2, 2, 2);
  plan = Make();
  ASSERT_THAT(plan.removals, SizeIs(1));
  EXPECT_EQ(plan.removals[0].type.kind, "StatefulSet");
  EXPECT_EQ(plan.removals[0].object.name, "names");
  EXPECT_TRUE(plan.removals[0].orphans);
  ASSERT_THAT(plan.events, SizeIs(1));
  EXPECT_EQ(plan.events[0].reason, "RenewingStatefulSet");
  EXPECT_EQ(Condition(plan, "Ready"), "True AllInstancesReady");
  resource_["status"] = plan.status;

  // While it goes nothing is applied to it, and the instances are there as before.
  set_["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  observed_.stateful_set = Shared(set_);
  plan = Make();
  EXPECT_THAT(Applied(plan), IsEmpty());
  EXPECT_THAT(plan.removals, IsEmpty());
  EXPECT_EQ(Condition(plan, "Ready"), "False Updating");
  EXPECT_EQ(Condition(plan, "Available"), "True InstancesServe");

  observed_.stateful_set = nullptr;
  observed_.applied.erase("StatefulSet/names");
  plan = Make();
  EXPECT_THAT(Applied(plan), ElementsAre("StatefulSet/names"));
  EXPECT_EQ(
      Find(plan, "StatefulSet",
           "names")["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"],
      "2Gi");
  EXPECT_EQ(Condition(plan, "Available"), "True InstancesServe");
  EXPECT_EQ(plan.status["readyReplicas"], 2);
}

TEST_F(NameServiceVolumesTest, WhatIsPausedDoesNotGrow) {
  SettleWithVolumes();
  resource_["spec"]["storage"]["size"] = "2Gi";
  resource_["metadata"]["annotations"]["dunlin.dev/pause-reconciliation"] = "true";
  EXPECT_THAT(Make().growths, IsEmpty());
}

TEST_F(NameServiceVolumesTest, RefusalsAreTold) {
  SettleWithVolumes();
  resource_["spec"]["storage"]["size"] = "2Gi";
  observed_.growth_refused = "the storageclass must support resize";
  const Plan plan = Make();
  EXPECT_THAT(plan.growths, IsEmpty());
  EXPECT_THAT(plan.removals, IsEmpty());
  EXPECT_EQ(Condition(plan, "StorageReady"), "False Refused");
  EXPECT_EQ(Condition(plan, "Ready"), "True AllInstancesReady");
}

}  // namespace
}  // namespace dunlin::op
