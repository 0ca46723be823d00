#include "services/broker/member/standing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "services/base/testing/status_matchers.h"

namespace dunlin::broker {
namespace {

config::v1::ReplicationConfig Config(const char* member) {
  config::v1::ReplicationConfig config;
  config.set_member(member);
  config.set_members("ab = host-a:1, a=host-b:1,\n c=host-c:1 ,");
  config.set_learners("x, c");
  return config;
}

TEST(StandingTest, TheIdIsThePlaceAmongTheMembers) {
  for (const auto& [member, id] : {std::pair("ab", 1u), std::pair("a", 2u)}) {
    const auto standing = StandingOf(Config(member), {});
    ASSERT_OK(standing);
    EXPECT_EQ(standing->id, id);
    EXPECT_EQ(standing->role, nameservice::v1::SLAVE);
  }
}

TEST(StandingTest, ALearnerIsOne) {
  const auto standing = StandingOf(Config("c"), {});
  ASSERT_OK(standing);
  EXPECT_EQ(standing->id, 3u);
  EXPECT_EQ(standing->role, nameservice::v1::LEARNER);
}

TEST(StandingTest, WhoIsNotInTheConfigurationWaitsForTheRecord) {
  EXPECT_THAT(StandingOf(Config("b"), {}).status(),
              StatusIs(absl::StatusCode::kUnavailable, ::testing::HasSubstr("\"b\"")));
}

TEST(StandingTest, TheRecordKnowsBetterThanTheConfiguration) {
  for (const char* member : {"a", "b"}) {
    const auto standing = StandingOf(Config(member), {.id = 7, .learner = true});
    ASSERT_OK(standing);
    EXPECT_EQ(standing->id, 7u);
    EXPECT_EQ(standing->role, nameservice::v1::LEARNER);
  }
}

}  // namespace
}  // namespace dunlin::broker
