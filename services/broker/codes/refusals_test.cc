#include "services/broker/codes/refusals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dunlin::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(RefusalsTest, CountsEachCode) {
  EXPECT_TRUE(Refusals().empty());
  CountRefusal(PublicCode::kFailedToConsumeMessage);  // the last of the table
  CountRefusal(PublicCode::kTopicNotFound);
  CountRefusal(PublicCode::kTopicNotFound);
  EXPECT_THAT(Refusals(), ElementsAre(Pair(PublicCode::kTopicNotFound, 2),
                                      Pair(PublicCode::kFailedToConsumeMessage, 1)));
}

TEST(RefusalsDeathTest, DiesOfACodeThatIsNone) {
  EXPECT_DEATH(CountRefusal(static_cast<PublicCode>(12345)), "");
}

}  // namespace
}  // namespace dunlin::broker
