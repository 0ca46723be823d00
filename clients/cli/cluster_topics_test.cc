#include "clients/cli/cluster_topics.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "clients/cli/cluster.h"
#include "clients/cli/testing/fake_cluster.h"
#include "clients/cli/testing/fake_resources.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"

namespace dunlin::cli {
namespace {

using admin::v1::Topic;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

grpc::Status Full() { return {grpc::StatusCode::RESOURCE_EXHAUSTED, "no room"}; }
grpc::Status Gone() { return {grpc::StatusCode::UNAVAILABLE, "gone away"}; }
grpc::Status Wrong() { return {grpc::StatusCode::INVALID_ARGUMENT, "not so"}; }

class ClusterTopicsTest : public ClusterTest<FakeResources> {
 protected:
  ClusterTopicsTest() { topic_.set_name("t"); }

  int Create() {
    return Run([&] { return CreateTopicEverywhere(*connection_, topic_, Shown()); });
  }
  // Of `topic_`.
  int Update() {
    return Run([&] { return UpdateTopicEverywhere(*connection_, topic_, Shown()); });
  }
  int Delete() {
    return Run([&] { return DeleteTopicEverywhere(*connection_, "t"); });
  }
  using Do = int (ClusterTopicsTest::*)();
  static std::vector<Do> AllCommands() {
    return {&ClusterTopicsTest::Create, &ClusterTopicsTest::Update, &ClusterTopicsTest::Delete};
  }
  // With so many queues.
  void Give(const std::string& broker, uint32_t queues) {
    Topic& topic = brokers_[broker].topics["t"];
    topic.set_name("t");
    topic.set_queues(queues);
    topic.add_kinds(admin::v1::NORMAL);
  }
  void GiveAll() {
    Give("a", 1);
    Give("b", 2);
    Give("c", 3);
  }
  uint32_t QueuesAt(const std::string& broker) { return brokers_[broker].topics.at("t").queues(); }
  ShowTopic Shown() {
    return [this](const Topic& topic) { shown_.push_back(topic); };
  }

