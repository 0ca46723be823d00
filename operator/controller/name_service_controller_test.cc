#include "operator/controller/name_service_controller.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

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
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::StartsWith;

k8s::ObjectKey Names() { return {"shop", "names"}; }

class NameServiceControllerTest : public ::testing::Test {
 protected:
  NameServiceControllerTest() {
    types_ = {NameServiceType(),
              BrokerGroupType(),
              ConfigMapType(),
              ServiceType(),
              PodDisruptionBudgetType(),
              StatefulSetType(),
              PersistentVolumeClaimType()};
    for (const k8s::ResourceType& type : types_) caches_.Watch(type, "");
    server_.Put(NameServiceType(), Json::parse(R"({"apiVersion": "dunlin.dev/v1alpha1",
        "kind": "NameService", "metadata": {"name": "names", "namespace": "shop", "generation": 1},
        "spec": {"replicas": 2, "storage": {"size": "1Gi"}}})"));
    Tell();
  }

  // Calls that change something, but for those that make Events.
  std::vector<std::string> Writes() {
    std::vector<std::string> calls = server_.TakeCalls();
    std::erase_if(calls, [](const std::string& call) {
      return call.starts_with("GET") || call == "POST events";
    });
    return calls;
  }
  std::string StorageReason() {
    const Json names = server_.Get(NameServiceType(), Names());
    const Json* const found = k8s::FindCondition(names["status"]["conditions"], "StorageReady");
    return found == nullptr ? "" : std::string(k8s::StringAt(*found, {"reason"}));
  }
  // As the controllers of Kubernetes see to it.
  void MakeClaims() {
    for (const std::string name : {"data-names-0", "data-names-1"}) {
      Json claim = k8s::NewObject(PersistentVolumeClaimType(), {"shop", name});
      claim["metadata"]["labels"] = {{"dunlin.dev/nameservice", "names"}};
      claim["spec"]["resources"]["requests"]["storage"] = "1Gi";
      claim["status"] = {{"phase", "Bound"}, {"capacity", {{"storage", "1Gi"}}}};
      server_.Put(PersistentVolumeClaimType(), claim);
    }
  }
  void SayAllIsWell() {
    Edit(StatefulSetType(), {{"status",
                              {{"observedGeneration", 1},
                               {"replicas", 2},
                               {"readyReplicas", 2},
                               {"updatedReplicas", 2}}}});
  }
  void Tell() { server_.Tell(caches_, types_); }
  void Edit(const k8s::ResourceType& type, const Json& patch) {
    Json object = server_.Get(type, Names());
    object.merge_patch(patch);
    server_.Put(type, object);
    Tell();
  }

  ManualClock clock_;
  k8s::FakeLoop loop_;
  FakeApiServer server_;
  k8s::Client client_{server_, loop_};
  k8s::EventRecorder events_{client_, loop_, {"dunlin.dev/operator", "test"}};
  Caches caches_{{}};
  std::vector<k8s::ResourceType> types_;
  Writer writer_{client_, events_, [] { return true; }};
  NameServiceController controller_{caches_, writer_, events_, clock_,
                                    Defaults{.image = "dunlin:own"}};
};

TEST_F(NameServiceControllerTest, AllIsMadeThenNothingIsDone) {
  ASSERT_OK(controller_.Reconcile(Names()));
  EXPECT_THAT(Writes(), ElementsAre(StartsWith("PATCH configmaps/names-config-"),
                                    "PATCH services/names-members", "PATCH services/names",
                                    "PATCH poddisruptionbudgets/names", "PATCH statefulsets/names",
                                    "PATCH nameservices/names/status"));
  SayAllIsWell();
  ASSERT_OK(controller_.Reconcile(Names()));
  EXPECT_THAT(server_.TakeCalls(), ElementsAre("PATCH nameservices/names/status"));
  EXPECT_EQ(server_.Get(NameServiceType(), Names())["status"]["phase"], "Healthy");
  Tell();
  const auto again = controller_.Reconcile(Names());
  ASSERT_OK(again);
  EXPECT_EQ(*again, std::chrono::seconds(30));
  EXPECT_THAT(server_.TakeCalls(), IsEmpty());
}

