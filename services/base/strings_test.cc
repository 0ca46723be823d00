#include "services/base/strings.h"

#include <gtest/gtest.h>

namespace dunlin {
namespace {

TEST(StringMapTest, FindsByViewWithoutCopy) {
  StringMap<int> map{{"orders", 1}};
  EXPECT_TRUE(map.contains(std::string_view("orders")));
  EXPECT_FALSE(map.contains(std::string_view("payments")));
  EXPECT_EQ(map.find("orders")->second, 1);
}

}  // namespace
}  // namespace dunlin
