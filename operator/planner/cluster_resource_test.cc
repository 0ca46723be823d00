#include "operator/planner/cluster_resource.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <memory>
#include <utility>

#include "operator/k8s/conditions.h"

namespace dunlin::op {
namespace {

using k8s::Json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr Timestamp kNow = FromUnixMillis(1'767'323'045'000);

Json Topic(const std::string& name = "orders") {
  Json topic = Json::parse(R"({"apiVersion": "dunlin.dev/v1alpha1", "kind": "Topic",
      "metadata": {"namespace": "shop", "generation": 2,
                   "creationTimestamp": "2026-01-02T03:04:05Z"},
      "spec": {"nameServiceRef": {"name": "names"}, "clusterName": "DefaultCluster"}})");
  topic["metadata"]["name"] = name;
  topic["metadata"]["uid"] = "uid-" + name;
  return topic;
}

k8s::Object Shared(Json json) { return std::make_shared<const Json>(std::move(json)); }

BrokerGroupSight Sight(const std::string& name, const std::string& master,
                       const std::string& ip = "") {
  Json group = {{"metadata", {{"namespace", "shop"}, {"name", name}}},
                {"spec", {{"clusterName", "DefaultCluster"}}}};
  return {.group = Shared(group), .master = master, .master_ip = ip};
}

Kept At(const std::string& group, const absl::Status& status = absl::OkStatus()) {
  return {.group = group,
          .found = {.exists = status.ok(), .differences = {}, .read_queues = 8, .clients = {"me"}},
          .status = status};
}

auto Is(const std::string& cluster, const std::string& group, const std::string& address,
        bool tls) {
  return AllOf(Field(&BrokerAt::cluster, cluster), Field(&BrokerAt::group, group),
               Field(&BrokerAt::address, address), Field(&BrokerAt::tls, tls));
}

// "True Kept: at broker groups a".
std::string Told(const Json& status, const std::string& type) {
  const Json* const found = k8s::FindCondition(status["conditions"], type);
  if (found == nullptr) return "";
  return fmt::format("{} {}: {}", k8s::StringAt(*found, {"status"}),
                     k8s::StringAt(*found, {"reason"}), k8s::StringAt(*found, {"message"}));
}

TEST(PlacementTest, AllGroupsOfTheClusterUnlessSomeAreNamed) {
  std::vector<BrokerGroupSight> sights = {Sight("b", "b-1", "10.0.0.2"), Sight("a", "a-0"),
                                          Sight("c", "")};
  Json other = *Sight("other", "x").group;
  other["spec"]["clusterName"] = "Other";
  sights.push_back({.group = Shared(other), .master = "x", .master_ip = ""});
  Json going = *Sight("going", "x").group;
  going["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z";
  sights.push_back({.group = Shared(going), .master = "x", .master_ip = ""});

  EXPECT_THAT(PlacementOf(Topic(), sights).brokers,
              ElementsAre(Is("DefaultCluster", "a", "a-master.shop.svc:8081", true),
                          Is("DefaultCluster", "b", "10.0.0.2:8081", true),
                          Is("DefaultCluster", "c", "", true)));
  Json topic = Topic();
  topic["spec"]["brokerGroups"] = {"b", "going", "nowhere"};
  const Placement placement = PlacementOf(topic, sights);
  EXPECT_THAT(placement.brokers, ElementsAre(Is("DefaultCluster", "b", "10.0.0.2:8081", true)));
  EXPECT_THAT(placement.missing, ElementsAre("going", "nowhere"));
}

TEST(PlacementTest, GroupsAreCalledByTheirBrokerName) {
  Json group = *Sight("a", "a-0").group;
  group["spec"]["brokerName"] = "orders-a";
  EXPECT_THAT(
      PlacementOf(Topic(), {{.group = Shared(group), .master = "a-0", .master_ip = "fd00::1"}})
          .brokers,
      ElementsAre(Is("DefaultCluster", "orders-a", "[fd00::1]:8081", true)));
}

TEST(PlacementTest, TlsIsSpokenUnlessItIsOff) {
  Json group = *Sight("a", "a-0").group;
  for (const std::string mode : {"Both", "Required", "Off"}) {
    group["spec"]["tls"]["mode"] = mode;
    const Placement placement =
        PlacementOf(Topic(), {{.group = Shared(group), .master = "a-0", .master_ip = "10.0.0.1"}});
    EXPECT_THAT(placement.brokers,
                ElementsAre(Is("DefaultCluster", "a", "10.0.0.1:8081", mode != "Off")));
  }
}

TEST(PlacementTest, WhoAsksIsAsTheGroupSays) {
  BrokerGroupSight signs = Sight("a", "a-0");
  signs.credentials = Credentials{"admin", "12345678"};
  BrokerGroupSight cannot = Sight("b", "b-0");
  cannot.credentials = absl::NotFoundError("there is no Secret root");
  const Placement placement = PlacementOf(Topic(), {signs, cannot, Sight("c", "c-0")});
  ASSERT_EQ(placement.brokers.size(), 3U);
  EXPECT_EQ(placement.brokers[0].credentials->access_key, "admin");
  EXPECT_TRUE(absl::IsNotFound(placement.brokers[1].credentials.status()));
  EXPECT_TRUE(placement.brokers[2].credentials->empty());
}

TEST(RivalTest, TheOldestKeepsIt) {
  const Json mine = Topic("mine");
  Json twin = Topic("a-twin");
  EXPECT_EQ(RivalOf(mine, {Shared(mine), Shared(twin)}), "");
  twin["spec"]["topicName"] = "mine";
  EXPECT_EQ(RivalOf(mine, {Shared(mine), Shared(twin)}), "a-twin");  // of the same second
  EXPECT_EQ(RivalOf(twin, {Shared(mine), Shared(twin)}), "");
  twin["metadata"]["creationTimestamp"] = "2026-01-02T03:04:06Z";
  EXPECT_EQ(RivalOf(mine, {Shared(mine), Shared(twin)}), "");
  EXPECT_EQ(RivalOf(twin, {Shared(mine), Shared(twin)}), "mine");
  // In another namespace of the cluster, or at other groups, it is another topic.
  twin["spec"]["namespace"] = "x";
  EXPECT_EQ(RivalOf(twin, {Shared(mine), Shared(twin)}), "");
  twin["spec"].erase("namespace");
  twin["spec"]["brokerGroups"] = {"a"};
  Json elsewhere = mine;
  elsewhere["spec"]["brokerGroups"] = {"b"};
  EXPECT_EQ(RivalOf(twin, {Shared(elsewhere), Shared(twin)}), "");
}

TEST(EventTest, WhatWasSoBeforeIsARepair) {
  Json topic = Topic();
  const Found gone;
  const Found changed{.exists = true, .differences = {"queues: 4, to be 8"}, .clients = {}};
  EXPECT_EQ(EventOf(topic, "a", gone).reason, "Created");
  EXPECT_EQ(EventOf(topic, "a", changed).reason, "Updated");
  ResourceOutcome outcome;
  outcome.kept = {At("a")};
  topic["status"] = StatusOfResource(topic, outcome, kNow);
  EXPECT_EQ(EventOf(topic, "a", gone).reason, "DriftRepaired");
  EXPECT_EQ(EventOf(topic, "a", changed).reason, "DriftRepaired");
  EXPECT_EQ(EventOf(topic, "a", changed).note, "orders at broker group a: queues: 4, to be 8");
  // A broker group that is new; another spec.
  EXPECT_EQ(EventOf(topic, "b", gone).reason, "Created");
  topic["metadata"]["generation"] = 3;
  EXPECT_EQ(EventOf(topic, "a", changed).reason, "Updated");
}

TEST(ResourceStatusTest, AllIsWell) {
  ResourceOutcome outcome;
  outcome.kept = {At("a"), At("b")};
  Json topic = Topic();
  topic["spec"]["namespace"] = "shop";
  const Json status = StatusOfResource(topic, outcome, kNow);
  EXPECT_EQ(Told(status, "Ready"), "True Kept: at broker groups a, b");
  EXPECT_EQ(Told(status, "Reconciling"), "False Nothing: ");
  EXPECT_EQ(Told(status, "Stalled"), "False Nothing: ");
  EXPECT_EQ(status["observedGeneration"], 2);
  EXPECT_EQ(status["topicName"], "shop/orders");
  EXPECT_EQ(status["brokerGroups"], Json({"a", "b"}));
  EXPECT_EQ(status["readQueues"], 8);

  topic["kind"] = "ConsumerGroup";
  const Json of_group = StatusOfResource(topic, outcome, kNow);
  EXPECT_EQ(of_group["groupName"], "shop/orders");
  EXPECT_EQ(of_group["clients"], 1);  // the same one at both
}

TEST(ResourceStatusTest, OfAUser) {
  ResourceOutcome outcome;
  outcome.kept = {At("a")};
  Json user = Topic("me");
  user["kind"] = "User";
  Json status = StatusOfResource(user, outcome, kNow);
  EXPECT_EQ(status["userName"], "me");
  EXPECT_EQ(status["secretName"], "me-credentials");
  EXPECT_EQ(status["brokerGroups"], Json({"a"}));
  EXPECT_FALSE(status.contains("readQueues") || status.contains("clients"));
  user["spec"]["userName"] = "me.myself";
  user["spec"]["credentials"]["secretName"] = "mine";
  status = StatusOfResource(user, outcome, kNow);
  EXPECT_EQ(status["userName"], "me.myself");
  EXPECT_EQ(status["secretName"], "mine");
}

TEST(ResourceStatusTest, WhatIsInTheWayBeforeAnybodyIsAsked) {
  ResourceOutcome outcome;
  outcome.obstacle = {.reason = "SecretMissing", .message = "make it"};
  EXPECT_EQ(Told(StatusOfResource(Topic(), outcome, kNow), "Stalled"),
            "True SecretMissing: make it");
  outcome.obstacle = {.reason = "MakingSecret", .message = "soon", .stalled = false};
  const Json status = StatusOfResource(Topic(), outcome, kNow);
  EXPECT_EQ(Told(status, "Reconciling"), "True MakingSecret: soon");
  EXPECT_EQ(Told(status, "Stalled"), "False Nothing: ");
}

// A Secret that has changed comes to members later.
TEST(ResourceStatusTest, WhoMayNotAskAsksAgain) {
  ResourceOutcome outcome;
  outcome.kept = {At("a", absl::UnauthenticatedError("the signature is wrong"))};
  EXPECT_EQ(Told(StatusOfResource(Topic(), outcome, kNow), "Reconciling"),
            "True NotAllowed: a: the signature is wrong; who asks is told by "
            "access.superUserSecretName of the BrokerGroup");
}

TEST(ResourceStatusTest, AMasterThatIsAwayIsWaitedFor) {
  ResourceOutcome outcome;
  outcome.kept = {At("a"), At("b")};
  Json topic = Topic();
  topic["status"] = StatusOfResource(topic, outcome, kNow);
  outcome.kept = {At("a"), At("b", absl::UnavailableError("no member is master"))};
  const Json status = StatusOfResource(topic, outcome, kNow);
  EXPECT_EQ(Told(status, "Ready"), "False Unreachable: b: no member is master");
  EXPECT_EQ(Told(status, "Reconciling"), "True Unreachable: b: no member is master");
  EXPECT_EQ(Told(status, "Stalled"), "False Nothing: ");
  EXPECT_EQ(status["brokerGroups"], Json({"a", "b"}));  // as far as anybody knows
}

TEST(ResourceStatusTest, ARefusalStallsItInTheBrokersWords) {
  ResourceOutcome outcome;
  outcome.kept = {At("a", absl::UnavailableError("away")),
                  At("b", absl::InvalidArgumentError("topic orders is compacted"))};
  const Json status = StatusOfResource(Topic(), outcome, kNow);
  EXPECT_EQ(Told(status, "Stalled"), "True Refused: b: topic orders is compacted; a: away");
  EXPECT_EQ(Told(status, "Reconciling"), "False Nothing: ");
  EXPECT_THAT(Told(status, "Ready"), HasSubstr("False Refused"));
  EXPECT_THAT(status["brokerGroups"], IsEmpty());

  outcome.kept = {At("a", absl::UnimplementedError("unknown method"))};
  EXPECT_THAT(Told(StatusOfResource(Topic(), outcome, kNow), "Stalled"),
              HasSubstr("True NotSupported"));
  // What is declined may be granted later.
  outcome.kept = {At("a", absl::FailedPreconditionError("there is no topic sessions"))};
  EXPECT_THAT(Told(StatusOfResource(Topic(), outcome, kNow), "Reconciling"),
              HasSubstr("True Declined"));
}

TEST(ResourceStatusTest, BrokerGroupsThatAreNotThereAreNamed) {
  ResourceOutcome outcome;
  EXPECT_THAT(Told(StatusOfResource(Topic(), outcome, kNow), "Reconciling"),
              HasSubstr("True NoBrokerGroups"));
  outcome.kept = {At("a")};
  outcome.missing = {"nowhere"};
  EXPECT_THAT(Told(StatusOfResource(Topic(), outcome, kNow), "Reconciling"),
              HasSubstr("True BrokerGroupMissing: nowhere: "));
}

TEST(ResourceStatusTest, WhatDoesNotGoSaysWhy) {
  Json topic = Topic();
  topic["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z";
  ResourceOutcome outcome;
  outcome.kept = {At("a", absl::UnavailableError("away"))};
  const Json status = StatusOfResource(topic, outcome, kNow);
  EXPECT_EQ(Told(status, "Ready"), "False Deleting: a: away");
  EXPECT_EQ(Told(status, "Reconciling"), "True Deleting: a: away");
}

}  // namespace
}  // namespace dunlin::op
