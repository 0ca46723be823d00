#include "services/base/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace dunlin {
namespace {

TEST(Crc32cTest, MatchesThePublishedVectors) {
  // RFC 3720, appendix B.4.
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62A8AB43u);
  EXPECT_EQ(Crc32c(""), 0u);
}

TEST(Crc32cTest, PiecesAddUpToTheWhole) {
  std::string whole;
  for (int i = 0; i < 1000; ++i) whole.push_back(static_cast<char>(i * 31));
  for (size_t cut : {0, 1, 7, 8, 500, 999, 1000}) {
    const std::string_view first(whole.data(), cut);
    const std::string_view second(whole.data() + cut, whole.size() - cut);
    EXPECT_EQ(ExtendCrc32c(Crc32c(first), second), Crc32c(whole)) << cut;
    EXPECT_EQ(ConcatCrc32c(Crc32c(first), Crc32c(second), second.size()), Crc32c(whole)) << cut;
  }
}

}  // namespace
}  // namespace dunlin
