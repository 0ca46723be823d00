// PlannerFixture: a BrokerGroup of three as the API server has it, and what surrounds it, for tests
// of what is planned for it.

#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "operator/k8s/conditions.h"
#include "operator/k8s/json.h"
#include "operator/k8s/object.h"
#include "operator/planner/objects.h"
#include "operator/planner/observed.h"
#include "operator/planner/plan.h"
#include "operator/planner/planner.h"
#include "services/base/clock.h"

namespace dunlin::op {

inline constexpr Timestamp kNow = FromUnixMillis(1'767'323'045'000);
inline Defaults OwnDefaults() { return {.image = "dunlin:own"}; }

inline k8s::Object Shared(k8s::Json json) {
  return std::make_shared<const k8s::Json>(std::move(json));
}

class PlannerFixture : public ::testing::Test {
 protected:
  PlannerFixture() {
    group_ = k8s::Json::parse(R"({"apiVersion": "dunlin.dev/v1alpha1", "kind": "BrokerGroup",
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u-1", "generation": 4},
        "spec": {"replicas": 3, "nameServiceRef": {"name": "names"}, "storage": {"size": "10Gi"},
                 "replication": {"mode": "Sync", "flush": "Async", "minInSyncReplicas": 1}}})");
    names_ = k8s::Json::parse(R"({"metadata": {"name": "names", "namespace": "shop"},
                             "spec": {"replicas": 2}})");
  }

  Plan Make() {
    observed_.group = Shared(group_);
    observed_.name_service = names_.is_null() ? nullptr : Shared(names_);
    return PlanBrokerGroup(observed_, OwnDefaults(), now_);
  }

  // As after the first plan was carried out: three members, the first is master.
  void Settle() {
    CarryOut(Make());
    observed_.pods.clear();
    for (int i = 0; i < 3; ++i) observed_.pods.push_back(Shared(MakePod(i, "r1")));
    observed_.coordination = Coordination{
        .epoch = 7,
        .master = "orders-0",
        .in_sync = {"orders-0", "orders-1", "orders-2"},
        .members = {
            {"orders-0", Seat::kVoter}, {"orders-1", Seat::kVoter}, {"orders-2", Seat::kVoter}}};
    CarryOut(Make());  // what follows from there being a master
  }
  static k8s::Json MakePod(int ordinal, const std::string& revision, bool ready = true) {
    k8s::Json pod =
        k8s::Json::parse(R"({"metadata": {"namespace": "shop"}, "spec": {"nodeName": "n"}})");
    pod["metadata"]["name"] = fmt::format("orders-{}", ordinal);
    pod["metadata"]["uid"] = fmt::format("uid-{}", ordinal);
    pod["metadata"]["labels"] = {{"controller-revision-hash", revision},
                                 {std::string(kRoleLabel), ordinal == 0 ? "master" : "slave"}};
    pod["status"]["phase"] = "Running";
    k8s::SetCondition(
        pod["status"]["conditions"],
        {"Ready", ready ? k8s::ConditionStatus::kTrue : k8s::ConditionStatus::kFalse, "X", ""}, 0,
        kNow);
    return pod;
  }
  // As after this plan was carried out.
  void CarryOut(const Plan& plan) {
    for (const Plan::Apply& apply : plan.applies) {
      observed_.applied[fmt::format("{}/{}", apply.type.kind, k8s::KeyOf(apply.object).name)] =
          k8s::AnnotationOf(apply.object, kFingerprint);
      if (apply.type.kind != "StatefulSet") continue;
      k8s::Json set = apply.object;
      set["metadata"]["generation"] = 1;
      set["status"] = observed_.stateful_set == nullptr
                          ? k8s::Json{{"observedGeneration", 1}, {"updateRevision", "r1"}}
                          : (*observed_.stateful_set)["status"];
      observed_.stateful_set = Shared(set);
    }
  }
  static std::vector<std::string> Applied(const Plan& plan) {
    std::vector<std::string> names;
    for (const Plan::Apply& apply : plan.applies) {
      names.push_back(fmt::format("{}/{}", apply.type.kind, k8s::KeyOf(apply.object).name));
    }
    return names;
  }
  static k8s::Json Find(const Plan& plan, const std::string& name) {
    for (const Plan::Apply& apply : plan.applies) {
      if (fmt::format("{}/{}", apply.type.kind, k8s::KeyOf(apply.object).name) == name) {
        return apply.object;
      }
    }
    return nullptr;
  }
  // The ConfigMap; null: none is applied.
  static k8s::Json FileOf(const Plan& plan) {
    for (const Plan::Apply& apply : plan.applies) {
      if (apply.type.kind == "ConfigMap") return apply.object;
    }
    return nullptr;
  }
  // As if nothing had been applied yet.
  Plan Everything() {
    Observed fresh = observed_;
    fresh.group = Shared(group_);
    fresh.applied.clear();
    return PlanBrokerGroup(fresh, OwnDefaults(), now_);
  }
  static std::string Condition(const Plan& plan, const std::string& type) {
    const k8s::Json* const found = k8s::FindCondition(plan.status["conditions"], type);
    if (found == nullptr) return "";
    return fmt::format("{} {}", k8s::StringAt(*found, {"status"}),
                       k8s::StringAt(*found, {"reason"}));
  }

  k8s::Json group_;
  k8s::Json names_;
  Observed observed_;
  Timestamp now_ = kNow;
};

}  // namespace dunlin::op
