#include "services/broker/lite/lite_subscriptions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using Action = LiteSubscriptions::Action;

constexpr TopicId kParent{7};
constexpr GroupId kGroup{1};
constexpr GroupId kOther{2};

constexpr QueueKey Queue(uint32_t number) { return {kParent, kFirstLiteQueue + number}; }

class LiteSubscriptionsTest : public ::testing::Test {
 protected:
  static LiteSubscriptions::Change Change(std::string_view client, Action action,
                                          std::vector<std::string_view> names) {
    LiteSubscriptions::Change change;
    change.parent = kParent;
    change.group = kGroup;
    change.client_id = client;
    change.action = action;
    change.names = std::move(names);
    return change;
  }
  LiteSubscriptions::Outcome Apply(const LiteSubscriptions::Change& change) {
    auto outcome = subscriptions_.Apply(change);
    EXPECT_OK(outcome);
    return outcome.ok() ? *outcome : LiteSubscriptions::Outcome();
  }
  std::vector<std::string> Wanted(std::string_view client) {
    std::vector<std::string> wanted;
    for (const char* name : {"a", "b", "c", "d", "e"}) {
      if (subscriptions_.Wants(kGroup, client, name)) wanted.emplace_back(name);
    }
    return wanted;
  }
  std::vector<LitePlace> Mark(uint32_t number, std::string_view name) {
    std::vector<LitePlace> told;
    subscriptions_.MarkReady(Queue(number), name, std::nullopt, told);
    return told;
  }

  LiteSubscriptions subscriptions_{{.per_client = 3, .total = 5}};
};

TEST_F(LiteSubscriptionsTest, EachActionDoesWhatItSays) {
  EXPECT_THAT(Apply(Change("x", Action::kAdd, {"a", "b", "a"})).added, ElementsAre("a", "b"));
  EXPECT_THAT(Apply(Change("x", Action::kAdd, {"b", "c"})).added, ElementsAre("c"));
  EXPECT_EQ(subscriptions_.size(), 3u);
  Apply(Change("x", Action::kRemove, {"b", "none"}));
  EXPECT_THAT(Wanted("x"), ElementsAre("a", "c"));
  EXPECT_THAT(Apply(Change("x", Action::kReplace, {"c", "d"})).added, ElementsAre("d"));
  EXPECT_THAT(Wanted("x"), ElementsAre("c", "d"));
  EXPECT_THAT(Apply(Change("x", Action::kReplace, {})).added, IsEmpty());
  EXPECT_THAT(Wanted("x"), IsEmpty());
  Apply(Change("x", Action::kAdd, {"a", "b"}));
  Apply(Change("x", Action::kRemoveAll, {}));
  EXPECT_EQ(subscriptions_.size(), 0u);
}

TEST_F(LiteSubscriptionsTest, TheQuotaCountsTheNetChange) {
  Apply(Change("x", Action::kAdd, {"a", "b", "c"}));
  const auto refused = subscriptions_.Apply(Change("x", Action::kAdd, {"c", "d"}));
  EXPECT_EQ(CodeOf(refused.status()), PublicCode::kLiteSubscriptionQuotaExceeded);
  EXPECT_THAT(Wanted("x"), ElementsAre("a", "b", "c"));
  // Nothing new, and an exchange.
  Apply(Change("x", Action::kAdd, {"a", "b", "c"}));
  Apply(Change("x", Action::kReplace, {"c", "d", "e"}));
  EXPECT_THAT(Wanted("x"), ElementsAre("c", "d", "e"));
  EXPECT_EQ(
      CodeOf(subscriptions_.Apply(Change("x", Action::kReplace, {"a", "b", "c", "d"})).status()),
      PublicCode::kLiteSubscriptionQuotaExceeded);
  Apply(Change("x", Action::kRemove, {"c"}));
  Apply(Change("x", Action::kAdd, {"a"}));
  EXPECT_THAT(Wanted("x"), ElementsAre("a", "d", "e"));
}

