#include "operator/controller/concern.h"

#include <gmock/gmock.h>

#include <memory>

#include "operator/planner/resource_types.h"

namespace dunlin::op {
namespace {

using k8s::Json;

k8s::Object Shared(Json json) { return std::make_shared<const Json>(std::move(json)); }

Json Group() {
  return Json::parse(R"({"metadata": {"namespace": "shop", "name": "orders", "uid": "u",
      "generation": 2, "annotations": {"a": "b"}}, "status": {"phase": "Healthy"}})");
}
Json Child(const std::string& name) {
  Json child = {{"metadata", {{"namespace", "shop"}, {"name", name}}}};
  child["metadata"]["labels"]["dunlin.dev/group"] = "orders";
  return child;
}

k8s::ObjectKey Orders() { return {"shop", "orders"}; }

TEST(ConcernTest, OfASecretOnlyWhatSignsIsKept) {
  Json secret = Json::parse(R"({"metadata": {"namespace": "shop", "name": "s", "uid": "u",
      "resourceVersion": "7", "ownerReferences": [{"uid": "o"}], "annotations": {"a": "b"}},
      "type": "Opaque", "data": {"accessKey": "YQ==", "secretKey": "Yg==", "password": "Yw=="}})");
  TrimSecret(secret);
  EXPECT_EQ(secret, Json::parse(R"({"metadata": {"namespace": "shop", "name": "s", "uid": "u",
      "resourceVersion": "7", "ownerReferences": [{"uid": "o"}]},
      "data": {"accessKey": "YQ==", "secretKey": "Yg=="}})"));
}

TEST(ConcernTest, AGroupsOwnStatusIsNoNews) {
  Json after = Group();
  after["status"]["phase"] = "Degraded";
  EXPECT_EQ(GroupConcernedBy(BrokerGroupType(), {Shared(Group()), Shared(after)}), std::nullopt);
  after["metadata"]["generation"] = 3;
  EXPECT_EQ(GroupConcernedBy(BrokerGroupType(), {Shared(Group()), Shared(after)}), Orders());
  after = Group();
  after["metadata"]["annotations"]["dunlin.dev/switchover-to"] = "any";
  EXPECT_EQ(GroupConcernedBy(BrokerGroupType(), {Shared(Group()), Shared(after)}), Orders());
  after = Group();
  after["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  EXPECT_EQ(GroupConcernedBy(BrokerGroupType(), {Shared(Group()), Shared(after)}), Orders());
  EXPECT_EQ(GroupConcernedBy(BrokerGroupType(), {Shared(Group()), nullptr}), Orders());
  EXPECT_EQ(GroupConcernedBy(BrokerGroupType(), {nullptr, Shared(Group())}), Orders());
}

TEST(ConcernTest, OfNodesItCountsWhetherTheyAreToBeEmptied) {
  Json node = Json::parse(R"({"metadata": {"name": "n", "uid": "u", "resourceVersion": "7",
      "labels": {"a": "b"}}, "spec": {"podCIDR": "10.0.0.0/24"}, "status": {"images": [1, 2]}})");
  Json cordoned = node;
  cordoned["spec"]["unschedulable"] = true;
  EXPECT_FALSE(ConcernsItsPods({nullptr, Shared(node)}));
  EXPECT_FALSE(ConcernsItsPods({Shared(node), Shared(node)}));
  EXPECT_TRUE(ConcernsItsPods({nullptr, Shared(cordoned)}));
  EXPECT_TRUE(ConcernsItsPods({Shared(node), Shared(cordoned)}));
  EXPECT_TRUE(ConcernsItsPods({Shared(cordoned), Shared(node)}));
  EXPECT_FALSE(ConcernsItsPods({Shared(cordoned), Shared(cordoned)}));
  EXPECT_TRUE(ConcernsItsPods({Shared(cordoned), nullptr}));
  TrimNode(cordoned);
  EXPECT_EQ(cordoned, Json::parse(R"({"metadata": {"name": "n", "uid": "u", "resourceVersion": "7"},
                                      "spec": {"unschedulable": true}})"));
}

TEST(ConcernTest, ChildrenConcernTheGroupOfTheirLabel) {
  EXPECT_EQ(GroupConcernedBy(PodType(), {nullptr, Shared(Child("orders-0"))}), Orders());
  EXPECT_EQ(GroupConcernedBy(PodType(), {Shared(Child("orders-0")), nullptr}), Orders());
  Json stranger = Child("orders-0");
  stranger["metadata"].erase("labels");
  EXPECT_EQ(GroupConcernedBy(PodType(), {nullptr, Shared(stranger)}), std::nullopt);
}

