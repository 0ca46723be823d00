// Plans carried out on a real API server with a real StatefulSet controller, in a namespace that
// lets in only what Pod Security calls restricted. There are no nodes: what kubelets and the
// coordinator would say is said by the test.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "operator/k8s/client.h"
#include "operator/k8s/conditions.h"
#include "operator/k8s/curl_loop.h"
#include "operator/k8s/testing/control_plane.h"
#include "operator/k8s/yaml_json.h"
#include "operator/planner/objects.h"
#include "operator/planner/planner.h"
#include "services/base/file.h"
#include "services/base/testing/status_matchers.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using k8s::ObjectKey;
using k8s::ResourceType;

ResourceType Definitions() {
  return {.group = "apiextensions.k8s.io",
          .version = "v1",
          .plural = "customresourcedefinitions",
          .kind = "CustomResourceDefinition",
          .namespaced = false};
}
ResourceType Namespaces() {
  return {.group = "",
          .version = "v1",
          .plural = "namespaces",
          .kind = "Namespace",
          .namespaced = false};
}
ResourceType Groups() {
  return {.group = "dunlin.dev",
          .version = "v1alpha1",
          .plural = "brokergroups",
          .kind = "BrokerGroup"};
}
ResourceType Sets() {
  return {.group = "apps", .version = "v1", .plural = "statefulsets", .kind = "StatefulSet"};
}
ResourceType Pods() { return {.group = "", .version = "v1", .plural = "pods", .kind = "Pod"}; }

constexpr char kSpace[] = "shop";
Defaults OwnDefaults() { return {.image = "example.com/dunlin:1"}; }

std::vector<Json> Load(const std::string& file) {
  const auto text = ReadWholeFile(RealFiles(), "operator/crds/" + file);
  EXPECT_OK(text);
  return *k8s::ParseYamlDocuments(*text, file);
}

class PlannerApiServerTest : public ::testing::Test {
 protected:
  PlannerApiServerTest() : loop_(control_plane_.Admin(), "test/1", clock_), client_(loop_, loop_) {
    for (const Json& definition : Load("brokergroups.yaml")) {
      EXPECT_OK(client_.Run(Apply(Definitions(), definition, {.field_manager = "test"})));
    }
    Json space = NewObject(Namespaces(), {"", kSpace});
    space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "restricted";
    EXPECT_OK(client_.Run(Create(Namespaces(), space)));
    control_plane_.Kubectl(
        {"wait", "--for=condition=Established", "--timeout=60s", "crd/brokergroups.dunlin.dev"});
    control_plane_.StartControllers();
    // The service account of pods, which the controllers make.
    control_plane_.Kubectl(
        {"-n", kSpace, "wait", "--for=create", "--timeout=60s", "serviceaccount/default"});
  }
  ~PlannerApiServerTest() override { loop_.Stop(); }

  void Make(Json group) {
    group["metadata"]["namespace"] = kSpace;
    key_ = {kSpace, group["metadata"]["name"]};
    ASSERT_OK(client_.Run(Create(Groups(), group)));
  }

  Observed Observe() {
    Observed observed;
    const auto group = client_.Run(Get(Groups(), key_));
    EXPECT_OK(group);
    observed.group = std::make_shared<const Json>(*group);
    observed.name_service = std::make_shared<const Json>(Json::parse(
        R"({"metadata": {"name": "names", "namespace": "shop"}, "spec": {"replicas": 1}})"));
    if (const auto set = client_.Run(Get(Sets(), key_)); set.ok()) {
      observed.stateful_set = std::make_shared<const Json>(*set);
    }
    const auto pods = client_.ListAll(
        Pods(), {.space = kSpace, .label_selector = fmt::format("{}={}", kGroupLabel, key_.name)});
    EXPECT_OK(pods);
    for (const Json& pod : pods->items) {
      observed.pods.push_back(std::make_shared<const Json>(pod));
    }
    observed.super_user = "admin";
    observed.applied = applied_;
    observed.coordination = coordination_;
    return observed;
  }

