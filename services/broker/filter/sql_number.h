// SqlNumber: a number of an SQL filter, or one that a property's text stands for. Pure.

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace dunlin::broker {

// A 64-bit integer, or else a 64-bit float that is neither infinite nor NaN.
class SqlNumber {
 public:
  SqlNumber() = default;
  static SqlNumber Integer(int64_t value);
  static SqlNumber Float(double value);

  // The whole of `text` as `12`, `-7`, `+1.5`, `.5`, `5.` or `1e-3`. Nothing when it is something
  // else (blanks around it, hexadecimal, `inf`), has more than kMaxLength characters, or is out of
  // the range of a float. An integer that 64 bits do not hold becomes a float.
  static std::optional<SqlNumber> Parse(std::string_view text);
  static constexpr size_t kMaxLength = 64;

  bool is_integer() const { return is_integer_; }

  SqlNumber Negated() const;

  // Below 0, 0 or above 0, as this is less than, equal to or greater than `other`. Exact, also
  // between an integer and a float.
  int Compare(SqlNumber other) const;

 private:
  bool is_integer_ = true;
  union {
    int64_t integer_ = 0;
    double float_;
  };
};

}  // namespace dunlin::broker
