#include "operator/controller/cluster_resource_controller.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>
#include <string>
#include <utility>
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
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Masters in memory: what they have is the number of queues.
class FakeKeeper final : public Keeper {
 public:
  const k8s::ResourceType& Type() const override { return TopicType(); }
  absl::StatusOr<Obstacle> Prepare(const Json& /*resource*/) override { return prepared; }
  absl::StatusOr<Found> Look(const BrokerAt& at, const Json& resource) override {
    if (away.contains(at.address)) return absl::UnavailableError("nobody answers");
    asked_as[at.group] = at.credentials.ok() ? at.credentials->access_key : "nobody";
    return FoundAt(at, resource);
  }
  absl::StatusOr<Found> Create(const BrokerAt& at, const Json& resource) override {
    return Put("create", at, resource);
  }
  absl::StatusOr<Found> Update(const BrokerAt& at, const Json& resource) override {
    return Put("update", at, resource);
  }
  absl::Status Delete(const BrokerAt& at, const Json& /*resource*/) override {
    calls.push_back("delete " + at.group);
    if (away.contains(at.address)) return absl::UnavailableError("nobody answers");
    queues.erase(at.address);
    return absl::OkStatus();
  }
  std::vector<std::string> TakeCalls() { return std::exchange(calls, {}); }

  absl::StatusOr<Obstacle> prepared{Obstacle{}};
  absl::Status answer;
  bool obeys = true;
  std::set<std::string> away;             // addresses
  std::map<std::string, int64_t> queues;  // by address
  std::map<std::string, std::string> asked_as;
  std::vector<std::string> calls;

 private:
  Found FoundAt(const BrokerAt& at, const Json& resource) const {
    const auto there = queues.find(at.address);
    Found found;
    found.exists = there != queues.end();
    if (!found.exists) return found;
    found.read_queues = static_cast<int>(there->second);
    if (there->second != k8s::IntAt(resource, {"spec", "queues"})) {
      found.differences = {fmt::format("queues: {}", there->second)};
    }
    return found;
  }
  absl::StatusOr<Found> Put(const std::string& what, const BrokerAt& at, const Json& resource) {
    calls.push_back(what + " " + at.group);
    if (!answer.ok()) return answer;
    if (obeys) queues[at.address] = k8s::IntAt(resource, {"spec", "queues"});
    return FoundAt(at, resource);
  }
};

class ClusterResourceControllerTest : public ::testing::Test {
 protected:
  ClusterResourceControllerTest() {
    types_ = {BrokerGroupType(), LeaseType(), PodType(), SecretType(), TopicType()};
    for (const k8s::ResourceType& type : types_) caches_.Watch(type, "");
    for (const char* const name : {"a", "b"}) PutGroup(name);
    Json topic = k8s::NewObject(TopicType(), Orders());
    topic["metadata"]["generation"] = 1;
    topic["metadata"]["creationTimestamp"] = "2026-01-02T03:04:05Z";
    topic["spec"] = {{"nameServiceRef", {{"name", "names"}}}, {"queues", 8}};
    server_.Put(TopicType(), topic);
  }

  static k8s::ObjectKey Orders() { return {"shop", "orders"}; }
  // With its first pod as the master.
  void PutGroup(const std::string& name) {
    Json group = k8s::NewObject(BrokerGroupType(), {"shop", name});
    group["spec"] = {{"nameServiceRef", {{"name", "names"}}}};
    server_.Put(BrokerGroupType(), group);
    Json lease = k8s::NewObject(LeaseType(), {"shop", name + "-master"});
    lease["metadata"]["annotations"]["dunlin.dev/record"] =
        fmt::format(R"({{"epoch": 1, "master": "{0}-0", "inSync": ["{0}-0"]}})", name);
    lease["spec"] = {{"holderIdentity", name + "-0"}};
    server_.Put(LeaseType(), lease);
  }
  void Edit(const k8s::ResourceType& type, const k8s::ObjectKey& key, const Json& patch) {
    Json object = server_.Get(type, key);
    object.merge_patch(patch);
    if (patch.contains("spec")) object["metadata"]["generation"] = k8s::GenerationOf(object) + 1;
    server_.Put(type, object);
  }
  absl::StatusOr<milliseconds> Look(const k8s::ObjectKey& key = Orders()) {
    server_.Tell(caches_, types_);
    clock_.Advance(std::chrono::seconds(1));
    return controller_.Reconcile(key);
  }
  // "True Kept".
  std::string Told(const std::string& type, const k8s::ObjectKey& key = Orders()) {
    const Json topic = server_.Get(TopicType(), key);
    const Json* const conditions = k8s::Find(topic, {"status", "conditions"});
    const Json* const found =
        conditions == nullptr ? nullptr : k8s::FindCondition(*conditions, type);
    if (found == nullptr) return "";
    return fmt::format("{} {}", k8s::StringAt(*found, {"status"}),
                       k8s::StringAt(*found, {"reason"}));
  }
  std::vector<std::string> Writes() {
    std::vector<std::string> calls = server_.TakeCalls();
    std::erase(calls, "POST events");
    return calls;
  }
  bool HasFinalizer() {
    return k8s::HasFinalizer(server_.Get(TopicType(), Orders()), kDataFinalizer);
  }
  // As kubectl would.
  void Delete() {
    Edit(TopicType(), Orders(), {{"metadata", {{"deletionTimestamp", "2026-01-03T00:00:00Z"}}}});
  }