  Topic topic_;
  std::vector<Topic> shown_;
};

TEST_F(ClusterTopicsTest, ATopicIsMadeAtAll) {
  EXPECT_EQ(Create(), kOk);
  for (const auto& [name, broker] : brokers_) EXPECT_TRUE(broker.topics.contains("t")) << name;
  EXPECT_THAT(said_, HasSubstr("a, b, c"));
}

TEST_F(ClusterTopicsTest, WhenOneRefusesTheOthersLoseIt) {
  brokers_["c"].create_fails = Full();
  EXPECT_EQ(Create(), kRefused);
  for (const auto& [name, broker] : brokers_) EXPECT_TRUE(broker.topics.empty()) << name;
  EXPECT_THAT(said_, HasSubstr("broker group c did not make it"));
  EXPECT_THAT(said_, HasSubstr("no room"));
}

TEST_F(ClusterTopicsTest, WhatMayHaveBeenMadeIsTakenBackToo) {
  brokers_["b"].create_fails = Gone();
  brokers_["b"].stores_all_the_same = true;
  EXPECT_EQ(Create(), kUnreachable);
  for (const auto& [name, broker] : brokers_) EXPECT_TRUE(broker.topics.empty()) << name;
}

TEST_F(ClusterTopicsTest, WhatCannotBeTakenBackIsToldGroupByGroup) {
  brokers_["c"].create_fails = Full();
  brokers_["a"].delete_fails = Gone();
  EXPECT_EQ(Create(), kRefused);
  EXPECT_TRUE(brokers_["a"].topics.contains("t"));
  EXPECT_TRUE(brokers_["b"].topics.empty());
  EXPECT_THAT(said_, HasSubstr("not all of it could be taken back"));
  EXPECT_THAT(said_, HasSubstr("may be there: gone away  dunlinctl --endpoint " + EndpointOf("a") +
                               " topic delete t --yes\n"));
  EXPECT_THAT(said_, HasSubstr("b             there is none            -\n"));
  EXPECT_THAT(said_, Not(HasSubstr(EndpointOf("b"))));
}

TEST_F(ClusterTopicsTest, NothingIsMadeWhereOneHasItAlready) {
  Give("b", 1);
  EXPECT_EQ(Create(), kRefused);
  EXPECT_TRUE(brokers_["a"].topics.empty());
  EXPECT_THAT(said_, HasSubstr("broker group b has topic t already"));
}

TEST_F(ClusterTopicsTest, NothingIsDoneWhenOneDoesNotAnswer) {
  GiveAll();
  brokers_["c"].get_fails = Gone();
  topic_.set_queues(8);
  for (const Do command : AllCommands()) {
    EXPECT_EQ((this->*command)(), kUnreachable);
    EXPECT_THAT(said_, HasSubstr("broker group c does not tell whether it has topic t; --broker "
                                 "leaves it out. Nothing was done\n"));
    EXPECT_THAT(said_, HasSubstr("no answer from " + EndpointOf("c")));
  }
  for (const char* broker : {"a", "b"}) {
    EXPECT_THAT(brokers_[broker].topic_updates, IsEmpty());
    EXPECT_THAT(brokers_[broker].topics, SizeIs(1));
  }
}

TEST_F(ClusterTopicsTest, NothingIsDoneWhenOneHasGoneNotLongAgo) {
  GiveAll();
  names_.ports["c"] = 0;
  topic_.set_queues(8);
  for (const Do command : AllCommands()) {
    EXPECT_EQ((this->*command)(), kUnreachable);
    EXPECT_THAT(said_, HasSubstr("broker group c has no master now"));
    EXPECT_THAT(said_, HasSubstr("Nothing was done"));
  }
  options_.brokers = {"a", "b"};
  Connect();
  EXPECT_EQ(Update(), kOk);
  EXPECT_THAT(said_, HasSubstr("at broker groups: a, b\n"));
  EXPECT_EQ(QueuesAt("c"), 3u);
}

TEST_F(ClusterTopicsTest, NothingIsDoneWhenOneIsAwaited) {
  GiveAll();
  names_.awaited = "b";
  topic_.set_queues(8);
  EXPECT_EQ(Update(), kOk) << "it is there";
  names_.awaited = "d";
  EXPECT_EQ(Update(), kUnreachable);
  EXPECT_THAT(said_, HasSubstr("broker group d has no master now"));
}

TEST_F(ClusterTopicsTest, AChangeIsMadeAtAllThatHaveIt) {
  Give("a", 1);
  Give("c", 1);
  topic_.set_queues(8);
  EXPECT_EQ(Update(), kOk);
  EXPECT_EQ(QueuesAt("a"), 8u);
  EXPECT_EQ(QueuesAt("c"), 8u);
  EXPECT_TRUE(brokers_["b"].topics.empty());
  EXPECT_EQ(said_, "at broker groups: a, c\n");
  ASSERT_THAT(shown_, SizeIs(1));
  EXPECT_EQ(shown_[0].queues(), 8u);
  EXPECT_EQ(Update(), kOk) << "once more";
}

TEST_F(ClusterTopicsTest, OtherSettingsThatDifferAreTold) {
  GiveAll();
  topic_.set_description("new");
  EXPECT_EQ(Update(), kOk);
  EXPECT_EQ(QueuesAt("c"), 3u);
  EXPECT_THAT(said_, HasSubstr("topic t is not the same at all broker groups: `topic describe t` "
                               "shows each\n"));
}

TEST_F(ClusterTopicsTest, WhatIsNowhereIsNotChanged) {
  EXPECT_EQ(Update(), kNotFound);
  EXPECT_THAT(said_, HasSubstr("no broker of the cluster has topic t"));
}

TEST_F(ClusterTopicsTest, WhenTheFirstRefusesAChangeNothingIsChanged) {
  GiveAll();
  brokers_["a"].update_fails = Wrong();
  topic_.set_queues(8);
  EXPECT_EQ(Update(), kRefused);
  EXPECT_EQ(said_, "dunlinctl: broker group a did not change it\ndunlinctl: not so\n");
  EXPECT_THAT(brokers_["b"].topic_updates, IsEmpty());
}

TEST_F(ClusterTopicsTest, WhenOneRefusesAChangeTheOthersGetBackWhatTheyHad) {
  GiveAll();
  brokers_["c"].update_fails = Wrong();
  topic_.set_queues(8);
  EXPECT_EQ(Update(), kRefused);
  EXPECT_EQ(QueuesAt("a"), 1u);
  EXPECT_EQ(QueuesAt("b"), 2u);
  EXPECT_EQ(QueuesAt("c"), 3u);
  EXPECT_THAT(said_, AllOf(HasSubstr("broker group c did not change it\ndunlinctl: not so\n"),
                           HasSubstr("all of them are as they were\n"), Not(HasSubstr("TO MEND"))));
  EXPECT_THAT(shown_, IsEmpty());
  // It is as if nothing had been: once more, when the cause is gone.
  brokers_["c"].update_fails = grpc::Status::OK;
  EXPECT_EQ(Update(), kOk);
  EXPECT_EQ(QueuesAt("b"), 8u);
}

TEST_F(ClusterTopicsTest, WhatMayHaveBeenChangedIsPutBackToo) {
  GiveAll();
  brokers_["b"].update_fails = Gone();
  brokers_["b"].stores_all_the_same = true;
  topic_.set_queues(8);
  EXPECT_EQ(Update(), kUnreachable);
  EXPECT_EQ(QueuesAt("a"), 1u);
  EXPECT_EQ(QueuesAt("b"), 2u);
  EXPECT_THAT(brokers_["c"].topic_updates, IsEmpty());
  EXPECT_THAT(said_, HasSubstr("BROKER GROUP  TOPIC                      TO MEND IT\n"
                               "a             as it was                  -\n"
                               "b             may be changed: gone away  dunlinctl --endpoint " +
                               EndpointOf("b") + " topic update t --queues 2\n" +
                               "c             as it was                  -\n"));
}

TEST_F(ClusterTopicsTest, WhatCannotBePutBackIsToldGroupByGroup) {
  GiveAll();
  options_.name_space = "shop";
  Connect();
  brokers_["a"].good_updates = 1;
  brokers_["a"].update_fails = Full();
  brokers_["c"].update_fails = Wrong();
  topic_.set_queues(8);
  topic_.mutable_send_rate()->set_messages_per_second(5);
  topic_.mutable_retention()->set_max_age_ms(3'600'000);
  EXPECT_EQ(Update(), kRefused);
  EXPECT_EQ(QueuesAt("a"), 8u);
  EXPECT_EQ(QueuesAt("b"), 2u);
  EXPECT_THAT(said_, HasSubstr("not all of it could be taken back"));
  EXPECT_THAT(said_, HasSubstr("is changed: no room  dunlinctl --endpoint " + EndpointOf("a") +
                               " --namespace shop topic update t --queues 1 "
                               "--max-messages-per-second 0 --max-age-hours 0\n"));
}

TEST_F(ClusterTopicsTest, WhatIsForGoodIsNotPutBack) {
  GiveAll();
  brokers_["b"].update_fails = Wrong();
  topic_.set_compacted(true);
  EXPECT_EQ(Update(), kRefused);
  EXPECT_TRUE(brokers_["a"].topics.at("t").compacted());
  EXPECT_THAT(said_, HasSubstr("a             is changed: it is compacted and stays so  the same "
                               "command, once the others can do it\n"
                               "b             as it was "));
}

TEST_F(ClusterTopicsTest, NothingIsChangedWhereOneIsOtherwiseForGood) {
  GiveAll();
  brokers_["b"].topics["t"].set_compacted(true);
  topic_.set_compacted(false);
  EXPECT_EQ(Update(), kRefused);
  EXPECT_THAT(said_, HasSubstr("topic t of broker group b is compacted and stays so; --broker"));
  topic_.clear_compacted();
  topic_.add_kinds(admin::v1::LITE);
  EXPECT_EQ(Update(), kRefused);
  EXPECT_THAT(said_, HasSubstr("topic t of broker group a is not one of kind LITE and stays so"));
  EXPECT_THAT(brokers_["a"].topic_updates, IsEmpty());
}

TEST_F(ClusterTopicsTest, OneBrokerAloneIsNoCluster) {
  options_.endpoint = EndpointOf("b");
  Connect();
  EXPECT_EQ(Create(), kOk);
  topic_.set_queues(8);
  EXPECT_EQ(Update(), kOk);
  EXPECT_EQ(QueuesAt("b"), 8u);
  EXPECT_EQ(said_, "");
  brokers_["b"].update_fails = Gone();
  EXPECT_EQ(Update(), kUnreachable);
  EXPECT_THAT(brokers_["b"].topic_updates, SizeIs(2)) << "there is nothing to be put back";
  brokers_["b"].update_fails = Wrong();
  EXPECT_EQ(Update(), kRefused);
  EXPECT_EQ(said_, "dunlinctl: not so\n");
  EXPECT_EQ(Delete(), kOk);
  EXPECT_EQ(Update(), kNotFound);
  EXPECT_EQ(said_, "dunlinctl: not there\n");
  EXPECT_TRUE(brokers_["a"].topics.empty());
}

TEST_F(ClusterTopicsTest, WhatIsNotDeletedIsTold) {
  Give("a", 1);
  Give("b", 1);
  brokers_["b"].delete_fails = Gone();
  EXPECT_EQ(Delete(), kRefused);
  EXPECT_TRUE(brokers_["a"].topics.empty());
  EXPECT_THAT(said_, HasSubstr("a             deleted "));
  EXPECT_THAT(said_, HasSubstr("may be there: gone away  dunlinctl --endpoint " + EndpointOf("b") +
                               " topic delete t --yes\n"));
  EXPECT_THAT(said_, HasSubstr("c             was not there "));
  brokers_["b"].delete_fails = grpc::Status::OK;
  EXPECT_EQ(Delete(), kOk);
  EXPECT_EQ(Delete(), kNotFound);
}

TEST_F(ClusterTopicsTest, WhenTheFirstRefusesToDeleteNothingIsDeleted) {
  GiveAll();
  brokers_["a"].delete_fails = {grpc::StatusCode::PERMISSION_DENIED, "you may not"};
  EXPECT_EQ(Delete(), kRefused);
  EXPECT_THAT(said_, AllOf(HasSubstr("broker group a did not delete it. Nothing was deleted\n"),
                           HasSubstr("you may not")));
  EXPECT_THAT(brokers_["b"].topics, SizeIs(1));
}

}  // namespace
}  // namespace dunlin::cli
