#include "services/broker/clients/subscription_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "services/base/testing/manual_clock.h"
#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Filter = SubscriptionTable::Filter;

constexpr int32_t kSql = 2;

class SubscriptionTableTest : public ::testing::Test {
 protected:
  absl::Status Poll(std::string_view client, const Filter& filter) {
    clients_.Touch(client);
    return table_.Enter(kPlace, filter, client);
  }
  static Filter Tags(std::string_view expression) { return {1, expression}; }

  const SubscriptionTable::Place kPlace{GroupId(1), TopicId(2)};
  ManualClock clock_;
  ClientRegistry clients_{ClientRegistryOptions(), clock_};
  SubscriptionTable table_{clients_};
};

TEST_F(SubscriptionTableTest, ConsumersWithOneFilterGoTogether) {
  EXPECT_OK(Poll("a", Tags("red || green")));
  EXPECT_OK(Poll("b", Tags("green||red")));
  EXPECT_OK(Poll("c", {0, " green || red || red"}));
  EXPECT_OK(Poll("a", Tags("red || green")));
}

TEST_F(SubscriptionTableTest, NoTagAndAStarAreTheSame) {
  EXPECT_OK(Poll("a", Tags("")));
  EXPECT_OK(Poll("b", Tags("*")));
  EXPECT_OK(Poll("c", {0, ""}));
}

TEST_F(SubscriptionTableTest, AnotherFilterIsRefusedAndBothAreNamed) {
  EXPECT_OK(Poll("old", Tags("red")));
  const absl::Status refused = Poll("new", Tags("green"));
  EXPECT_EQ(CodeOf(refused), PublicCode::kPreconditionFailed);
  for (const char* part : {"client new", "TAG green", "client old", "TAG red"}) {
    EXPECT_THAT(std::string(refused.message()), HasSubstr(part));
  }
  EXPECT_FALSE(Poll("new", {kSql, "red"}).ok());
}

TEST_F(SubscriptionTableTest, OtherTopicsAndGroupsHaveTheirOwn) {
  EXPECT_OK(Poll("a", Tags("red")));
  EXPECT_OK(table_.Enter({GroupId(1), TopicId(3)}, Tags("green"), "b"));
  EXPECT_OK(table_.Enter({GroupId(2), TopicId(2)}, Tags("blue"), "b"));
}

TEST_F(SubscriptionTableTest, AConsumerAloneMayChangeItsMind) {
  EXPECT_OK(Poll("a", Tags("red")));
  EXPECT_OK(Poll("a", Tags("green")));
  EXPECT_OK(Poll("a", {kSql, "x > 1"}));
}

TEST_F(SubscriptionTableTest, AGroupChangesOverOneByOne) {
  EXPECT_OK(Poll("a", Tags("red")));
  EXPECT_OK(Poll("b", Tags("red")));
  EXPECT_FALSE(Poll("a", Tags("green")).ok());
  EXPECT_OK(Poll("b", Tags("red")));
  // The last one changes, and its is the filter of all.
  EXPECT_OK(Poll("b", Tags("green")));
  EXPECT_OK(Poll("a", Tags("green")));
  EXPECT_FALSE(Poll("c", Tags("red")).ok());
}

TEST_F(SubscriptionTableTest, APollThatWaitsLearnsThatItsFilterIsNotInForceAnyMore) {
  EXPECT_TRUE(table_.IsInForce(kPlace, Tags("red")));  // nobody has come yet
  EXPECT_OK(Poll("a", Tags("red || blue")));
  EXPECT_TRUE(table_.IsInForce(kPlace, Tags("blue || red")));
  EXPECT_OK(Poll("a", Tags("green")));
  EXPECT_FALSE(table_.IsInForce(kPlace, Tags("red || blue")));
  EXPECT_TRUE(table_.IsInForce(kPlace, Tags("green")));
}

TEST_F(SubscriptionTableTest, WhoHasEndedHoldsNothing) {
  EXPECT_OK(Poll("old", Tags("red")));
  EXPECT_FALSE(Poll("new", Tags("green")).ok());
  clients_.Remove("old");
  EXPECT_OK(Poll("new", Tags("green")));
}

TEST_F(SubscriptionTableTest, WhoIsSilentHoldsNothingAfterAWhile) {
  EXPECT_OK(Poll("old", Tags("red")));
  clock_.Advance(seconds(119));
  EXPECT_FALSE(Poll("new", Tags("green")).ok());
  clock_.Advance(seconds(1));
  EXPECT_OK(Poll("new", Tags("green")));
}

TEST_F(SubscriptionTableTest, AStreamHoldsUntilItLeaves) {
  EXPECT_OK(table_.EnterStream(kPlace, Tags("red"), "stream"));
  EXPECT_OK(table_.EnterStream(kPlace, Tags("red"), "stream"));
  clock_.Advance(std::chrono::hours(1));
  table_.LeaveStream(kPlace, "stream");
  EXPECT_FALSE(Poll("new", Tags("green")).ok());
  // Not even itself.
  EXPECT_FALSE(table_.EnterStream(kPlace, Tags("green"), "stream").ok());
  table_.LeaveStream(kPlace, "stream");
  EXPECT_OK(Poll("new", Tags("green")));
}

TEST_F(SubscriptionTableTest, PeopleSeeWhoConsumesAndWhoIsRefused) {
  EXPECT_OK(Poll("b", Tags("red")));
  EXPECT_OK(Poll("a", Tags("red")));
  EXPECT_FALSE(Poll("c", Tags("green")).ok());
  auto list = table_.List(GroupId(1));
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].topic, TopicId(2));
  EXPECT_EQ(list[0].filter, "TAG red");
  EXPECT_THAT(list[0].clients, ElementsAre("a", "b"));
  EXPECT_EQ(list[0].refused_client, "c");
  EXPECT_EQ(list[0].refused_filter, "TAG green");
  EXPECT_OK(Poll("c", Tags("red")));
  list = table_.List(GroupId(1));
  EXPECT_EQ(list[0].clients.size(), 3u);
  EXPECT_EQ(list[0].refused_client, "");
  EXPECT_TRUE(table_.List(GroupId(2)).empty());
}

TEST_F(SubscriptionTableTest, ALongFilterIsCutInTheMessage) {
  EXPECT_OK(Poll("a", {kSql, "x > 1"}));
  const std::string euros = "x = '" + [] {
    std::string text;
    for (int i = 0; i < 100; ++i) text += "\u20ac";
    return text;
  }() + "'";
  const absl::Status refused = Poll("b", {kSql, euros});
  EXPECT_LT(refused.message().size(), 600u);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("\u20ac..."));
}

TEST_F(SubscriptionTableTest, ClientsThatComeAndGoTakeNoMemory) {
  for (int i = 0; i < 10'000; ++i) {
    const std::string client = "client-" + std::to_string(i);
    EXPECT_OK(Poll(client, Tags("red")));
    clients_.Remove(client);
  }
  EXPECT_TRUE(table_.List(GroupId(1)).empty());
}

}  // namespace
}  // namespace dunlin::broker