TEST_F(LiteSubscriptionsTest, AllTogetherAreBounded) {
  Apply(Change("x", Action::kAdd, {"a", "b", "c"}));
  Apply(Change("y", Action::kAdd, {"a", "b"}));
  EXPECT_EQ(CodeOf(subscriptions_.Apply(Change("z", Action::kAdd, {"a"})).status()),
            PublicCode::kTooManyRequests);
  subscriptions_.DropClient("y");
  Apply(Change("z", Action::kAdd, {"a"}));
  EXPECT_EQ(subscriptions_.size(), 4u);
}

TEST_F(LiteSubscriptionsTest, AnOlderChangeThanTheLastIsIgnored) {
  LiteSubscriptions::Change change = Change("x", Action::kReplace, {"a"});
  change.version = 10;
  Apply(change);
  change.names = {"b"};
  change.version = 9;
  Apply(change);
  EXPECT_THAT(Wanted("x"), ElementsAre("a"));
  change.version = 10;
  Apply(change);
  EXPECT_THAT(Wanted("x"), ElementsAre("b"));
}

TEST_F(LiteSubscriptionsTest, ANewSubscriberTakesOverWhatIsExclusive) {
  LiteSubscriptions::Change first = Change("x", Action::kAdd, {"a", "b"});
  first.exclusive = true;
  EXPECT_THAT(Apply(first).lost, IsEmpty());
  LiteSubscriptions::Change second = Change("y", Action::kAdd, {"b", "c"});
  second.exclusive = true;
  const LiteSubscriptions::Outcome outcome = Apply(second);
  EXPECT_THAT(outcome.added, ElementsAre("b", "c"));
  ASSERT_THAT(outcome.lost, SizeIs(1));
  EXPECT_EQ(outcome.lost[0].client_id, "x");
  EXPECT_EQ(outcome.lost[0].name, "b");
  EXPECT_THAT(Wanted("x"), ElementsAre("a"));
  EXPECT_THAT(Wanted("y"), ElementsAre("b", "c"));
  // Who only repeats what it believed is told, and does not get it back.
  LiteSubscriptions::Change again = Change("x", Action::kReplace, {"a", "b"});
  again.exclusive = true;
  const LiteSubscriptions::Outcome repeated = Apply(again);
  ASSERT_THAT(repeated.lost, SizeIs(1));
  EXPECT_EQ(repeated.lost[0].client_id, "x");
  EXPECT_THAT(Wanted("x"), ElementsAre("a"));
  EXPECT_THAT(subscriptions_.ClientsOf(kGroup, "b"), ElementsAre("y"));
}

TEST_F(LiteSubscriptionsTest, OfAGroupThatWasSharedAllAreTold) {
  Apply(Change("x", Action::kAdd, {"a"}));
  Apply(Change("y", Action::kAdd, {"a"}));
  LiteSubscriptions::Change taking = Change("z", Action::kAdd, {"a"});
  taking.exclusive = true;
  std::vector<std::string> losers;
  for (const LiteSubscriptions::Loss& loss : Apply(taking).lost) losers.push_back(loss.client_id);
  EXPECT_THAT(losers, UnorderedElementsAre("x", "y"));
  EXPECT_THAT(subscriptions_.ClientsOf(kGroup, "a"), ElementsAre("z"));
}

TEST_F(LiteSubscriptionsTest, WhatHappenedGoesToThoseWhoWantItOnce) {
  Apply(Change("x", Action::kAdd, {"a", "b"}));
  Apply(Change("y", Action::kAdd, {"b"}));
  EXPECT_THAT(Mark(1, "a"), ElementsAre(PlaceOf(kParent, kGroup, "x")));
  EXPECT_THAT(Mark(1, "a"), IsEmpty());
  EXPECT_THAT(Mark(2, "b"), SizeIs(2));
  EXPECT_THAT(Mark(3, "nobody wants it"), IsEmpty());
  EXPECT_TRUE(subscriptions_.HasReady(kGroup, "x"));
  EXPECT_EQ(subscriptions_.TakeReady(kGroup, "x"), Queue(1).queue);
  EXPECT_EQ(subscriptions_.TakeReady(kGroup, "x"), Queue(2).queue);
  EXPECT_EQ(subscriptions_.TakeReady(kGroup, "x"), std::nullopt);
  EXPECT_EQ(subscriptions_.TakeReady(kGroup, "y"), Queue(2).queue);
  // Again.
  EXPECT_THAT(Mark(1, "a"), SizeIs(1));
  EXPECT_EQ(subscriptions_.TakeReady(kGroup, "x"), Queue(1).queue);
}

