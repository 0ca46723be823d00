#include "services/broker/filter/sql_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "services/base/testing/status_matchers.h"
#include "services/broker/codes/public_code.h"
#include "services/store/index/tag_hash.h"

namespace dunlin::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr SqlTruth kTrue = SqlTruth::kTrue;
constexpr SqlTruth kFalse = SqlTruth::kFalse;
constexpr SqlTruth kUnknown = SqlTruth::kUnknown;

// What all evaluations below are about. There is no property n.
const std::map<std::string, std::string>& Message() {
  static const auto* const message = new std::map<std::string, std::string>{
      {"i", "5"},
      {"j", "5.0"},
      {"d", "2.5"},
      {"neg", "-7"},
      {"big", "9007199254740993"},
      {"s", "blue"},
      {"t", "blue"},
      {"quoted", "it's"},
      {"empty", ""},
      {"yes", "true"},
      {"no", "False"},
      {"city", "Zürich"},
      {"in", "keyword"},
      {"order-id", "x1"},
      {"Ö", "umlaut"},
      {"blank", " 5"},
      {"long", std::string(300, 'a')},
      {"$a_1", "1"},
      {"TAGS", "paid"},
      {"a`b", "backquote"},
  };
  return *message;
}

SqlTruth Evaluate(const std::string& expression) {
  const auto filter = SqlFilter::Parse(expression);
  EXPECT_OK(filter) << expression;
  if (!filter.ok()) return kUnknown;
  SqlValues values(filter->properties().size());
  for (size_t i = 0; i < filter->properties().size(); ++i) {
    const auto found = Message().find(filter->properties()[i]);
    if (found != Message().end()) values.Set(i, found->second);
  }
  size_t searched = 0;
  return filter->Evaluate(values, searched);
}

struct Case {
  std::string expression;
  SqlTruth truth;
};

void Check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    EXPECT_EQ(Evaluate(c.expression), c.truth) << c.expression;
  }
}

TEST(SqlFilterTest, PropertiesAreNumbersBesideNumbers) {
  Check({
      {"i = 5", kTrue},
      {"5 = i", kTrue},
      {"i = 5.0", kTrue},
      {"i = +5", kTrue},
      {"i = 5L", kTrue},
      {"i = 50e-1", kTrue},
      {"i <> 5", kFalse},
      {"i <> 6", kTrue},
      {"i > 4.999", kTrue},
      {"i >= 5", kTrue},
      {"i < 5", kFalse},
      {"i <= 5", kTrue},
      {"6 > i", kTrue},
      {"d = 2.5", kTrue},
      {"d > 2", kTrue},
      {"d = .25e1", kTrue},
      {"neg = -7", kTrue},
      {"neg < -6", kTrue},
      {"neg = - -7", kFalse},
      {"-neg = 7", kTrue},
      {"- - neg = -7", kTrue},
      {"-(-(neg)) = -7", kTrue},
      {"big = 9007199254740993", kTrue},
      {"big = 9007199254740992", kFalse},
      {"big > -9223372036854775808", kTrue},
      {"i BETWEEN 5 AND 6", kTrue},
      {"i BETWEEN 4 AND 5 AND s = 'blue'", kTrue},
      {"i BETWEEN 6 AND 4", kFalse},
      {"i NOT BETWEEN 6 AND 8", kTrue},
      {"5 BETWEEN d AND i", kTrue},
      {"i IN (1, 5)", kTrue},
      {"i IN (-1, +5.0)", kTrue},
      {"i NOT IN (1, 2)", kTrue},
      {"2 = 2.0", kTrue},
      {"2 > 3", kFalse},
  });
}

TEST(SqlFilterTest, WhatIsNoNumberIsUnknownBesideNumbers) {
  Check({
      {"s = 5", kUnknown},
      {"s <> 5", kUnknown},
      {"NOT s = 5", kUnknown},
      {"s > 5", kUnknown},
      {"empty = 0", kUnknown},
      {"blank = 5", kUnknown},
      {"long > 0", kUnknown},
      {"yes = 1", kUnknown},
      {"s BETWEEN 1 AND 5", kUnknown},
      {"-s = 1", kUnknown},
      {"-s IS NULL", kTrue},
      {"+i IS NULL", kFalse},
      {"s IN (1, 2)", kUnknown},
      {"s NOT IN (1, 2)", kUnknown},
      {"s IN ('blue', 1)", kTrue},
      {"s IN ('red', 1)", kUnknown},
  });
}

