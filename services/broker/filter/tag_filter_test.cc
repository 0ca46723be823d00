#include "services/broker/filter/tag_filter.h"

#include <gtest/gtest.h>

#include <string>

#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"
#include "services/store/index/tag_hash.h"

namespace dunlin::broker {
namespace {

TEST(TagFilterTest, StarAndNothingLetEverythingThrough) {
  for (const char* expression : {"", " ", "*", " * "}) {
    auto filter = TagFilter::Parse(expression);
    ASSERT_OK(filter);
    EXPECT_TRUE(filter->matches_all());
    EXPECT_TRUE(filter->Matches(""));
    EXPECT_TRUE(filter->MayMatch(0));
  }
}

TEST(TagFilterTest, TagsAreAlternativesWithoutTheBlanksAroundThem) {
  auto filter = TagFilter::Parse(" a ||b||||  c d ");
  ASSERT_OK(filter);
  for (const char* tag : {"a", "b", "c d"}) {
    EXPECT_TRUE(filter->Matches(tag));
    EXPECT_TRUE(filter->MayMatch(store::TagHash(tag)));
  }
  for (const char* tag : {"", "A", "ab", " a"}) EXPECT_FALSE(filter->Matches(tag));
  EXPECT_FALSE(filter->MayMatch(0));
}

TEST(TagFilterTest, ExpressionsWithoutATagAreRefused) {
  for (const char* expression : {"||", " || ", "a\nb"}) {
    EXPECT_EQ(CodeOf(TagFilter::Parse(expression).status()), PublicCode::kIllegalFilterExpression)
        << expression;
  }
}

TEST(TagFilterTest, ExpressionsThatCostTooMuchAreRefused) {
  auto tags = [](int count, size_t size) {
    std::string expression;
    for (int i = 0; i < count; ++i) {
      expression += (i == 0 ? "" : "||") + std::string(size, 'a');
    }
    return TagFilter::Parse(expression);
  };
  EXPECT_OK(tags(128, 30));
  EXPECT_EQ(CodeOf(tags(129, 1).status()), PublicCode::kIllegalFilterExpression);
  EXPECT_OK(tags(1, 4096));
  EXPECT_EQ(CodeOf(tags(1, 4097).status()), PublicCode::kIllegalFilterExpression);
}

}  // namespace
}  // namespace dunlin::broker
