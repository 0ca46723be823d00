#include "services/broker/filter/sql_number.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <string>

namespace dunlin::broker {
namespace {

TEST(SqlNumberTest, TextsThatAreNumbers) {
  struct Case {
    std::string_view text;
    SqlNumber number;
    bool is_integer;
  };
  const std::array<Case, 16> cases = {{
      {"0", SqlNumber::Integer(0), true},
      {"-0", SqlNumber::Integer(0), true},
      {"007", SqlNumber::Integer(7), true},
      {"+12", SqlNumber::Integer(12), true},
      {"-12", SqlNumber::Integer(-12), true},
      {"9223372036854775807", SqlNumber::Integer(INT64_MAX), true},
      {"-9223372036854775808", SqlNumber::Integer(INT64_MIN), true},
      {"9223372036854775808", SqlNumber::Float(9223372036854775808.0), false},
      {"1.5", SqlNumber::Float(1.5), false},
      {"-.5", SqlNumber::Float(-0.5), false},
      {"5.", SqlNumber::Float(5), false},
      {"1e3", SqlNumber::Float(1000), false},
      {"25E-2", SqlNumber::Float(0.25), false},
      {"1.5e+1", SqlNumber::Float(15), false},
      {"1.7976931348623157e308", SqlNumber::Float(std::numeric_limits<double>::max()), false},
      {"0.0000000000000000000000000000000000000000000000000000000000001", SqlNumber::Float(1e-61),
       false},
  }};
  for (const Case& c : cases) {
    const auto number = SqlNumber::Parse(c.text);
    ASSERT_TRUE(number.has_value()) << c.text;
    EXPECT_EQ(number->is_integer(), c.is_integer) << c.text;
    EXPECT_EQ(number->Compare(c.number), 0) << c.text;
  }
}

TEST(SqlNumberTest, TextsThatAreNone) {
  for (const std::string& text :
       {std::string(),        std::string("-"),     std::string("+"),
        std::string("."),     std::string("e5"),    std::string("1e"),
        std::string("1e+"),   std::string("1.5.5"), std::string("--1"),
        std::string("+-1"),   std::string("-+1"),   std::string(" 1"),
        std::string("1 "),    std::string("0x10"),  std::string("inf"),
        std::string("-inf"),  std::string("nan"),   std::string("infinity"),
        std::string("1e999"), std::string("1d"),    std::string("1_000"),
        std::string("1,5"),   std::string("١"),     std::string(65, '1')}) {
    EXPECT_FALSE(SqlNumber::Parse(text).has_value()) << text;
  }
}

TEST(SqlNumberTest, ComparisonsAreExact) {
  // Ascending; neighbours that doubles do not tell apart are among them.
  const std::array<SqlNumber, 14> ascending = {
      SqlNumber::Float(-1e300),
      SqlNumber::Integer(INT64_MIN),
      SqlNumber::Integer(INT64_MIN + 1),
      SqlNumber::Float(-1.5),
      SqlNumber::Integer(-1),
      SqlNumber::Float(-0.5),
      SqlNumber::Integer(0),
      SqlNumber::Float(5e-324),
      SqlNumber::Integer(1),
      SqlNumber::Float(9007199254740992.0),
      SqlNumber::Integer(9007199254740993),
      SqlNumber::Integer(INT64_MAX),
      SqlNumber::Float(9223372036854775808.0),
      SqlNumber::Float(1e300),
  };
  for (size_t i = 0; i < ascending.size(); ++i) {
    for (size_t k = 0; k < ascending.size(); ++k) {
      const int order = i < k ? -1 : i > k ? 1 : 0;
      EXPECT_EQ(ascending[i].Compare(ascending[k]), order) << i << " " << k;
    }
  }
  EXPECT_EQ(SqlNumber::Float(-0.0).Compare(SqlNumber::Integer(0)), 0);
  EXPECT_EQ(SqlNumber::Float(5).Compare(SqlNumber::Integer(5)), 0);
}

TEST(SqlNumberTest, TheOtherSign) {
  EXPECT_EQ(SqlNumber::Integer(5).Negated().Compare(SqlNumber::Integer(-5)), 0);
  EXPECT_EQ(SqlNumber::Float(0.5).Negated().Compare(SqlNumber::Float(-0.5)), 0);
  EXPECT_EQ(
      SqlNumber::Integer(INT64_MIN).Negated().Compare(SqlNumber::Float(9223372036854775808.0)), 0);
}

}  // namespace
}  // namespace dunlin::broker
