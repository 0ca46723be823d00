// Members for clients outside of Kubernetes.

#include "operator/planner/outside.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "operator/k8s/json.h"
#include "operator/k8s/object.h"
#include "operator/planner/objects.h"
#include "operator/planner/plan.h"
#include "operator/planner/testing/planner_fixture.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class OutsideTest : public PlannerFixture {
 protected:
  void Expose(const std::string& expose) { group_["spec"]["expose"] = Json::parse(expose); }
  // As the API server has the Services of this plan; nodes' ports are 30080 and so on.
  void Serve(const Plan& plan) {
    observed_.services.clear();
    int port = 30080;
    for (const Plan::Apply& apply : plan.applies) {
      if (apply.type.kind != "Service") continue;
      Json service = apply.object;
      if (service["spec"]["type"] == "NodePort") service["spec"]["ports"][0]["nodePort"] = port++;
      observed_.services.push_back(Shared(std::move(service)));
    }
  }
  void OnNodes() {
    for (k8s::Object& pod : observed_.pods) {
      Json placed = *pod;
      placed["status"]["hostIP"] = "10.0.0.7";
      pod = Shared(std::move(placed));
    }
  }
  static std::vector<std::string> Outside(const std::vector<std::string>& names) {
    std::vector<std::string> outside;
    for (const std::string& name : names) {
      if (name.ends_with("-outside")) outside.push_back(name);
    }
    return outside;
  }
  static std::vector<std::string> Removed(const Plan& plan) {
    std::vector<std::string> names;
    for (const Plan::Removal& removal : plan.removals) {
      names.push_back(removal.type.kind + "/" + removal.object.name);
    }
    return names;
  }
};

TEST_F(OutsideTest, WithinTheClusterThereIsNothingOfIt) {
  const Plan plan = Make();
  EXPECT_THAT(Outside(Applied(plan)), IsEmpty());
  const Json pod = Find(plan, "StatefulSet/orders")["spec"]["template"]["spec"];
  EXPECT_EQ(pod.dump().find("outside"), std::string::npos);
  EXPECT_EQ(Condition(plan, "Exposed"), "");
}

TEST_F(OutsideTest, EachMemberHasAService) {
  Expose(R"({"type": "NodePort", "annotations": {"a": "b"}})");
  const Plan plan = Make();
  EXPECT_THAT(Outside(Applied(plan)),
              ElementsAre("Service/orders-0-outside", "Service/orders-1-outside",
                          "Service/orders-2-outside", "ConfigMap/orders-outside"));
  const Json service = Find(plan, "Service/orders-1-outside");
  EXPECT_EQ(service["spec"]["type"], "NodePort");
  EXPECT_EQ(service["spec"]["selector"]["statefulset.kubernetes.io/pod-name"], "orders-1");
  EXPECT_EQ(service["spec"]["selector"]["dunlin.dev/group"], "orders");
  EXPECT_EQ(service["spec"]["ports"][0]["port"], 8181);
  EXPECT_EQ(service["spec"]["ports"][0]["targetPort"], 8081);
  EXPECT_EQ(k8s::AnnotationOf(service, "a"), "b");
  EXPECT_THAT(Find(plan, "ConfigMap/orders-outside")["data"], IsEmpty());
  const Json pod = Find(plan, "StatefulSet/orders")["spec"]["template"]["spec"];
  const std::string broker = pod["containers"][0].dump();
  EXPECT_NE(broker.find("/etc/dunlin-outside/$(POD_NAME)"), std::string::npos);
  EXPECT_EQ(pod["containers"][1].dump().find("outside"), std::string::npos) << "the replicator";
  EXPECT_NE(pod["volumes"].dump().find(R"("optional":true)"), std::string::npos);
}

TEST_F(OutsideTest, PortsOfNodesAreAtTheNodeOfThePod) {
  Expose(R"({"type": "NodePort"})");
  Serve(Make());
  Settle();
  Plan plan = Make();
  EXPECT_EQ(Condition(plan, "Exposed"), "False AddressesMissing");
  OnNodes();
  plan = Make();
  EXPECT_EQ(Condition(plan, "Exposed"), "True AddressesKnown");
  const Json data = Find(plan, "ConfigMap/orders-outside")["data"];
  EXPECT_EQ(data["orders-0"], "10.0.0.7:30080\n");
  EXPECT_EQ(data["orders-2"], "10.0.0.7:30082\n");
  EXPECT_EQ(plan.status["members"][1]["externalAddress"], "10.0.0.7:30081");
  // Pods need not know of it.
  EXPECT_TRUE(Find(plan, "StatefulSet/orders").is_null());
  Expose(R"({"type": "NodePort", "advertisedHosts": ["a.example", "b.example:31000", "fd00::1"]})");
  const Json advertised = Find(Make(), "ConfigMap/orders-outside")["data"];
  EXPECT_EQ(advertised["orders-0"], "a.example:30080\n");
  EXPECT_EQ(advertised["orders-1"], "b.example:31000\n");
  EXPECT_EQ(advertised["orders-2"], "[fd00::1]:30082\n");
}

