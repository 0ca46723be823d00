#include "clients/cli/cluster_consumer_groups.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <string>

#include "clients/cli/cluster.h"
#include "clients/cli/testing/fake_cluster.h"
#include "clients/cli/testing/fake_resources.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"

namespace dunlin::cli {
namespace {

using admin::v1::Group;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

grpc::Status Gone() { return {grpc::StatusCode::UNAVAILABLE, "gone away"}; }
grpc::Status Wrong() { return {grpc::StatusCode::INVALID_ARGUMENT, "not so"}; }

class ClusterConsumerGroupsTest : public ClusterTest<FakeResources> {
 protected:
  ClusterConsumerGroupsTest() { group_.set_name("g"); }

  int Create() {
    return Run([&] { return CreateGroupEverywhere(*connection_, group_, [](const Group&) {}); });
  }
  // Of `group_`.
  int Update() {
    return Run([&] { return UpdateGroupEverywhere(*connection_, group_, [](const Group&) {}); });
  }
  int Delete() {
    return Run([&] { return DeleteGroupEverywhere(*connection_, "g"); });
  }
  Group& At(const std::string& broker) { return brokers_[broker].groups["g"]; }
  // As brokers show a group of which nothing was said.
  void GiveAll() {
    for (const char* broker : {"a", "b", "c"}) {
      Group& group = At(broker);
      group.set_name("g");
      group.set_max_attempts(17);
      group.add_retry_delays_ms(1000);
      group.set_description("");
      group.set_delivery_order(admin::v1::CONCURRENT);
      group.set_priority_factor(100);
      group.mutable_start()->set_first(true);
      group.set_paused(false);
      group.mutable_rate()->set_messages_per_second(0);
      group.mutable_rate()->set_bytes_per_second(0);
      group.set_max_in_flight(0);
    }
  }
  // The last one that came to broker a.
  const Group& LastUpdate() { return brokers_["a"].group_updates.back(); }

  Group group_;
};

TEST_F(ClusterConsumerGroupsTest, AGroupIsMadeAtAllOrAtNone) {
  brokers_["c"].create_fails = Wrong();
  EXPECT_EQ(Create(), kRefused);
  for (const auto& [name, broker] : brokers_) EXPECT_TRUE(broker.groups.empty()) << name;
  EXPECT_THAT(said_, HasSubstr("what was made at other groups was taken back"));
  brokers_["a"].delete_fails = Gone();
  EXPECT_EQ(Create(), kRefused);
  EXPECT_THAT(said_, HasSubstr("BROKER GROUP  CONSUMER GROUP"));
  EXPECT_THAT(said_,
              HasSubstr("dunlinctl --endpoint " + EndpointOf("a") + " group delete g --yes\n"));
  brokers_["a"].delete_fails = brokers_["c"].create_fails = grpc::Status::OK;
  EXPECT_EQ(Create(), kRefused);
  EXPECT_THAT(said_, HasSubstr("broker group a has consumer group g already; --broker names the "
                               "groups that are to get it, `group update` changes it"));
  EXPECT_EQ(Delete(), kOk);
  EXPECT_EQ(Create(), kOk);
  EXPECT_EQ(said_, "at broker groups: a, b, c\n");
  for (const auto& [name, broker] : brokers_) EXPECT_TRUE(broker.groups.contains("g")) << name;
}

TEST_F(ClusterConsumerGroupsTest, AChangeIsMadeAtAllThatHaveIt) {
  GiveAll();
  brokers_["b"].groups.clear();
  group_.set_max_attempts(3);
  EXPECT_EQ(Update(), kOk);
  EXPECT_EQ(said_, "at broker groups: a, c\n");
  EXPECT_EQ(At("a").max_attempts(), 3u);
  EXPECT_EQ(At("c").max_attempts(), 3u);
  EXPECT_THAT(brokers_["b"].groups, IsEmpty());
}

TEST_F(ClusterConsumerGroupsTest, WhenOneRefusesAChangeTheOthersGetBackWhatWasChanged) {
  GiveAll();
  brokers_["b"].update_fails = Wrong();
  group_.set_max_attempts(3);
  group_.set_description("new");
  group_.set_max_in_flight(9);
  group_.mutable_start()->set_last(true);
  group_.mutable_rate()->set_bytes_per_second(7);
  EXPECT_EQ(Update(), kRefused);
  EXPECT_THAT(said_, HasSubstr("all of them are as they were\n"));
  Group back;
  back.set_name("g");
  back.set_max_attempts(17);
  back.set_description("");
  back.set_max_in_flight(0);
  back.mutable_start()->set_first(true);
  back.mutable_rate()->set_bytes_per_second(0);
  EXPECT_EQ(LastUpdate().DebugString(), back.DebugString());
}

TEST_F(ClusterConsumerGroupsTest, OnePolicyOfRetriesTakesThePlaceOfAnother) {
  GiveAll();
  brokers_["b"].update_fails = Wrong();
  group_.mutable_exponential()->set_initial_ms(5);
  EXPECT_EQ(Update(), kRefused);
  EXPECT_FALSE(LastUpdate().has_exponential());
  EXPECT_THAT(LastUpdate().retry_delays_ms(), ElementsAre(1000));
}

TEST_F(ClusterConsumerGroupsTest, APauseThatIsNotMadeEverywhereIsTakenBack) {
  GiveAll();
  brokers_["b"].update_fails = Gone();
  group_.set_paused(true);
  EXPECT_EQ(Update(), kUnreachable);
  EXPECT_FALSE(At("a").paused());
  EXPECT_THAT(said_, HasSubstr("may be changed: gone away  dunlinctl --endpoint " +
                               EndpointOf("b") + " group resume g\n"));
}

TEST_F(ClusterConsumerGroupsTest, WhatItIsBoundToIsForGood) {
  GiveAll();
  At("c").set_lite_bind_topic("sessions");
  group_.set_lite_bind_topic("others");
  EXPECT_EQ(Update(), kRefused);
  EXPECT_THAT(said_, HasSubstr("consumer group g of broker group c is bound to topic sessions for "
                               "good; --broker"));
  EXPECT_THAT(brokers_["a"].group_updates, IsEmpty());
  group_.set_lite_bind_topic("sessions");
  brokers_["b"].update_fails = Wrong();
  EXPECT_EQ(Update(), kRefused);
  EXPECT_THAT(said_, HasSubstr("is changed: it is bound to topic sessions for good  the same "
                               "command"));
  EXPECT_THAT(brokers_["a"].group_updates, SizeIs(1));
}

TEST_F(ClusterConsumerGroupsTest, WhatIsNotDeletedIsTold) {
  GiveAll();
  brokers_["b"].delete_fails = Wrong();
  EXPECT_EQ(Delete(), kRefused);
  EXPECT_THAT(brokers_["c"].groups, IsEmpty());
  EXPECT_THAT(said_, HasSubstr("is there: not so  dunlinctl --endpoint " + EndpointOf("b") +
                               " group delete g --yes\n"));
  brokers_["b"].delete_fails = grpc::Status::OK;
  EXPECT_EQ(Delete(), kOk);
  EXPECT_EQ(Delete(), kNotFound);
  EXPECT_THAT(said_, HasSubstr("no broker of the cluster has consumer group g\n"));
}

}  // namespace
}  // namespace dunlin::cli
