#include "services/broker/access/user_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "services/base/testing/status_matchers.h"
#include "services/store/dispatch/testing/store_rig.h"

namespace dunlin::broker {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

User Named(const std::string& name) {
  User user;
  user.name = name;
  user.secret = "secret-of-" + name;
  return user;
}

User Rich(const std::string& name) {
  User user = Named(name);
  user.description = "for tests";
  AccessRule rule;
  rule.resource = ResourceKind::kTopic;
  rule.pattern = NamePattern::kPrefix;
  rule.name = "ns/orders";
  rule.actions = BitOf(Action::kPub) | BitOf(Action::kGet);
  rule.source_ips = {"10.0.0.0/8"};
  user.rules.push_back(rule);
  rule.deny = true;
  rule.name = "ns/orders-secret";
  user.rules.push_back(rule);
  return user;
}

class UserTableTest : public ::testing::Test {
 protected:
  UserTableTest() {
    rig_.Open();
    Load();
  }

  void Load() {
    auto table = UserTable::Load(rig_.log(), rig_.state(), rig_.clock(), /*max_users=*/3);
    ASSERT_OK(table);
    table_ = *std::move(table);
  }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& user : table_->Users()) names.push_back(user->name);
    return names;
  }

  store::StoreRig rig_;
  std::unique_ptr<UserTable> table_;
};

TEST_F(UserTableTest, WhatWasMadeIsThereAfterARestart) {
  ASSERT_OK(table_->Create(Rich("bob")));
  ASSERT_OK(table_->Create(Named("alice")));
  EXPECT_THAT(Names(), ElementsAre("alice", "bob"));
  table_.reset();
  rig_.Settle();
  rig_.Close();
  rig_.Open();
  Load();
  EXPECT_THAT(Names(), ElementsAre("alice", "bob"));
  const auto bob = table_->Find("bob");
  EXPECT_EQ(bob->secret, "secret-of-bob");
  EXPECT_EQ(bob->description, "for tests");
  EXPECT_EQ(bob->created, rig_.clock().Now());
  EXPECT_TRUE(bob->enabled);
  EXPECT_FALSE(bob->super);
  ASSERT_EQ(bob->rules.size(), 2u);
  EXPECT_EQ(bob->rules[0].name, "ns/orders");
  EXPECT_FALSE(bob->rules[0].deny);
  EXPECT_TRUE(bob->rules[1].deny);
  EXPECT_EQ(bob->rules[1].actions, BitOf(Action::kPub) | BitOf(Action::kGet));
  EXPECT_THAT(bob->rules[1].source_ips, ElementsAre("10.0.0.0/8"));
  EXPECT_TRUE(Allows(*bob, TopicNeed(BitOf(Action::kPub), "ns", "orders-1"),
                     *IpAddress::Parse("10.1.1.1")));
  EXPECT_FALSE(Allows(*bob, TopicNeed(BitOf(Action::kPub), "ns", "orders-secret"),
                      *IpAddress::Parse("10.1.1.1")));
}

TEST_F(UserTableTest, AnUpdateReplacesAllButTheSecretAndTheTime) {
  ASSERT_OK(table_->Create(Rich("bob")));
  const Timestamp created = table_->Find("bob")->created;
  rig_.clock().Advance(std::chrono::seconds(5));
  User changed;
  changed.name = "bob";
  changed.super = true;
  changed.enabled = false;
  ASSERT_OK(table_->Update(changed));
  const auto bob = table_->Find("bob");
  EXPECT_EQ(bob->secret, "secret-of-bob");
  EXPECT_EQ(bob->created, created);
  EXPECT_TRUE(bob->super);
  EXPECT_FALSE(bob->enabled);
  EXPECT_TRUE(bob->rules.empty());
  EXPECT_EQ(bob->description, "");
  changed.secret = "another-secret";
  ASSERT_OK(table_->Update(changed));
  EXPECT_EQ(table_->Find("bob")->secret, "another-secret");
}

TEST_F(UserTableTest, EveryChangeIsAnotherVersion) {
  uint64_t before = table_->version();
  const auto changed = [&] { return std::exchange(before, table_->version()) < before; };
  ASSERT_OK(table_->Create(Named("bob")));
  EXPECT_LT(before, table_->version());
  changed();
  ASSERT_OK(table_->Update(Named("bob")));
  EXPECT_LT(before, table_->version());
  changed();
  ASSERT_OK(table_->Delete("bob"));
  EXPECT_LT(before, table_->version());
}

TEST_F(UserTableTest, RefusesWhatCannotBe) {
  ASSERT_OK(table_->Create(Named("a1")));
  EXPECT_THAT(table_->Create(Named("a1")), StatusIs(StatusCode::kAlreadyExists, HasSubstr("a1")));
  EXPECT_THAT(table_->Create(Named("no such/name")), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(table_->Update(Named("b1")), StatusIs(StatusCode::kNotFound, HasSubstr("b1")));
  EXPECT_THAT(table_->Delete("b1"), StatusIs(StatusCode::kNotFound, HasSubstr("b1")));
  ASSERT_OK(table_->Create(Named("a2")));
  ASSERT_OK(table_->Create(Named("a3")));
  EXPECT_THAT(table_->Create(Named("a4")),
              StatusIs(StatusCode::kResourceExhausted, HasSubstr("access.max_users")));
  EXPECT_THAT(Names(), ElementsAre("a1", "a2", "a3"));
}

TEST_F(UserTableTest, ATableThatFollowsIsThatOfTheStateStore) {
  rig_.PutUser("alice", "secret-of-alice");
  rig_.PutUser("bob", "secret-of-bob");
  // Of a version that allows what this one does not know: nobody is let in by it.
  rig_.PutUser("not/known", "secret-of-eve");
  rig_.Settle();
  EXPECT_TRUE(rig_.dispatcher().TakeChangedConfig().users);
  ASSERT_OK(table_->Follow(rig_.state()));
  EXPECT_THAT(Names(), ElementsAre("alice", "bob"));
  rig_.DeleteUser("alice");
  rig_.PutUser("bob", "another-secret");
  rig_.Settle();
  EXPECT_TRUE(rig_.dispatcher().TakeChangedConfig().users);
  ASSERT_OK(table_->Follow(rig_.state()));
  EXPECT_THAT(Names(), ElementsAre("bob"));
  EXPECT_EQ(table_->Find("bob")->secret, "another-secret");
  EXPECT_TRUE(rig_.dispatcher().TakeChangedConfig().IsEmpty());
}

}  // namespace
}  // namespace dunlin::broker
