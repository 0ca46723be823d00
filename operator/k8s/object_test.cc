#include "operator/k8s/object.h"

#include <gmock/gmock.h>

namespace dunlin::k8s {
namespace {

ResourceType Pods() { return {.group = "", .version = "v1", .plural = "pods", .kind = "Pod"}; }
ResourceType Nodes() {
  return {.group = "", .version = "v1", .plural = "nodes", .kind = "Node", .namespaced = false};
}
ResourceType Sets() {
  return {.group = "apps", .version = "v1", .plural = "statefulsets", .kind = "StatefulSet"};
}

TEST(ObjectTest, PathsOfTypesAndObjects) {
  EXPECT_EQ(PathOf(Pods(), {}, ""), "/api/v1/pods");
  EXPECT_EQ(PathOf(Pods(), {"a", ""}, ""), "/api/v1/namespaces/a/pods");
  EXPECT_EQ(PathOf(Pods(), {"a", "b"}, ""), "/api/v1/namespaces/a/pods/b");
  EXPECT_EQ(PathOf(Sets(), {"a", "b"}, "status"),
            "/apis/apps/v1/namespaces/a/statefulsets/b/status");
  EXPECT_EQ(PathOf(Nodes(), {"", "n"}, ""), "/api/v1/nodes/n");
  EXPECT_EQ(PathOf(Pods(), {"a", "../b"}, ""), "/api/v1/namespaces/a/pods/..%2Fb");
}

TEST(ObjectTest, NewObjectsHaveAnIdentity) {
  EXPECT_EQ(NewObject(Sets(), {"a", "b"}), Json::parse(R"({"apiVersion": "apps/v1",
      "kind": "StatefulSet", "metadata": {"name": "b", "namespace": "a"}})"));
  EXPECT_EQ(NewObject(Nodes(), {"", "n"})["metadata"], Json::parse(R"({"name": "n"})"));
}

TEST(ObjectTest, OddObjectsHaveNothing) {
  for (const char* const odd : {"null", "[]", "{}", R"({"metadata": 5})",
                                R"({"metadata": {"uid": 5, "ownerReferences": {}}})"}) {
    const Json object = Json::parse(odd);
    EXPECT_EQ(UidOf(object), "");
    EXPECT_EQ(GenerationOf(object), 0);
    EXPECT_EQ(KeyOf(object), ObjectKey{});
    EXPECT_EQ(ControllerUidOf(object), "");
    EXPECT_FALSE(HasFinalizer(object, "x"));
  }
}

TEST(ObjectTest, ControllerIsFoundAmongOwners) {
  const Json owner =
      Json::parse(R"({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "o", "uid": "u1"}})");
  Json owned;
  owned["metadata"]["ownerReferences"] = {{{"uid", "u0"}}, ControllerReference(owner)};
  EXPECT_EQ(ControllerUidOf(owned), "u1");
}

// What the patch does by RFC 6902; nlohmann throws where a test fails.
Json Patched(const Json& object, const Json& patch) { return object.patch(patch); }

TEST(ObjectTest, FinalizersOfOthersStay) {
  Json object = Json::parse(R"({"metadata": {"resourceVersion": "7"}})");
  const Json first = Patched(object, AddFinalizerPatch(object, "ours"));
  EXPECT_TRUE(HasFinalizer(first, "ours"));
  EXPECT_TRUE(AddFinalizerPatch(first, "ours").is_null());

  const Json both = Patched(first, AddFinalizerPatch(first, "theirs"));
  const Json theirs = Patched(both, RemoveFinalizerPatch(both, "ours"));
  EXPECT_EQ(theirs["metadata"]["finalizers"], Json::array({"theirs"}));
  EXPECT_FALSE(
      Patched(theirs, RemoveFinalizerPatch(theirs, "theirs"))["metadata"].contains("finalizers"));
  EXPECT_TRUE(RemoveFinalizerPatch(theirs, "ours").is_null());
}

TEST(ObjectTest, FinalizerPatchFailsWhenTheListHasChanged) {
  const Json read =
      Json::parse(R"({"metadata": {"resourceVersion": "7", "finalizers": ["ours"]}})");
  Json now = read;
  now["metadata"]["finalizers"].push_back("new");
  EXPECT_THROW(Patched(now, RemoveFinalizerPatch(read, "ours")), Json::exception);

  const Json without = Json::parse(R"({"metadata": {"resourceVersion": "7"}})");
  EXPECT_THROW(
      Patched(now.patch(Json::parse(
                  R"([{"op": "replace", "path": "/metadata/resourceVersion", "value": "8"}])")),
              AddFinalizerPatch(without, "ours")),
      Json::exception);
}

TEST(ObjectTest, PercentEncodeLeavesNoRoomForQueries) {
  EXPECT_EQ(PercentEncode("a-b.c_d~9"), "a-b.c_d~9");
  EXPECT_EQ(PercentEncode("a=b,c in (d&e)"), "a%3Db%2Cc%20in%20%28d%26e%29");
  EXPECT_EQ(PercentEncode("\xc3\xa9"), "%C3%A9");
}

}  // namespace
}  // namespace dunlin::k8s