  // Makes a plan and carries it out.
  Plan Reconcile() {
    Plan plan = PlanBrokerGroup(Observe(), OwnDefaults(), clock_.Now());
    for (const Plan::Apply& apply : plan.applies) {
      const auto applied = client_.Run(
          Apply(apply.type, apply.object, {.field_manager = "dunlin-operator", .force = true}));
      EXPECT_OK(applied) << k8s::PrintJson(apply.object);
      const std::string name = fmt::format("{}/{}", apply.type.kind, k8s::KeyOf(apply.object).name);
      applied_[name] = k8s::AnnotationOf(apply.object, kFingerprint);
    }
    if (plan.deletion.has_value()) {
      EXPECT_OK(client_.Run(Delete(Pods(), plan.deletion->pod, {.uid = plan.deletion->uid})));
    }
    if (plan.switchover.has_value()) coordination_.master = plan.switchover->to;
    Json status = NewObject(Groups(), key_);
    status["status"] = plan.status;
    EXPECT_OK(client_.Run(
        ApplyStatus(Groups(), status, {.field_manager = "dunlin-operator", .force = true})));
    return plan;
  }

  // Waits until the controller has made it, and says that it is ready: what a kubelet would do.
  void Start(int ordinal) {
    const std::string name = fmt::format("{}-{}", key_.name, ordinal);
    control_plane_.Kubectl({"-n", kSpace, "wait", "--for=create", "--timeout=60s", "pod/" + name});
    Json ready = {{"status", Json::object()}};
    k8s::SetCondition(ready["status"]["conditions"],
                      {"Ready", k8s::ConditionStatus::kTrue, "Ready", ""}, 0, clock_.Now());
    k8s::ApiCall call = MergePatch(Pods(), {kSpace, name}, ready);
    call.path = PathOf(Pods(), {kSpace, name}, "status");
    ASSERT_OK(client_.Run(std::move(call)));
    coordination_.in_sync.insert(name);
    coordination_.members[name] = Seat::kVoter;
  }
  void WaitForRevision() {
    const auto set = client_.Run(Get(Sets(), key_));
    ASSERT_OK(set);
    control_plane_.Kubectl(
        {"-n", kSpace, "wait", "--timeout=60s", "statefulset/" + key_.name,
         fmt::format("--for=jsonpath={{.status.observedGeneration}}={}", k8s::GenerationOf(*set))});
  }

  SystemClock clock_;
  k8s::ControlPlane control_plane_;
  k8s::CurlLoop loop_;
  k8s::Client client_;
  ObjectKey key_;
  std::map<std::string, std::string> applied_;
  Coordination coordination_{.epoch = 1, .master = "group-0", .in_sync = {}};
};

TEST_F(PlannerApiServerTest, AGroupIsMadeAndUpdated) {
  Make(Load("testdata/valid.yaml").at(0));
  Reconcile();
  for (int i = 0; i < 3; ++i) Start(i);
  WaitForRevision();
  Reconcile();  // the role labels
  const Plan settled = Reconcile();
  EXPECT_TRUE(settled.applies.empty());
  control_plane_.Kubectl(
      {"-n", kSpace, "wait", "--for=condition=Ready", "--timeout=5s", "bg/group"});
  EXPECT_THAT(control_plane_.Kubectl({"-n", kSpace, "get", "pods", "-l", "dunlin.dev/role=master"}),
              ::testing::HasSubstr("group-0"));

  // Another image: slaves from the highest ordinal down, a switchover, the old master.
  ASSERT_OK(
      client_.Run(MergePatch(Groups(), key_, {{"spec", {{"image", "example.com/dunlin:2"}}}})));
  Reconcile();
  WaitForRevision();
  std::vector<std::string> steps;
  for (int i = 0; i < 20; ++i) {
    const Plan plan = Reconcile();
    if (plan.switchover.has_value()) steps.push_back("switch to " + plan.switchover->to);
    if (plan.deletion.has_value()) {
      steps.push_back("delete " + plan.deletion->pod.name);
      const std::string& name = plan.deletion->pod.name;
      coordination_.in_sync.erase(name);
      // Gone at once, without a node: the one that comes is its successor.
      Start(name.back() - '0');
    }
    if (plan.applies.empty() && k8s::IsConditionTrue(plan.status["conditions"], "Ready")) break;
  }
  EXPECT_THAT(steps, ::testing::ElementsAre("delete group-2", "delete group-1", "switch to group-1",
                                            "delete group-0"));
  control_plane_.Kubectl(
      {"-n", kSpace, "wait", "--for=condition=Ready", "--timeout=5s", "bg/group"});
}

// With everything set that can be.
TEST_F(PlannerApiServerTest, EverySettingIsTaken) {
  Make(Load("testdata/valid.yaml").at(1));
  coordination_.master = "group-full-0";
  Reconcile();
  for (int i = 0; i < 3; ++i) Start(i);
  WaitForRevision();
  Reconcile();
  EXPECT_TRUE(k8s::IsConditionTrue(Reconcile().status["conditions"], "Ready"));
}

}  // namespace
}  // namespace dunlin::op
