#include "services/broker/wire/position_id.h"

#include <gtest/gtest.h>

namespace dunlin::broker {
namespace {

TEST(PositionIdTest, IsReadBack) {
  const std::string id = PositionId({{TopicId(0xAB), 7}, QueueOffset(0x123456789)});
  EXPECT_EQ(id, "000000AB000000070000000123456789");
  const std::optional<Position> position = ParsePositionId(id);
  ASSERT_TRUE(position.has_value());
  EXPECT_EQ(position->queue, (QueueKey{TopicId(0xAB), 7}));
  EXPECT_EQ(position->offset, QueueOffset(0x123456789));
}

TEST(PositionIdTest, NothingElseIsTakenForOne) {
  for (const char* id :
       {"", "000000AB00000007000000012345678", "000000AB0000000700000001234567890",
        "000000ab000000070000000123456789", "-00000AB000000070000000123456789",
        "01ABCDEF0123456789ABCDEF0123456789", "000000AB00000007000000012345678G"}) {
    EXPECT_FALSE(ParsePositionId(id).has_value()) << id;
  }
}

}  // namespace
}  // namespace dunlin::broker