TEST_F(NameServiceControllerTest, WhatIsSomebodyElsesIsLeftAlone) {
  // A broker group of the same name.
  Json service = k8s::NewObject(ServiceType(), Names());
  service["metadata"]["labels"] = {{"app.kubernetes.io/managed-by", "dunlin-operator"},
                                   {"dunlin.dev/group", "names"}};
  server_.Put(ServiceType(), service);
  ASSERT_OK(controller_.Reconcile(Names()));
  EXPECT_THAT(server_.TakeCalls(), Not(Contains("PATCH services/names")));
  const Json status = server_.Get(NameServiceType(), Names())["status"];
  EXPECT_EQ(status["phase"], "Stalled");
  EXPECT_EQ((*k8s::FindCondition(status["conditions"], "Stalled"))["reason"], "NameTaken");
}

TEST_F(NameServiceControllerTest, WhatIsRefusedIsTriedAgain) {
  server_.Refuse("PATCH services/names");
  EXPECT_FALSE(controller_.Reconcile(Names()).ok());
  server_.RefuseNothing();
  Tell();
  EXPECT_OK(controller_.Reconcile(Names()));
  EXPECT_FALSE(server_.Get(StatefulSetType(), Names()).is_null());
}

TEST_F(NameServiceControllerTest, VolumesGrowAndTheStatefulSetIsMadeAnewAroundItsPods) {
  ASSERT_OK(controller_.Reconcile(Names()));
  MakeClaims();
  SayAllIsWell();
  Edit(NameServiceType(), {{"spec", {{"storage", {{"size", "2Gi"}}}}}});
  Writes();
  ASSERT_OK(controller_.Reconcile(Names()));
  EXPECT_THAT(Writes(), IsSupersetOf({"PATCH persistentvolumeclaims/data-names-0",
                                      "PATCH persistentvolumeclaims/data-names-1"}));
  EXPECT_EQ(StorageReason(), "Resizing");
  Tell();
  ASSERT_OK(controller_.Reconcile(Names()));
  EXPECT_THAT(Writes(), Contains("DELETE statefulsets/names"));
  server_.Remove(StatefulSetType(), Names());
  Tell();
  ASSERT_OK(controller_.Reconcile(Names()));
  EXPECT_THAT(Writes(), Contains("PATCH statefulsets/names"));
}

TEST_F(NameServiceControllerTest, VolumesThatMayNotGrowAreToldOfAndAskedForAgainLater) {
  ASSERT_OK(controller_.Reconcile(Names()));
  MakeClaims();
  SayAllIsWell();
  server_.Refuse("PATCH persistentvolumeclaims/data-names-0");
  Edit(NameServiceType(), {{"spec", {{"storage", {{"size", "2Gi"}}}}}});
  const auto again = controller_.Reconcile(Names());
  ASSERT_OK(again);
  EXPECT_EQ(*again, std::chrono::seconds(1));
  Tell();
  ASSERT_OK(controller_.Reconcile(Names()));
  EXPECT_EQ(StorageReason(), "Refused");
  Writes();
  Tell();
  ASSERT_OK(controller_.Reconcile(Names()));
  EXPECT_THAT(Writes(), IsEmpty());
  server_.RefuseNothing();
  clock_.Advance(std::chrono::minutes(5));
  ASSERT_OK(controller_.Reconcile(Names()));
  EXPECT_THAT(Writes(), Contains("PATCH persistentvolumeclaims/data-names-0"));
}

TEST_F(NameServiceControllerTest, OneThatIsGoneIsForgotten) {
  server_.Remove(NameServiceType(), Names());
  Tell();
  const auto again = controller_.Reconcile(Names());
  ASSERT_OK(again);
  EXPECT_EQ(*again, std::chrono::milliseconds(0));
  EXPECT_THAT(server_.TakeCalls(), IsEmpty());
}

}  // namespace
}  // namespace dunlin::op