TEST_F(OutsideTest, LoadBalancersTellTheirAddress) {
  Expose(R"({"type": "LoadBalancer", "port": 9001})");
  Serve(Make());
  Settle();
  EXPECT_EQ(Condition(Make(), "Exposed"), "False AddressesMissing");
  const std::vector<Json> ingresses = {
      {{"ip", "192.0.2.1"}}, {{"hostname", "lb.example"}}, {{"ip", "2001:db8::1"}}};
  size_t next = 0;
  for (k8s::Object& service : observed_.services) {
    if (!k8s::KeyOf(*service).name.ends_with("-outside")) continue;
    Json known = *service;
    known["status"]["loadBalancer"]["ingress"] = Json::array({ingresses[next++]});
    service = Shared(std::move(known));
  }
  const Plan plan = Make();
  const Json data = Find(plan, "ConfigMap/orders-outside")["data"];
  EXPECT_EQ(data["orders-0"], "192.0.2.1:9001\n");
  EXPECT_EQ(data["orders-1"], "lb.example:9001\n");
  EXPECT_EQ(data["orders-2"], "[2001:db8::1]:9001\n");
  EXPECT_EQ(Condition(plan, "Exposed"), "True AddressesKnown");
  EXPECT_EQ(Condition(plan, "Ready").substr(0, 4), Condition(Make(), "Ready").substr(0, 4));
}

TEST_F(OutsideTest, AnAddressStaysWhileItsPodIsReplaced) {
  Expose(R"({"type": "NodePort"})");
  Serve(Make());
  Settle();
  OnNodes();
  observed_.outside_addresses = Shared(Find(Make(), "ConfigMap/orders-outside"));
  Json away = *observed_.pods[1];
  away["status"].erase("hostIP");
  observed_.pods[1] = Shared(std::move(away));
  const Plan plan = Make();
  EXPECT_EQ(Find(plan, "ConfigMap/orders-outside")["data"]["orders-1"], "10.0.0.7:30081\n");
  EXPECT_EQ(Condition(plan, "Exposed"), "True AddressesKnown");
}

TEST_F(OutsideTest, AdvertisedHostsNeedNoAddressOfALoadBalancer) {
  Expose(
      R"({"type": "LoadBalancer", "advertisedHosts": ["a.example", "b.example:1", "c.example"]})");
  Serve(Make());
  const Json data = Find(Make(), "ConfigMap/orders-outside")["data"];
  EXPECT_EQ(data["orders-0"], "a.example:8181\n");
  EXPECT_EQ(data["orders-1"], "b.example:1\n");
}

TEST_F(OutsideTest, AServiceOfAGroupThatIsCalledSoStays) {
  group_["metadata"]["name"] = "orders-outside";
  Serve(Make());
  EXPECT_THAT(Outside(Removed(Make())), IsEmpty());
  Expose(R"({"type": "NodePort"})");
  EXPECT_THAT(Outside(Removed(Make())), IsEmpty());
}

TEST_F(OutsideTest, WhatIsNotExposedAnyMoreGoes) {
  Expose(R"({"type": "NodePort"})");
  Serve(Make());
  Settle();
  EXPECT_THAT(Outside(Removed(Make())), IsEmpty());
  // Of members that there are no more.
  Json beyond = *observed_.services.back();
  beyond["metadata"]["name"] = "orders-7-outside";
  observed_.services.push_back(Shared(beyond));
  EXPECT_THAT(Outside(Removed(Make())), ElementsAre("Service/orders-7-outside"));
  Expose(R"({"type": "ClusterIP"})");
  EXPECT_THAT(Outside(Removed(Make())),
              ElementsAre("Service/orders-0-outside", "Service/orders-1-outside",
                          "Service/orders-2-outside", "Service/orders-7-outside",
                          "ConfigMap/orders-outside"));
}

}  // namespace
}  // namespace dunlin::op
