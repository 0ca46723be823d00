#include "clients/cli/cluster_users.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "clients/cli/testing/fake_cluster.h"
#include "clients/cli/testing/fake_users.h"
#include "proto/apache/rocketmq/v2/definition.pb.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/request_signature.h"

namespace dunlin::cli {
namespace {

using admin::v1::AccessRule;
using admin::v1::User;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

grpc::Status Full() { return {grpc::StatusCode::RESOURCE_EXHAUSTED, "no room"}; }
grpc::Status Gone() { return {grpc::StatusCode::UNAVAILABLE, "gone away"}; }
grpc::Status Nobody() { return {grpc::StatusCode::UNAUTHENTICATED, "there is no user ann"}; }

void Allow(User& user, const std::string& topic) {
  AccessRule& rule = *user.add_rules();
  rule.set_resource(AccessRule::TOPIC);
  rule.set_name(topic);
  rule.add_actions(AccessRule::PUB);
}

User Ann() {
  User user;
  user.set_name("ann");
  user.set_type(admin::v1::NORMAL_USER);
  user.set_enabled(true);
  user.set_description("who sells");
  user.set_secret_fingerprint("f");
  Allow(user, "orders");
  return user;
}

class ClusterUsersTest : public ClusterTest<FakeUsers> {
 protected:
  void Give(const std::string& broker) { brokers_[broker].users["ann"] = Ann(); }
  void GiveAll() {
    for (const char* broker : {"a", "b", "c"}) Give(broker);
  }
  int Create() {
    User user = Ann();
    user.set_secret("secret-of-ann");
    return Run([&] { return CreateUserEverywhere(*connection_, user, Shown()); });
  }
  // Disables it.
  int Update() {
    const UserChange change{"ann", [](User& user) { user.set_enabled(false); }, "the same with"};
    return Run([&] { return UpdateUserEverywhere(*connection_, change, Shown(), changed_); });
  }
  int Get() {
    return Run([&] { return GetUserEverywhere(*connection_, "ann", Shown()); });
  }
  int Delete() {
    return Run([&] { return DeleteUserEverywhere(*connection_, "ann"); });
  }
  ShowUser Shown() {
    return [this](const Connection& /*at*/, const User& user) { shown_.push_back(user); };
  }