TEST(SqlFilterTest, PropertiesAreTextsBesideTexts) {
  Check({
      {"s = 'blue'", kTrue},
      {"'blue' = s", kTrue},
      {"s = 'Blue'", kFalse},
      {"s <> 'Blue'", kTrue},
      {"i = '5'", kTrue},
      {"j = '5'", kFalse},
      {"empty = ''", kTrue},
      {"empty <> ''", kFalse},
      {"quoted = 'it''s'", kTrue},
      {"city = 'Zürich'", kTrue},
      {"'a' = 'a'", kTrue},
      {"s IN ('red', 'blue')", kTrue},
      {"s IN ('red', 'Blue')", kFalse},
      {"s NOT IN ('red')", kTrue},
      {"i IN ('5.0')", kFalse},
      {"TAGS = 'paid'", kTrue},
      {"tags = 'paid'", kUnknown},
  });
}

TEST(SqlFilterTest, TwoPropertiesAreTextsWhenEqualAndNumbersInOrder) {
  Check({
      {"s = t", kTrue},
      {"s <> t", kFalse},
      {"i = j", kFalse},
      {"i <> j", kTrue},
      {"i >= j", kTrue},
      {"i > d", kTrue},
      {"+i = j", kTrue},
      {"+i = +j", kTrue},
      {"i <> +j", kFalse},
      {"s > t", kUnknown},
      {"neg < -neg", kTrue},
  });
}

TEST(SqlFilterTest, PropertiesAreTruthsBesideTruths) {
  Check({
      {"yes = TRUE", kTrue},   {"yes = false", kFalse},  {"yes <> FALSE", kTrue},
      {"no = FALSE", kTrue},   {"TRUE = no", kFalse},    {"s = TRUE", kUnknown},
      {"s = FALSE", kUnknown}, {"i = TRUE", kUnknown},   {"TRUE = TRUE", kTrue},
      {"yes", kTrue},          {"no", kFalse},           {"NOT no", kTrue},
      {"s", kUnknown},         {"yes AND i = 5", kTrue}, {"(yes) OR (no)", kTrue},
      {"TRUE", kTrue},         {"FALSE", kFalse},        {"NULL", kUnknown},
      {"yes = 'true'", kTrue},
  });
}

TEST(SqlFilterTest, SearchesInTexts) {
  Check({
      {"s CONTAINS 'lu'", kTrue},      {"s CONTAINS 'blue'", kTrue},
      {"s CONTAINS 'LU'", kFalse},     {"s CONTAINS 'blues'", kFalse},
      {"s NOT CONTAINS 'x'", kTrue},   {"s STARTSWITH 'bl'", kTrue},
      {"s STARTSWITH 'lu'", kFalse},   {"s NOT STARTSWITH 'lu'", kTrue},
      {"s ENDSWITH 'ue'", kTrue},      {"s ENDSWITH 'lu'", kFalse},
      {"s NOT ENDSWITH 'ue'", kFalse}, {"city CONTAINS 'ü'", kTrue},
      {"i CONTAINS '5'", kTrue},       {"s CONTAINS ''", kTrue},
      {"empty CONTAINS ''", kTrue},    {"empty CONTAINS 'a'", kFalse},
      {"empty STARTSWITH ''", kTrue},  {"quoted ENDSWITH '''s'", kTrue},
      {"n CONTAINS 'a'", kUnknown},    {"n NOT CONTAINS 'a'", kUnknown},
      {"n STARTSWITH ''", kUnknown},   {"n ENDSWITH ''", kUnknown},
  });
}

TEST(SqlFilterTest, AMissingPropertyIsNull) {
  Check({
      {"n IS NULL", kTrue},
      {"n IS NOT NULL", kFalse},
      {"s IS NULL", kFalse},
      {"s is not null", kTrue},
      {"empty IS NULL", kFalse},
      {"(n) IS NULL", kTrue},
      {"NULL IS NULL", kTrue},
      {"5 IS NULL", kFalse},
      {"n = 5", kUnknown},
      {"n <> 5", kUnknown},
      {"n = 'a'", kUnknown},
      {"n = TRUE", kUnknown},
      {"n = n", kUnknown},
      {"n < n", kUnknown},
      {"n BETWEEN 1 AND 5", kUnknown},
      {"i BETWEEN n AND 4", kFalse},
      {"i BETWEEN n AND 6", kUnknown},
      {"i NOT BETWEEN n AND 4", kTrue},
      {"n IN ('a')", kUnknown},
      {"n NOT IN ('a')", kUnknown},
      {"n", kUnknown},
      {"NOT n", kUnknown},
      {"-n IS NULL", kTrue},
  });
}

