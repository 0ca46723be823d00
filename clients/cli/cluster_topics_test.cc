#include "clients/cli/cluster_topics.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "clients/cli/cluster.h"
#include "clients/cli/testing/fake_cluster.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"

namespace dunlin::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Topics by name, and what goes wrong.
class FakeBroker final : public admin::v1::AdminService::Service {
 public:
  grpc::Status CreateTopic(grpc::ServerContext* /*context*/,
                           const admin::v1::CreateTopicRequest* request,
                           admin::v1::Topic* made) override {
    if (!create_fails.ok() && !stores_all_the_same) return create_fails;
    topics.insert(request->topic().name());
    *made = request->topic();
    return create_fails;
  }
  grpc::Status GetTopic(grpc::ServerContext* /*context*/, const admin::v1::GetTopicRequest* request,
                        admin::v1::GetTopicResponse* /*response*/) override {
    if (topics.contains(request->name())) return grpc::Status::OK;
    return {grpc::StatusCode::NOT_FOUND, "no such topic"};
  }
  grpc::Status DeleteTopic(grpc::ServerContext* /*context*/,
                           const admin::v1::DeleteTopicRequest* request,
                           admin::v1::DeleteTopicResponse* /*response*/) override {
    if (!delete_fails.ok()) return delete_fails;
    if (topics.erase(request->name()) > 0) return grpc::Status::OK;
    return {grpc::StatusCode::NOT_FOUND, "no such topic"};
  }

  std::set<std::string> topics;
  grpc::Status create_fails;
  bool stores_all_the_same = false;
  grpc::Status delete_fails;
};

class ClusterTopicsTest : public ClusterTest<FakeBroker> {
 protected:
  ClusterTopicsTest() { topic_.set_name("t"); }

  int Create() {
    return Run(
        [&] { return CreateTopicEverywhere(*connection_, topic_, [](const auto& /*made*/) {}); });
  }
  int Delete() {
    return Run([&] { return DeleteTopicEverywhere(*connection_, "t"); });
  }

  admin::v1::Topic topic_;
};

grpc::Status Full() { return {grpc::StatusCode::RESOURCE_EXHAUSTED, "no room"}; }
grpc::Status Gone() { return {grpc::StatusCode::UNAVAILABLE, "gone away"}; }

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
  EXPECT_THAT(said_,
              HasSubstr("dunlinctl --endpoint " + EndpointOf("a") + " topic delete t --yes"));
  EXPECT_THAT(said_, HasSubstr("taken back"));
  EXPECT_THAT(said_, Not(HasSubstr(EndpointOf("b"))));
}

TEST_F(ClusterTopicsTest, NothingIsMadeWhereOneHasItAlready) {
  brokers_["b"].topics.insert("t");
  EXPECT_EQ(Create(), kRefused);
  EXPECT_TRUE(brokers_["a"].topics.empty());
  EXPECT_THAT(said_, HasSubstr("broker group b has topic t already"));
}

TEST_F(ClusterTopicsTest, WhatIsNotDeletedIsTold) {
  brokers_["a"].topics.insert("t");
  brokers_["b"].topics.insert("t");
  brokers_["b"].delete_fails = Gone();
  EXPECT_EQ(Delete(), kRefused);
  EXPECT_TRUE(brokers_["a"].topics.empty());
  EXPECT_THAT(said_,
              HasSubstr("dunlinctl --endpoint " + EndpointOf("b") + " topic delete t --yes"));
  brokers_["b"].delete_fails = grpc::Status::OK;
  EXPECT_EQ(Delete(), kOk);
  EXPECT_EQ(Delete(), kNotFound);
}

}  // namespace
}  // namespace dunlin::cli