  ManualClock clock_;
  k8s::FakeLoop loop_;
  FakeApiServer server_;
  k8s::Client client_{server_, loop_};
  k8s::EventRecorder events_{client_, loop_, {"dunlin.dev/operator", "test"}};
  Caches caches_{{}};
  bool leads_ = true;
  Writer writer_{client_, events_, [this] { return leads_; }};
  FakeKeeper keeper_;
  std::vector<k8s::ResourceType> types_;
  ClusterResourceController controller_{{caches_, events_, writer_, keeper_, clock_}};
};

TEST_F(ClusterResourceControllerTest, IsMadeAtAllBrokerGroupsOnce) {
  EXPECT_THAT(Look(), IsOkAndHolds(milliseconds(60'000)));
  EXPECT_THAT(keeper_.TakeCalls(), ElementsAre("create a", "create b"));
  EXPECT_EQ(Told("Ready"), "True Kept");
  EXPECT_FALSE(HasFinalizer());  // what is in brokers stays
  EXPECT_THAT(Writes(), ElementsAre("PATCH topics/orders/status"));
  EXPECT_OK(Look());
  EXPECT_THAT(keeper_.TakeCalls(), IsEmpty());
  EXPECT_THAT(Writes(), IsEmpty());
}

TEST_F(ClusterResourceControllerTest, ChangesAndDriftAreCarriedToTheBrokers) {
  ASSERT_OK(Look());
  keeper_.TakeCalls();
  Edit(TopicType(), Orders(), {{"spec", {{"queues", 12}}}});
  ASSERT_OK(Look());
  EXPECT_THAT(keeper_.TakeCalls(), ElementsAre("update a", "update b"));
  keeper_.queues["b-master.shop.svc:8081"] = 3;
  ASSERT_OK(Look());
  EXPECT_THAT(keeper_.TakeCalls(), ElementsAre("update b"));
  EXPECT_EQ(keeper_.queues["b-master.shop.svc:8081"], 12);
  EXPECT_EQ(Told("Ready"), "True Kept");
}

TEST_F(ClusterResourceControllerTest, TheMasterIsAskedWhereItsPodIs) {
  Json pod = k8s::NewObject(PodType(), {"shop", "a-0"});
  pod["status"]["podIP"] = "10.1.2.3";
  server_.Put(PodType(), pod);
  ASSERT_OK(Look());
  EXPECT_TRUE(keeper_.queues.contains("10.1.2.3:8081"));
}

TEST_F(ClusterResourceControllerTest, WhoAsksIsInTheSecretThatTheGroupNames) {
  Edit(BrokerGroupType(), {"shop", "a"},
       {{"spec", {{"access", {{"enabled", true}, {"superUserSecretName", "root"}}}}}});
  ASSERT_OK(Look());
  EXPECT_EQ(keeper_.asked_as["a"], "nobody");
  EXPECT_EQ(keeper_.asked_as["b"], "");
  Json secret = k8s::NewObject(SecretType(), {"shop", "root"});
  secret["data"] = {{"accessKey", "YWRtaW4="}, {"secretKey", "MTIzNDU2Nzg="}};
  server_.Put(SecretType(), secret);
  ASSERT_OK(Look());
  EXPECT_EQ(keeper_.asked_as["a"], "admin");
  // While access control is turned off, some members still ask who it is.
  Edit(BrokerGroupType(), {"shop", "a"}, {{"spec", {{"access", {{"enabled", false}}}}}});
  ASSERT_OK(Look());
  EXPECT_EQ(keeper_.asked_as["a"], "admin");
}

TEST_F(ClusterResourceControllerTest, AMasterThatIsAwayIsWaitedForLessAndLessOften) {
  keeper_.away = {"b-master.shop.svc:8081"};
  EXPECT_THAT(Look(), IsOkAndHolds(milliseconds(1'000)));
  EXPECT_THAT(keeper_.TakeCalls(), ElementsAre("create a"));
  EXPECT_EQ(Told("Reconciling"), "True Unreachable");
  EXPECT_THAT(Look(), IsOkAndHolds(milliseconds(2'000)));
  EXPECT_THAT(Look(), IsOkAndHolds(milliseconds(4'000)));
  for (int i = 0; i < 10; ++i) ASSERT_OK(Look());
  EXPECT_THAT(Look(), IsOkAndHolds(milliseconds(60'000)));
  EXPECT_THAT(keeper_.TakeCalls(), IsEmpty());
  keeper_.away.clear();
  ASSERT_OK(Look());
  EXPECT_THAT(keeper_.TakeCalls(), ElementsAre("create b"));
  EXPECT_EQ(Told("Ready"), "True Kept");
}

TEST_F(ClusterResourceControllerTest, WithoutAMasterNobodyIsAsked) {
  Edit(LeaseType(), {"shop", "b-master"}, {{"spec", {{"holderIdentity", ""}}}});
  ASSERT_OK(Look());
  EXPECT_THAT(keeper_.TakeCalls(), ElementsAre("create a"));
  EXPECT_EQ(Told("Reconciling"), "True Unreachable");
}

TEST_F(ClusterResourceControllerTest, ARefusalIsToldAndTriedAgainLater) {
  keeper_.answer = absl::InvalidArgumentError("it stays compacted");
  EXPECT_THAT(Look(), IsOkAndHolds(milliseconds(1'000)));
  EXPECT_EQ(Told("Stalled"), "True Refused");
  keeper_.answer = absl::OkStatus();
  ASSERT_OK(Look());
  EXPECT_EQ(Told("Stalled"), "False Nothing");
}

TEST_F(ClusterResourceControllerTest, ABrokerThatSaysYesAndDoesOtherwiseIsNoSuccess) {
  ASSERT_OK(Look());
  keeper_.obeys = false;
  Edit(TopicType(), Orders(), {{"spec", {{"queues", 12}}}});
  ASSERT_OK(Look());
  EXPECT_EQ(Told("Stalled"), "True Refused");
}

TEST_F(ClusterResourceControllerTest, WhatIsInBrokersStaysUnlessToldOtherwise) {
  ASSERT_OK(Look());
  keeper_.TakeCalls();
  Delete();
  EXPECT_THAT(Look(), IsOkAndHolds(milliseconds(0)));
  EXPECT_THAT(keeper_.TakeCalls(), IsEmpty());
}

TEST_F(ClusterResourceControllerTest, WithDeleteItGoesEverywhereBeforeTheResourceDoes) {
  Edit(TopicType(), Orders(), {{"spec", {{"deletionPolicy", "Delete"}}}});
  ASSERT_OK(Look());
  EXPECT_TRUE(HasFinalizer());
  keeper_.TakeCalls();
  Delete();
  keeper_.away = {"b-master.shop.svc:8081"};
  EXPECT_THAT(Look(), IsOkAndHolds(milliseconds(1'000)));
  EXPECT_THAT(keeper_.TakeCalls(), ElementsAre("delete a", "delete b"));
  EXPECT_TRUE(HasFinalizer());
  EXPECT_EQ(Told("Reconciling"), "True Deleting");
  keeper_.away.clear();
  EXPECT_THAT(Look(), IsOkAndHolds(milliseconds(0)));
  EXPECT_THAT(keeper_.queues, IsEmpty());
  EXPECT_FALSE(HasFinalizer());
}

TEST_F(ClusterResourceControllerTest, ItsBrokerGroupsMayBeGoneBefore) {
  Edit(TopicType(), Orders(), {{"spec", {{"deletionPolicy", "Delete"}}}});
  ASSERT_OK(Look());
  for (const char* const name : {"a", "b"}) server_.Remove(BrokerGroupType(), {"shop", name});
  Delete();
  EXPECT_THAT(Look(), IsOkAndHolds(milliseconds(0)));
  EXPECT_FALSE(HasFinalizer());
}

TEST_F(ClusterResourceControllerTest, ThePolicyMayChange) {
  Edit(TopicType(), Orders(), {{"spec", {{"deletionPolicy", "Delete"}}}});
  ASSERT_OK(Look());
  EXPECT_TRUE(HasFinalizer());
  Edit(TopicType(), Orders(), {{"spec", {{"deletionPolicy", "Retain"}}}});
  ASSERT_OK(Look());
  EXPECT_FALSE(HasFinalizer());
}

TEST_F(ClusterResourceControllerTest, OfTwoForTheSameTopicTheOlderKeepsIt) {
  const k8s::ObjectKey twin{"shop", "twin"};
  Json topic = k8s::NewObject(TopicType(), twin);
  topic["metadata"]["creationTimestamp"] = "2026-01-02T03:04:06Z";
  topic["spec"] = {{"nameServiceRef", {{"name", "names"}}},
                   {"topicName", "orders"},
                   {"queues", 3},
                   {"deletionPolicy", "Delete"}};
  server_.Put(TopicType(), topic);
  ASSERT_OK(Look());
  keeper_.TakeCalls();
  ASSERT_OK(Look(twin));
  EXPECT_EQ(Told("Stalled", twin), "True KeptByAnother");
  // Nor does it take away what is not its own.
  Edit(TopicType(), twin, {{"metadata", {{"deletionTimestamp", "2026-01-03T00:00:00Z"}}}});
  EXPECT_THAT(Look(twin), IsOkAndHolds(milliseconds(0)));
  EXPECT_THAT(keeper_.TakeCalls(), IsEmpty());
  EXPECT_FALSE(k8s::HasFinalizer(server_.Get(TopicType(), twin), kDataFinalizer));
}

TEST_F(ClusterResourceControllerTest, WhatTheYoungerClaimsStaysWhenTheOlderGoes) {
  Edit(TopicType(), Orders(), {{"spec", {{"deletionPolicy", "Delete"}}}});
  ASSERT_OK(Look());
  const k8s::ObjectKey heir{"shop", "heir"};
  Json topic = k8s::NewObject(TopicType(), heir);
  topic["metadata"]["creationTimestamp"] = "2026-01-02T03:04:06Z";
  topic["spec"] = {{"nameServiceRef", {{"name", "names"}}},
                   {"topicName", "orders"},
                   {"brokerGroups", {"b"}},
                   {"queues", 3}};
  server_.Put(TopicType(), topic);
  keeper_.TakeCalls();
  Delete();
  EXPECT_THAT(Look(), IsOkAndHolds(milliseconds(0)));
  EXPECT_THAT(keeper_.TakeCalls(), ElementsAre("delete a"));
  EXPECT_FALSE(HasFinalizer());
}

TEST_F(ClusterResourceControllerTest, WhatIsNoValidSpecAnyMoreIsDeletedAllTheSame) {
  Edit(TopicType(), Orders(), {{"spec", {{"deletionPolicy", "Delete"}}}});
  ASSERT_OK(Look());
  keeper_.prepared = Obstacle{.reason = "InvalidSpec", .message = "spec.retention: no"};
  keeper_.TakeCalls();
  Delete();
  EXPECT_THAT(Look(), IsOkAndHolds(milliseconds(0)));
  EXPECT_THAT(keeper_.TakeCalls(), ElementsAre("delete a", "delete b"));
}

TEST_F(ClusterResourceControllerTest, ASpecThatNobodyCanKeepAsksNobody) {
  keeper_.prepared = Obstacle{.reason = "InvalidSpec", .message = "spec.retention: no"};
  ASSERT_OK(Look());
  EXPECT_EQ(Told("Stalled"), "True InvalidSpec");
  EXPECT_THAT(keeper_.TakeCalls(), IsEmpty());
}

TEST_F(ClusterResourceControllerTest, WhatCannotBePreparedIsTriedAgain) {
  keeper_.prepared = absl::UnavailableError("the API server is away");
  EXPECT_THAT(Look(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(keeper_.TakeCalls(), IsEmpty());
  keeper_.prepared =
      Obstacle{.reason = "MakingSecret", .message = "Secret x is made", .stalled = false};
  EXPECT_THAT(Look(), IsOkAndHolds(milliseconds(1'000)));
  EXPECT_EQ(Told("Reconciling"), "True MakingSecret");
}

TEST_F(ClusterResourceControllerTest, WhoDoesNotLeadChangesNothing) {
  leads_ = false;
  EXPECT_THAT(Look(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(keeper_.TakeCalls(), IsEmpty());
  EXPECT_THAT(keeper_.queues, IsEmpty());
}

}  // namespace
}  // namespace dunlin::op