TEST(SqlFilterTest, ThreeTruthValues) {
  const std::map<SqlTruth, std::string> written = {
      {kTrue, "i = 5"}, {kFalse, "i = 6"}, {kUnknown, "n = 5"}};
  for (const auto& [left, left_text] : written) {
    const int opposite = 2 - static_cast<int>(left);
    EXPECT_EQ(Evaluate("NOT " + left_text), static_cast<SqlTruth>(opposite)) << left_text;
    for (const auto& [right, right_text] : written) {
      EXPECT_EQ(Evaluate(left_text + " AND " + right_text), std::min(left, right));
      EXPECT_EQ(Evaluate(left_text + " OR " + right_text), std::max(left, right));
    }
  }
}

TEST(SqlFilterTest, NotBindsMoreThanAndAndMoreThanOr) {
  Check({
      {"TRUE OR TRUE AND FALSE", kTrue},
      {"(TRUE OR TRUE) AND FALSE", kFalse},
      {"FALSE AND FALSE OR TRUE", kTrue},
      {"NOT TRUE OR TRUE", kTrue},
      {"NOT (TRUE OR TRUE)", kFalse},
      {"NOT FALSE AND FALSE", kFalse},
      {"NOT (FALSE AND FALSE)", kTrue},
      {"NOT i = 6", kTrue},
      {"NOT i = 5 OR i = 5", kTrue},
      {"NOT i BETWEEN 6 AND 7 AND i = 5", kTrue},
      {"NOT NOT i = 5", kTrue},
      {"NOT NOT NOT i = 5", kFalse},
      {"NOT s IS NULL", kTrue},
      {"NOT s NOT IN ('blue')", kTrue},
      {"i = 6 OR i = 7 OR i = 5", kTrue},
      {"i = 5 AND d = 2.5 AND (s = 'red' OR (yes AND NOT no))", kTrue},
  });
}

TEST(SqlFilterTest, WordsBlanksAndComments) {
  Check({
      {"\ti\r\n=\f5 ", kTrue},
      {"i=5 and(d=2.5)", kTrue},
      {"i Between 1 aNd 9", kTrue},
      {"I = 5", kUnknown},
      {"i = 5 -- and so on", kTrue},
      {"i -- a comment\n = 5", kTrue},
      {"i /* not '5 */ = /**/ 5", kTrue},
      {"s /* ** / */ = 'blue'", kTrue},
      {"s = 'blue' /* -- */", kTrue},
      {"$a_1 = 1", kTrue},
      {"`in` = 'keyword'", kTrue},
      {"`order-id` = 'x1'", kTrue},
      {"`Ö` = 'umlaut'", kTrue},
      {"`a``b` = 'backquote'", kTrue},
      {"s <> '--' AND s <> '/*'", kTrue},
  });
}

