#include "services/broker/filter/sql_number.h"

#include <charconv>
#include <limits>
#include <system_error>

namespace dunlin::broker {
namespace {

constexpr double kTwoTo63 = 9223372036854775808.0;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Moves `at` over digits; how many.
size_t SkipDigits(std::string_view text, size_t& at) {
  const size_t first = at;
  while (at < text.size() && IsDigit(text[at])) ++at;
  return at - first;
}

enum class Form { kNone, kInteger, kFloat };

// What `text`, which has no sign, has the form of.
Form FormOf(std::string_view text) {
  size_t at = 0;
  Form form = Form::kInteger;
  size_t digits = SkipDigits(text, at);
  if (at < text.size() && text[at] == '.') {
    form = Form::kFloat;
    ++at;
    digits += SkipDigits(text, at);
  }
  if (digits == 0) return Form::kNone;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    form = Form::kFloat;
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    if (SkipDigits(text, at) == 0) return Form::kNone;
  }
  return at == text.size() ? form : Form::kNone;
}

template <typename Value>
int Order(Value a, Value b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

int CompareIntegerToFloat(int64_t a, double b) {
  if (b < -kTwoTo63) return 1;
  if (b >= kTwoTo63) return -1;
  const auto whole = static_cast<int64_t>(b);  // towards 0
  if (a != whole) return Order(a, whole);
  return Order(0.0, b - static_cast<double>(whole));
}

}  // namespace

SqlNumber SqlNumber::Integer(int64_t value) {
  SqlNumber number;
  number.integer_ = value;
  return number;
}

SqlNumber SqlNumber::Float(double value) {
  SqlNumber number;
  number.is_integer_ = false;
  number.float_ = value;
  return number;
}

std::optional<SqlNumber> SqlNumber::Parse(std::string_view text) {
  if (text.size() > kMaxLength) return std::nullopt;
  std::string_view digits = text;
  if (text.starts_with('-')) digits.remove_prefix(1);
  if (text.starts_with('+')) text = digits = text.substr(1);  // std::from_chars knows `-` only
  const Form form = FormOf(digits);
  if (form == Form::kNone) return std::nullopt;
  const char* const end = text.data() + text.size();
  if (form == Form::kInteger) {
    int64_t value = 0;
    if (std::from_chars(text.data(), end, value).ec == std::errc()) return Integer(value);
  }
  double value = 0;
  if (std::from_chars(text.data(), end, value).ec != std::errc()) return std::nullopt;
  return Float(value);
}

SqlNumber SqlNumber::Negated() const {
  if (!is_integer_) return Float(-float_);
  if (integer_ == std::numeric_limits<int64_t>::min()) return Float(kTwoTo63);
  return Integer(-integer_);
}

int SqlNumber::Compare(SqlNumber other) const {
  if (is_integer_ && other.is_integer_) return Order(integer_, other.integer_);
  if (is_integer_) return CompareIntegerToFloat(integer_, other.float_);
  if (other.is_integer_) return -CompareIntegerToFloat(other.integer_, float_);
  return Order(float_, other.float_);
}

}  // namespace dunlin::broker