TEST_F(LiteSubscriptionsTest, WhatIsNotWantedAnyMoreIsNotReady) {
  Apply(Change("x", Action::kAdd, {"a", "b"}));
  Mark(1, "a");
  Mark(2, "b");
  Apply(Change("x", Action::kRemove, {"a"}));
  EXPECT_EQ(subscriptions_.TakeReady(kGroup, "x"), Queue(2).queue);
  EXPECT_FALSE(subscriptions_.HasReady(kGroup, "x"));
  // A client that changes its mind all the time, and never receives.
  for (uint32_t i = 0; i < 1000; ++i) {
    Apply(Change("x", Action::kReplace, {"a"}));
    Mark(10, "a");
    Apply(Change("x", Action::kReplace, {"b"}));
    Mark(20 + i, "b");  // a new one of this name each time
  }
  EXPECT_EQ(subscriptions_.TakeReady(kGroup, "x"), Queue(1019).queue);
  EXPECT_EQ(subscriptions_.TakeReady(kGroup, "x"), std::nullopt);
}

TEST_F(LiteSubscriptionsTest, GroupsAreByThemselves) {
  LiteSubscriptions::Change other = Change("x", Action::kAdd, {"a"});
  other.group = kOther;
  Apply(other);
  Apply(Change("x", Action::kAdd, {"a"}));
  std::vector<LitePlace> told;
  subscriptions_.MarkReady(Queue(1), "a", kOther, told);
  EXPECT_THAT(told, ElementsAre(PlaceOf(kParent, kOther, "x")));
  EXPECT_FALSE(subscriptions_.HasReady(kGroup, "x"));
  subscriptions_.DropGroup(kOther);
  EXPECT_EQ(subscriptions_.CountOf(kOther), 0u);
  EXPECT_EQ(subscriptions_.CountOf(kGroup), 1u);
  subscriptions_.DropParent(kParent);
  EXPECT_EQ(subscriptions_.size(), 0u);
  // And from the beginning.
  EXPECT_THAT(Apply(Change("x", Action::kAdd, {"a"})).added, ElementsAre("a"));
}

TEST_F(LiteSubscriptionsTest, OfATopicThatWasMadeAnewTheNewOneCounts) {
  subscriptions_.DropParent(kParent);
  const LiteSubscriptions::Change late = Change("x", Action::kAdd, {"a"});
  Apply(late);  // its topic was there when it was checked
  LiteSubscriptions::Change anew = Change("x", Action::kAdd, {"a", "b"});
  anew.parent = kParent + 1;
  EXPECT_THAT(Apply(anew).added, ElementsAre("a", "b"));
  EXPECT_EQ(subscriptions_.size(), 2u);
  EXPECT_TRUE(Apply(late).ignored);
  std::vector<LitePlace> told;
  subscriptions_.MarkReady({kParent + 1, kFirstLiteQueue}, "a", std::nullopt, told);
  EXPECT_THAT(told, ElementsAre(PlaceOf(kParent + 1, kGroup, "x")));
  EXPECT_THAT(Mark(1, "a"), IsEmpty());
}

TEST_F(LiteSubscriptionsTest, AClientThatIsGoneLeavesNothing) {
  Apply(Change("x", Action::kAdd, {"a", "b"}));
  Mark(1, "a");
  subscriptions_.DropClient("x");
  subscriptions_.DropClient("nobody");
  EXPECT_EQ(subscriptions_.size(), 0u);
  EXPECT_EQ(subscriptions_.TakeReady(kGroup, "x"), std::nullopt);
  EXPECT_THAT(subscriptions_.ClientsOf(kGroup, "a"), IsEmpty());
}

}  // namespace
}  // namespace dunlin::broker