TEST(SqlFilterTest, WhatIsNoFilterIsRefusedWithItsPlace) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"",
       "character 1: expected a property, a number, a string, TRUE, FALSE, NULL or (, found "
       "the end"},
      {"  ", "character 3: expected a property"},
      {"*",
       "character 1: expected a word, a number, a string, a comparison or a parenthesis, "
       "found *"},
      {"a =",
       "character 4: expected a property, a number, a string, TRUE, FALSE, NULL or (, found "
       "the end"},
      {"a = AND",
       "character 5: expected a property, a number, a string, TRUE, FALSE, NULL or (, "
       "found AND"},
      {"a = 1 b", "character 7: expected AND, OR or the end, found b"},
      {"a b", "character 3: expected a comparison or the end, found b"},
      {"a = b = c", "character 7: expected AND, OR or the end, found ="},
      {"1 < a < 5", "character 7: expected AND, OR or the end, found <"},
      {"(a = 1", "character 7: expected AND, OR or ), found the end"},
      {"(a", "character 3: expected a comparison or ), found the end"},
      {"a = 1)", "character 6: expected AND, OR or the end, found )"},
      {"()", "character 2: expected a property"},
      {"a = 'x", "character 5: expected another ' that closes this one, found the end"},
      {"`a = 1", "character 1: expected another ` that closes this one, found the end"},
      {"a = 1 /* b", "character 7: expected */ at the end of the comment, found the end"},
      {"a != 1",
       "character 3: expected a word, a number, a string, a comparison or a parenthesis, "
       "found !; unequal is <>"},
      {"a = \"x\"", "found \"; strings stand in single quotes: 'a'"},
      {"a == 1", "character 4: expected a property"},
      {"a = ü",
       "character 5: expected a word, a number, a string, a comparison or a parenthesis, "
       "found ü"},
      {"a = 'ü' b", "character 9: expected AND, OR or the end, found b"},
      {"a = 1 AND", "character 10: expected a property"},
      {"NOT", "character 4: expected a property"},
      {"a NOT 5", "character 7: expected BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH, found 5"},
      {"a NOT = 5", "character 7: expected BETWEEN"},
      {"a IS 5", "character 6: expected NULL or NOT NULL, found 5"},
      {"a IS NOT TRUE", "character 10: expected NULL, found TRUE"},
      {"a BETWEEN 1", "character 12: expected AND and the upper bound of BETWEEN, found the end"},
      {"a BETWEEN 1 OR 2", "character 13: expected AND and the upper bound of BETWEEN, found OR"},
      {"a BETWEEN 'b' AND 'c'",
       "character 11: expected a number or a property to put in order, "
       "found a string"},
      {"a IN 'x'", "character 6: expected ( and the elements of IN, found 'x'"},
      {"a IN ()", "character 7: expected a property"},
      {"a IN ('x' 'y')", "character 11: expected , or ), found 'y'"},
      {"a IN ('x',)", "character 11: expected a property"},
      {"a IN (b)",
       "character 7: expected a string or a number as an element of IN, found a "
       "property"},
      {"a IN (NULL)", "found NULL"},
      {"5 IN (5)", "character 1: expected a property before IN, found a number"},
      {"a CONTAINS 5", "character 12: expected a string behind CONTAINS, found 5"},
      {"a contains b", "character 12: expected a string behind contains, found b"},
      {"'a' CONTAINS 'a'", "character 1: expected a property before CONTAINS, found a string"},
      {"a > 'x'", "character 5: expected a number or a property to put in order, found a string"},
      {"TRUE < a",
       "character 1: expected a number or a property to put in order, found TRUE or "
       "FALSE"},
      {"a = NULL",
       "character 5: expected a value to compare (IS NULL asks whether there is none), "
       "found NULL"},
      {"5 = 'x'", "character 5: expected the like of a number, found a string"},
      {"'x' = TRUE", "character 7: expected the like of a string, found TRUE or FALSE"},
      {"-a = 'x'", "character 6: expected the like of a property's number, found a string"},
      {"5", "character 1: expected a condition, found a number"},
      {"a = 1 OR 'x'", "character 10: expected a condition, found a string"},
      {"-a AND TRUE", "character 1: expected a condition, found a property's number"},
      {"(a = 1) = TRUE", "character 1: expected a value before =, found a condition"},
      {"a = (b = 1)", "character 5: expected a value to compare, found a condition"},
      {"(a = 1) IS NULL", "character 1: expected a value before IS, found a condition"},
      {"-'x' = 1", "character 2: expected a number or a property behind the sign, found a string"},
      {"-(a = 1)",
       "character 2: expected a number or a property behind the sign, found a "
       "condition"},
      {"a = 5x", "character 6: expected the end of the number, found x"},
      {"a = 0x10", "character 6: expected the end of the number, found x"},
      {"a = 1.2.3", "character 8: expected the end of the number, found ."},
      {"a = 1e", "character 7: expected the digits of the number's exponent"},
      {"a = 9223372036854775808",
       "character 5: expected an integer of 64 bits, found "
       "9223372036854775808"},
      {"a = 1e999",
       "character 5: expected a number of up to 63 characters in the range of a "
       "64-bit float, found 1e999"},
      {"a = '" + std::string(60, 'x') + "' '" + std::string(60, 'y') + "'",
       "character 68: expected AND, OR or the end, found '" + std::string(39, 'y') + "..."},
      {"a; DROP TABLE messages", "character 2: expected a word"},
  };
  for (const auto& [expression, message] : cases) {
    const absl::Status status = SqlFilter::Parse(expression).status();
    EXPECT_EQ(CodeOf(status), PublicCode::kIllegalFilterExpression) << expression;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message)) << expression;
  }
}

std::string Repeat(const std::string& text, size_t times, const std::string& between = "") {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += (i == 0 ? "" : between) + text;
  return all;
}

void CheckLimit(const std::string& largest, const std::string& too_large,
                const std::string& message) {
  EXPECT_OK(SqlFilter::Parse(largest));
  const absl::Status status = SqlFilter::Parse(too_large).status();
  EXPECT_EQ(CodeOf(status), PublicCode::kIllegalFilterExpression);
  EXPECT_THAT(std::string(status.message()), HasSubstr(message));
}