  std::vector<User> shown_;
  bool changed_ = false;
};

TEST_F(ClusterUsersTest, AUserIsMadeAtAll) {
  EXPECT_EQ(Create(), kOk);
  for (const auto& [name, broker] : brokers_) {
    ASSERT_TRUE(broker.users.contains("ann")) << name;
    EXPECT_EQ(broker.users.at("ann").secret_fingerprint(), "secret-of-ann") << name;
  }
  EXPECT_THAT(said_, HasSubstr("at broker groups: a, b, c"));
  EXPECT_EQ(shown_.size(), 1u);
}

TEST_F(ClusterUsersTest, WhenOneRefusesTheOthersLoseIt) {
  brokers_["c"].create_fails = Full();
  EXPECT_EQ(Create(), kRefused);
  for (const auto& [name, broker] : brokers_) EXPECT_TRUE(broker.users.empty()) << name;
  EXPECT_THAT(said_, HasSubstr("broker group c did not make it"));
  EXPECT_THAT(said_, HasSubstr("no room"));
  EXPECT_THAT(shown_, IsEmpty());
}

TEST_F(ClusterUsersTest, WhatCannotBeTakenBackIsToldGroupByGroup) {
  brokers_["c"].create_fails = Full();
  brokers_["a"].delete_fails = Gone();
  EXPECT_EQ(Create(), kRefused);
  EXPECT_THAT(said_, HasSubstr("not all of it could be taken back"));
  EXPECT_THAT(said_,
              HasSubstr("dunlinctl --endpoint " + EndpointOf("a") + " user delete ann --yes"));
  EXPECT_THAT(said_, Not(HasSubstr(EndpointOf("b"))));
}

TEST_F(ClusterUsersTest, NothingIsMadeWhereOneHasItAlready) {
  Give("b");
  EXPECT_EQ(Create(), kRefused);
  EXPECT_TRUE(brokers_["a"].users.empty());
  EXPECT_THAT(said_, HasSubstr("broker group b has user ann already"));
}

TEST_F(ClusterUsersTest, AChangeKeepsWhatItDoesNotSayAtEachGroup) {
  GiveAll();
  brokers_["b"].users["ann"].set_description("another");
  EXPECT_EQ(Update(), kOk);
  for (const auto& [name, broker] : brokers_) {
    User expected = Ann();
    expected.set_enabled(false);
    if (name == "b") expected.set_description("another");
    EXPECT_EQ(broker.users.at("ann").SerializeAsString(), expected.SerializeAsString()) << name;
  }
  EXPECT_THAT(said_, HasSubstr("at broker groups: a, b, c"));
  EXPECT_TRUE(changed_);
}

TEST_F(ClusterUsersTest, WhenTheFirstRefusesAChangeNothingIsChanged) {
  GiveAll();
  brokers_["a"].update_fails = {grpc::StatusCode::INVALID_ARGUMENT, "rule 1: no"};
  EXPECT_EQ(Update(), kRefused);
  EXPECT_TRUE(brokers_["b"].users["ann"].enabled());
  EXPECT_EQ(said_, "dunlinctl: rule 1: no\n");
  EXPECT_FALSE(changed_);
}

TEST_F(ClusterUsersTest, AChangeThatIsNotMadeEverywhereIsToldGroupByGroup) {
  Give("a");
  Give("b");
  brokers_["b"].update_fails = Gone();
  EXPECT_EQ(Update(), kRefused);
  EXPECT_FALSE(brokers_["a"].users["ann"].enabled());
  EXPECT_THAT(said_, HasSubstr("user ann was not changed everywhere"));
  EXPECT_THAT(said_, HasSubstr("a             changed"));
  EXPECT_THAT(said_, HasSubstr("may be changed: gone away  the same with --broker b"));
  EXPECT_THAT(said_, HasSubstr("dunlinctl user create ann --broker c"));
  EXPECT_TRUE(changed_);
}

TEST_F(ClusterUsersTest, WhoIsNowhereIsNotChanged) {
  EXPECT_EQ(Update(), kNotFound);
  EXPECT_THAT(said_, HasSubstr("no broker of the cluster has user ann"));
}

TEST_F(ClusterUsersTest, WhatIsTheSameEverywhereIsShownForEach) {
  GiveAll();
  EXPECT_EQ(Get(), kOk);
  EXPECT_EQ(shown_.size(), 3u);
  EXPECT_THAT(said_, Not(HasSubstr("not the same")));
}

TEST_F(ClusterUsersTest, WhereGroupsDifferIsTold) {
  Give("a");
  Give("b");
  brokers_["b"].users["ann"].set_secret_fingerprint("g");
  brokers_["b"].users["ann"].clear_rules();
  EXPECT_EQ(Get(), kOk);
  EXPECT_THAT(said_, HasSubstr("user ann is not the same at all broker groups: b has another "
                               "secret and rules than a; c has none"));
}

TEST_F(ClusterUsersTest, WhoIsNowhereIsNotShown) {
  EXPECT_EQ(Get(), kNotFound);
  EXPECT_THAT(said_, HasSubstr("no broker has user ann"));
}

TEST_F(ClusterUsersTest, WhatIsNotDeletedIsTold) {
  Give("a");
  Give("b");
  brokers_["b"].delete_fails = Gone();
  EXPECT_EQ(Delete(), kRefused);
  EXPECT_TRUE(brokers_["a"].users.empty());
  EXPECT_THAT(said_,
              HasSubstr("dunlinctl --endpoint " + EndpointOf("b") + " user delete ann --yes"));
  brokers_["b"].delete_fails = grpc::Status::OK;
  EXPECT_EQ(Delete(), kOk);
  EXPECT_EQ(Delete(), kNotFound);
}

TEST_F(ClusterUsersTest, OneBrokerAloneIsNoCluster) {
  options_.endpoint = EndpointOf("a");
  Connect();
  EXPECT_EQ(Create(), kOk);
  EXPECT_EQ(Update(), kOk);
  EXPECT_FALSE(brokers_["a"].users["ann"].enabled());
  EXPECT_EQ(Get(), kOk);
  EXPECT_EQ(Delete(), kOk);
  EXPECT_THAT(said_, Not(HasSubstr("group")));
  EXPECT_EQ(Update(), kNotFound);
  EXPECT_EQ(said_, "dunlinctl: no such user\n");
  EXPECT_TRUE(brokers_["b"].signatures.empty());
}

TEST_F(ClusterUsersTest, EveryCallIsSigned) {
  options_.credentials = {"admin", "secret-of-admin"};
  Connect();
  EXPECT_EQ(Create(), kOk);
  EXPECT_EQ(Update(), kOk);
  for (const auto& [name, broker] : brokers_) {
    EXPECT_GE(broker.signatures.size(), 4u);
    for (const auto& [date_time, authorization] : broker.signatures) {
      const auto claim = ParseAuthorization(authorization);
      ASSERT_TRUE(claim.has_value()) << authorization;
      EXPECT_EQ(claim->access_key, "admin");
      EXPECT_TRUE(IsSignature(claim->signature, date_time, "secret-of-admin"));
    }
  }
}

TEST_F(ClusterUsersTest, WithoutCredentialsNoneIs) {
  EXPECT_EQ(Create(), kOk);
  for (const auto& [name, broker] : brokers_) {
    for (const auto& [date_time, authorization] : broker.signatures) {
      EXPECT_EQ(date_time + authorization, "");
    }
  }
}

TEST_F(ClusterUsersTest, WhoIsTurnedAwayIsToldHowToGiveCredentials) {
  GiveAll();
  brokers_["a"].get_fails = Nobody();
  EXPECT_EQ(Update(), kRefused);
  EXPECT_THAT(said_, HasSubstr("dunlinctl: there is no user ann\n"));
  EXPECT_THAT(said_, HasSubstr("--access-key NAME --secret-key-file FILE"));
  options_.credentials = {"ann", "secret"};
  Connect();
  brokers_["a"].get_fails = {grpc::StatusCode::PERMISSION_DENIED, "ann may not"};
  EXPECT_EQ(Update(), kRefused);
  EXPECT_THAT(said_, HasSubstr("dunlinctl: ann may not\nThe request was signed as user ann."));
}

TEST_F(ClusterUsersTest, SoIsWhoTheSdksApiTurnsAway) {
  apache::rocketmq::v2::Status status;
  status.set_code(apache::rocketmq::v2::UNAUTHORIZED);
  status.set_message("not signed");
  EXPECT_EQ(Run([&] { return connection_->Report(status); }), kRefused);
  EXPECT_THAT(said_, HasSubstr("dunlinctl: not signed (UNAUTHORIZED)\n"));
  EXPECT_THAT(said_, HasSubstr("--access-key NAME --secret-key-file FILE"));
}

std::unique_ptr<User> With(void (*change)(User&)) {
  auto user = std::make_unique<User>(Ann());
  change(*user);
  return user;
}

TEST(DifferencesTest, OfAllThatIsSetByPeople) {
  UserByGroup users;
  users.emplace_back("z", nullptr);
  users.emplace_back("a", With([](User& /*user*/) {}));
  users.emplace_back("b", With([](User& user) { user.set_type(admin::v1::SUPER_USER); }));
  users.emplace_back("c", With([](User& user) { user.set_enabled(false); }));
  users.emplace_back("d", With([](User& user) { user.mutable_create_time()->set_seconds(1); }));
  users.emplace_back("e", With([](User& user) {
                       user.mutable_rules(0)->set_decision(AccessRule::DENY);
                       user.set_description("x");
                     }));
  EXPECT_THAT(DifferencesOf(users),
              ElementsAre("z has none", "b has another type than a", "c has another state than a",
                          "e has another rules and description than a"));
}

TEST(DifferencesTest, TheOrderOfRulesIsNone) {
  UserByGroup users;
  users.emplace_back("a", With([](User& user) { Allow(user, "other"); }));
  users.emplace_back("b", With([](User& user) {
                       Allow(user, "other");
                       user.mutable_rules()->SwapElements(0, 1);
                     }));
  EXPECT_THAT(DifferencesOf(users), IsEmpty());
  EXPECT_THAT(DifferencesOf({}), IsEmpty());
}

}  // namespace
}  // namespace dunlin::cli
