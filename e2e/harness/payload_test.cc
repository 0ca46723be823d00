#include "e2e/harness/payload.h"

#include <gtest/gtest.h>

namespace dunlin::e2e {
namespace {

TEST(PayloadTest, SaysWhoSentIt) {
  std::string payload;
  FillPayload({7, 9}, 129, payload);
  EXPECT_EQ(payload.size(), 129u);
  EXPECT_EQ(ReadPayload(payload), (Identity{7, 9}));
  EXPECT_EQ(MessageIdOf({7, 9}).size(), 34u);
}

TEST(PayloadTest, EveryFlippedBitIsFound) {
  std::string payload;
  FillPayload({1, 2}, 67, payload);
  for (size_t bit = 0; bit < payload.size() * 8; ++bit) {
    std::string flipped = payload;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(ReadPayload(flipped), std::nullopt) << bit;
  }
  EXPECT_EQ(ReadPayload(payload.substr(0, 66)), std::nullopt);
}

}  // namespace
}  // namespace dunlin::e2e