TEST(SqlFilterTest, WhatCostsTooMuchIsRefused) {
  const auto sized = [](size_t bytes) { return "a = '" + std::string(bytes - 6, 'x') + "'"; };
  CheckLimit(sized(kMaxSqlBytes), sized(kMaxSqlBytes + 1), "16385 bytes; at most 16384");
  const auto conditions = [](size_t count) { return Repeat("a=1", count, " OR "); };
  CheckLimit(conditions(kMaxSqlConditions), conditions(kMaxSqlConditions + 1),
             "expected at most 256 conditions, found more");
  const auto nested = [](size_t depth) {
    return Repeat("(", depth) + "a = 1" + Repeat(")", depth);
  };
  CheckLimit(nested(kMaxSqlNesting), nested(kMaxSqlNesting + 1),
             "character 33: expected at most 32 parentheses within each other, found more");
  const auto properties = [](size_t count) {
    std::string expression;
    for (size_t i = 0; i < count; ++i) {
      expression += (i == 0 ? "p" : " AND p") + std::to_string(i) + " = 1";
    }
    return expression;
  };
  CheckLimit(properties(kMaxSqlProperties), properties(kMaxSqlProperties + 1),
             "expected at most 64 different properties, found p64");
}

TEST(SqlFilterTest, LongChainsTakeNoStack) {
  EXPECT_EQ(Evaluate(Repeat("NOT ", 4000) + "i = 5"), kTrue);
  EXPECT_EQ(Evaluate(Repeat("- ", 8000) + "neg = -7"), kTrue);
  EXPECT_EQ(Evaluate("i IN (" + Repeat("1", 5000, ", ") + ", 5)"), kTrue);
  EXPECT_THAT(std::string(SqlFilter::Parse(Repeat("(", 16'000)).status().message()),
              HasSubstr("at most 32 parentheses"));
}

TEST(SqlFilterTest, TheExamplesOfTheManualAreInTheLanguage) {
  std::ifstream page("docs/filters.md");
  int examples = 0;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    if (inside && line != "```") {
      EXPECT_OK(SqlFilter::Parse(line)) << line;
      ++examples;
    }
    inside = line == "```sql" || (inside && line != "```");
  }
  EXPECT_GE(examples, 4);
}

TEST(SqlFilterTest, PropertiesAreNamedOnce) {
  const auto filter = SqlFilter::Parse("b = 1 OR a = 2 OR `b` = 3 OR B = 4");
  ASSERT_OK(filter);
  EXPECT_THAT(filter->properties(), ElementsAre("b", "a", "B"));
}

TEST(SqlFilterTest, LongSearchesAreCounted) {
  const auto filter = SqlFilter::Parse("a CONTAINS 'x' OR a CONTAINS 'y' OR b = 'z'");
  ASSERT_OK(filter);
  const std::string text(1000, 'a');
  SqlValues values(2);
  values.Set(0, text);
  size_t searched = 0;
  EXPECT_EQ(filter->Evaluate(values, searched), kUnknown);
  EXPECT_EQ(searched, 2000u);
}

// The tags without which an expression cannot be true.
SqlFilter::Tags TagsOf(const std::string& expression) {
  const auto filter = SqlFilter::Parse(expression);
  EXPECT_OK(filter) << expression;
  return filter.ok() ? filter->tags() : SqlFilter::Tags();
}

TEST(SqlFilterTest, TagsThatAreNeededAreKnown) {
  const uint32_t a = store::TagHash("a");
  const uint32_t b = store::TagHash("b");
  for (const char* expression :
       {"TAGS = 'a'", "'a' = TAGS", "TAGS = 'a' AND x = 1", "x = 1 AND (y = 2 AND TAGS = 'a')",
        "TAGS IN ('a')", "TAGS IN ('a', 'b') AND TAGS = 'a'"}) {
    EXPECT_FALSE(TagsOf(expression).any) << expression;
    EXPECT_THAT(TagsOf(expression).hashes, ElementsAre(a)) << expression;
  }
  for (const char* expression : {"TAGS IN ('a', 'b')", "TAGS = 'a' AND x = 1 OR TAGS = 'b'"}) {
    EXPECT_FALSE(TagsOf(expression).any) << expression;
    EXPECT_THAT(TagsOf(expression).hashes, UnorderedElementsAre(a, b)) << expression;
  }
  for (const char* expression : {"x = 1", "TAGS = 'a' OR x = 1", "NOT TAGS = 'a'", "TAGS <> 'a'",
                                 "TAGS = x", "TAGS = 1", "TAGS IN ('a', 1)", "TAGS NOT IN ('a')",
                                 "TAGS STARTSWITH 'a'", "TAGS IS NULL", "tags = 'a'"}) {
    EXPECT_TRUE(TagsOf(expression).any) << expression;
    EXPECT_THAT(TagsOf(expression).hashes, IsEmpty()) << expression;
  }
}

}  // namespace
}  // namespace dunlin::broker
