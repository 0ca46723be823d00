#include "operator/planner/coordination.h"

#include <gmock/gmock.h>

namespace dunlin::op {
namespace {

using k8s::Json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

Json Lease(const std::string& record, const std::string& holder) {
  Json lease = {{"metadata", {{"name", "orders-master"}, {"annotations", Json::object()}}}};
  if (!record.empty()) lease["metadata"]["annotations"]["dunlin.dev/record"] = record;
  if (!holder.empty()) lease["spec"]["holderIdentity"] = holder;
  return lease;
}

constexpr char kRecord[] =
    R"({"epoch": 7, "master": "orders-1", "inSync": ["orders-1", "orders-2"], "preferred": ""})";

TEST(CoordinationTest, WhoHoldsTheLeaseIsMaster) {
  const auto read = CoordinationOf(Lease(kRecord, "orders-1"));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->epoch, 7);
  EXPECT_EQ(read->master, "orders-1");
  EXPECT_THAT(read->in_sync, ElementsAre("orders-1", "orders-2"));
}

TEST(CoordinationTest, TheRecordSaysWhoTheMembersAre) {
  EXPECT_THAT(CoordinationOf(Lease(kRecord, "orders-1"))->members, IsEmpty());
  const auto read =
      CoordinationOf(Lease(R"({"epoch": 7, "master": "a", "inSync": ["a"], "members": [
      {"name": "a", "address": "a:1", "learner": false, "joining": false, "id": 1},
      {"name": "b", "address": "b:1", "learner": true, "joining": true},
      {"name": "c", "address": "c:1", "learner": true}], "lastMemberId": 3})",
                           "a"));
  ASSERT_TRUE(read.has_value());
  EXPECT_THAT(read->members, ElementsAre(Pair("a", Seat::kVoter), Pair("b", Seat::kJoining),
                                         Pair("c", Seat::kLearner)));
}

TEST(CoordinationTest, WithoutAHolderThereIsNoMasterButWhoIsInSyncIsKnown) {
  const auto read = CoordinationOf(Lease(kRecord, ""));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->master, "");
  EXPECT_THAT(read->in_sync, ElementsAre("orders-1", "orders-2"));
}

TEST(CoordinationTest, ANewGroupHasHadNobody) {
  const auto read = CoordinationOf(Lease("", ""));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->epoch, 0);
  EXPECT_THAT(read->in_sync, IsEmpty());
}

TEST(CoordinationTest, WhatCannotBeReadIsNotGuessed) {
  EXPECT_FALSE(CoordinationOf(Lease("{", "a")).has_value());
  EXPECT_FALSE(CoordinationOf(Lease("[]", "a")).has_value());
  EXPECT_FALSE(CoordinationOf(Lease(R"({"epoch": 1, "inSync": [3]})", "a")).has_value());
  EXPECT_FALSE(CoordinationOf(Lease(R"({"epoch": 1, "members": ["a"]})", "a")).has_value());
}

}  // namespace
}  // namespace dunlin::op