TEST(ConcernTest, RenewalsOfALeaseAreNoNews) {
  Json before = Child("orders-master");
  before["metadata"]["annotations"]["dunlin.dev/record"] =
      R"({"epoch": 1, "master": "orders-0", "inSync": ["orders-0"]})";
  before["spec"] = {{"holderIdentity", "orders-0"}, {"renewTime", "1"}};
  Json after = before;
  after["spec"]["renewTime"] = "2";
  after["metadata"]["annotations"]["dunlin.dev/writes"] = "9";
  EXPECT_EQ(GroupConcernedBy(LeaseType(), {Shared(before), Shared(after)}), std::nullopt);
  after["spec"]["holderIdentity"] = "";
  EXPECT_EQ(GroupConcernedBy(LeaseType(), {Shared(before), Shared(after)}), Orders());
}

TEST(ConcernTest, WhatBrokersKeepIsLookedAtWhenThereIsAnotherMaster) {
  Json before = Child("orders-master");
  before["metadata"]["annotations"]["dunlin.dev/record"] =
      R"({"epoch": 1, "master": "orders-0", "inSync": ["orders-0"]})";
  before["spec"] = {{"holderIdentity", "orders-0"}};
  Json after = before;
  after["metadata"]["annotations"]["dunlin.dev/record"] =
      R"({"epoch": 1, "master": "orders-0", "inSync": ["orders-0", "orders-1"]})";
  EXPECT_FALSE(ConcernsWhatBrokersKeep(LeaseType(), {Shared(before), Shared(after)}));
  after["metadata"]["annotations"]["dunlin.dev/record"] =
      R"({"epoch": 2, "master": "orders-1", "inSync": ["orders-1"]})";
  EXPECT_TRUE(ConcernsWhatBrokersKeep(LeaseType(), {Shared(before), Shared(after)}));
  after = before;
  after["spec"]["holderIdentity"] = "";
  EXPECT_TRUE(ConcernsWhatBrokersKeep(LeaseType(), {Shared(before), Shared(after)}));

  after = Group();
  after["status"]["phase"] = "Degraded";
  EXPECT_FALSE(ConcernsWhatBrokersKeep(BrokerGroupType(), {Shared(Group()), Shared(after)}));
  // With coordinators other than Kubernetes this is where it is told.
  after["status"]["master"] = "orders-1";
  EXPECT_TRUE(ConcernsWhatBrokersKeep(BrokerGroupType(), {Shared(Group()), Shared(after)}));
  EXPECT_TRUE(ConcernsWhatBrokersKeep(BrokerGroupType(), {nullptr, Shared(after)}));
  EXPECT_TRUE(ConcernsWhatBrokersKeep(BrokerGroupType(), {Shared(after), nullptr}));
  EXPECT_FALSE(ConcernsWhatBrokersKeep(PodType(), {nullptr, Shared(Child("orders-0"))}));
}

TEST(ConcernTest, AResourceThatBrokersKeepConcernsItself) {
  Json after = Group();
  EXPECT_EQ(ResourceConcernedBy(TopicType(), TopicType(), {nullptr, Shared(after)}), Orders());
  after["status"]["readQueues"] = 4;
  EXPECT_EQ(ResourceConcernedBy(TopicType(), TopicType(), {Shared(Group()), Shared(after)}),
            std::nullopt);
  EXPECT_EQ(ResourceConcernedBy(TopicType(), PodType(), {nullptr, Shared(Child("orders-0"))}),
            std::nullopt);
}

TEST(ConcernTest, OfANameServiceGroupsUseTheReplicas) {
  const Json before = {{"spec", {{"replicas", 2}}}};
  Json after = before;
  after["status"] = {{"phase", "Healthy"}};
  EXPECT_FALSE(ConcernsItsGroups({Shared(before), Shared(after)}));
  after["spec"]["replicas"] = 3;
  EXPECT_TRUE(ConcernsItsGroups({Shared(before), Shared(after)}));
  EXPECT_TRUE(ConcernsItsGroups({nullptr, Shared(after)}));
}

}  // namespace
}  // namespace dunlin::op
