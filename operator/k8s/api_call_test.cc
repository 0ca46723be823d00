#include "operator/k8s/api_call.h"

#include <gmock/gmock.h>

namespace dunlin::k8s {
namespace {

ResourceType Pods() { return {.group = "", .version = "v1", .plural = "pods", .kind = "Pod"}; }
ObjectKey PodKey() { return {"space", "name"}; }

TEST(ApiCallTest, Reading) {
  EXPECT_EQ(Get(Pods(), PodKey()).path, "/api/v1/namespaces/space/pods/name");
  EXPECT_EQ(List(Pods(), {}).path, "/api/v1/pods?limit=500");
  EXPECT_EQ(
      List(Pods(), {.space = "s", .label_selector = "a=b", .field_selector = "c=d", .page_size = 2},
           "x+y")
          .path,
      "/api/v1/namespaces/s/pods?labelSelector=a%3Db&fieldSelector=c%3Dd&limit=2"
      "&continue=x%2By");
  EXPECT_EQ(Watch(Pods(), {.space = "s", .label_selector = "", .field_selector = ""},
                  {.resource_version = "12", .timeout_seconds = 300})
                .path,
            "/api/v1/namespaces/s/pods?watch=true&allowWatchBookmarks=true&resourceVersion=12"
            "&timeoutSeconds=300");
}

TEST(ApiCallTest, Applying) {
  Json pod = NewObject(Pods(), PodKey());
  const ApiCall apply = Apply(Pods(), pod, {.field_manager = "us", .force = true});
  EXPECT_EQ(apply.method, "PATCH");
  EXPECT_EQ(apply.content_type, "application/apply-patch+yaml");
  EXPECT_EQ(apply.path,
            "/api/v1/namespaces/space/pods/name?fieldManager=us&force=true&fieldValidation=Strict");
  EXPECT_EQ(Json::parse(apply.body), pod);
  EXPECT_TRUE(apply.idempotent);
  EXPECT_EQ(ApplyStatus(Pods(), pod, {.field_manager = "us", .dry_run = true}).path,
            "/api/v1/namespaces/space/pods/name/status?fieldManager=us&force=false"
            "&fieldValidation=Strict&dryRun=All");
}

TEST(ApiCallTest, CreatingAndReplacingAreDoneOnce) {
  const Json pod = NewObject(Pods(), PodKey());
  EXPECT_EQ(Create(Pods(), pod).path, "/api/v1/namespaces/space/pods");
  EXPECT_EQ(Create(Pods(), pod).method, "POST");
  EXPECT_FALSE(Create(Pods(), pod).idempotent);
  EXPECT_EQ(Replace(Pods(), pod).path, "/api/v1/namespaces/space/pods/name");
  EXPECT_EQ(Replace(Pods(), pod).method, "PUT");
  EXPECT_FALSE(Replace(Pods(), pod).idempotent);
}

TEST(ApiCallTest, DeletingNamesWhatItMeans) {
  EXPECT_EQ(Json::parse(Delete(Pods(), PodKey()).body),
            Json::parse(R"({"apiVersion": "v1", "kind": "DeleteOptions",
                            "propagationPolicy": "Background"})"));
  const ApiCall precise = Delete(Pods(), PodKey(),
                                 {.uid = "u",
                                  .resource_version = "9",
                                  .propagation = Propagation::kOrphan,
                                  .grace_seconds = 0});
  EXPECT_EQ(precise.method, "DELETE");
  EXPECT_EQ(Json::parse(precise.body),
            Json::parse(R"({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
                            "preconditions": {"uid": "u", "resourceVersion": "9"},
                            "propagationPolicy": "Orphan"})"));
}

TEST(ApiCallDeathTest, DeletingNeedsAName) {
  EXPECT_DEATH(Delete(Pods(), {.space = "space", .name = ""}), "name.empty");
}

}  // namespace
}  // namespace dunlin::k8s
