#include "services/broker/filter/sql_lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

using Kind = SqlToken::Kind;

// How much of a token an error message shows.
constexpr size_t kShownBytes = 40;

constexpr std::array<std::pair<std::string_view, Kind>, 12> kKeywords = {{
    {"AND", Kind::kAnd},
    {"BETWEEN", Kind::kBetween},
    {"CONTAINS", Kind::kContains},
    {"ENDSWITH", Kind::kEndsWith},
    {"FALSE", Kind::kFalse},
    {"IN", Kind::kIn},
    {"IS", Kind::kIs},
    {"NOT", Kind::kNot},
    {"NULL", Kind::kNull},
    {"OR", Kind::kOr},
    {"STARTSWITH", Kind::kStartsWith},
    {"TRUE", Kind::kTrue},
}};

// Longer ones before those that they begin with.
constexpr std::array<std::pair<std::string_view, Kind>, 11> kSigns = {{
    {"<=", Kind::kLessOrEqual},
    {">=", Kind::kGreaterOrEqual},
    {"<>", Kind::kUnequal},
    {"=", Kind::kEqual},
    {"<", Kind::kLess},
    {">", Kind::kGreater},
    {"+", Kind::kPlus},
    {"-", Kind::kMinus},
    {",", Kind::kComma},
    {"(", Kind::kLeftParenthesis},
    {")", Kind::kRightParenthesis},
}};

// Without the C library's idea of the locale.
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r' && c != '\v'); }
char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
bool BeginsName(char c) { return (Upper(c) >= 'A' && Upper(c) <= 'Z') || c == '_' || c == '$'; }
bool ContinuesName(char c) { return BeginsName(c) || IsDigit(c); }
bool ContinuesCharacter(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// Bytes of the UTF-8 character that `text` begins with.
size_t CharacterSize(std::string_view text) {
  size_t size = 1;
  while (size < text.size() && ContinuesCharacter(text[size])) ++size;
  return size;
}

std::string_view HintFor(std::string_view rest) {
  if (rest.starts_with("!=")) return "; unequal is <>";
  if (rest.starts_with('"')) return "; strings stand in single quotes: 'a'";
  return "";
}

}  // namespace

absl::Status SqlError(std::string_view expression, size_t at, std::string_view what) {
  const std::string_view before = expression.substr(0, at);
  const auto characters = before.size() - static_cast<size_t>(std::count_if(
                                              before.begin(), before.end(), ContinuesCharacter));
  return PublicError(
      PublicCode::kIllegalFilterExpression,
      fmt::format("the SQL filter is wrong at character {}: {}", characters + 1, what));
}

std::string Unquoted(const SqlToken& token) {
  const char quote = token.text.front();
  if (quote != '\'' && quote != '`') return std::string(token.text);
  std::string text;
  const std::string_view inside = token.text.substr(1, token.text.size() - 2);
  for (size_t i = 0; i < inside.size(); ++i) {
    text += inside[i];
    if (inside[i] == quote) ++i;
  }
  return text;
}

std::string Describe(const SqlToken& token) {
  if (token.kind == Kind::kEnd) return "the end";
  if (token.text.size() <= kShownBytes) return std::string(token.text);
  size_t size = kShownBytes;
  while (ContinuesCharacter(token.text[size])) --size;
  return std::string(token.text.substr(0, size)) + "...";
}

absl::StatusOr<SqlToken> SqlLexer::Next() {
  RETURN_IF_ERROR(SkipBlanks());
  if (at_ == expression_.size()) return Cut(Kind::kEnd, 0);
  const std::string_view rest = expression_.substr(at_);
  const char first = rest.front();
  if (first == '\'') return ReadQuoted(Kind::kText);
  if (first == '`') return ReadQuoted(Kind::kName);
  if (BeginsName(first)) return ReadWord();
  if (IsDigit(first) || (first == '.' && rest.size() > 1 && IsDigit(rest[1]))) return ReadNumber();
  return ReadSign();
}

absl::Status SqlLexer::SkipBlanks() {
  for (;;) {
    const std::string_view rest = expression_.substr(at_);
    if (rest.starts_with("--")) {
      at_ += std::min(rest.find_first_of("\r\n"), rest.size());
    } else if (rest.starts_with("/*")) {
      const size_t end = rest.find("*/", 2);
      if (end == std::string_view::npos) {
        return SqlError(expression_, at_, "expected */ at the end of the comment, found the end");
      }
      at_ += end + 2;
    } else if (!rest.empty() && IsBlank(rest.front())) {
      ++at_;
    } else {
      return absl::OkStatus();
    }
  }
}

SqlToken SqlLexer::Cut(Kind kind, size_t size) {
  const SqlToken token{kind, at_, expression_.substr(at_, size)};
  at_ += size;
  return token;
}

absl::StatusOr<SqlToken> SqlLexer::ReadQuoted(Kind kind) {
  const char quote = expression_[at_];
  for (size_t end = at_ + 1; end < expression_.size(); ++end) {
    if (expression_[end] != quote) continue;
    if (end + 1 == expression_.size() || expression_[end + 1] != quote) {
      return Cut(kind, end + 1 - at_);
    }
    ++end;  // doubled: the quote itself
  }
  return SqlError(expression_, at_,
                  fmt::format("expected another {} that closes this one, found the end", quote));
}

absl::StatusOr<SqlToken> SqlLexer::ReadNumber() {
  size_t end = at_;
  const auto here = [&] { return end < expression_.size() ? expression_[end] : '\0'; };
  const auto skip_digits = [&] {
    while (IsDigit(here())) ++end;
  };
  Kind kind = Kind::kInteger;
  skip_digits();
  if (here() == '.') {
    kind = Kind::kFloat;
    ++end;
    skip_digits();
  }
  if (Upper(here()) == 'E') {
    kind = Kind::kFloat;
    ++end;
    if (here() == '+' || here() == '-') ++end;
    if (!IsDigit(here())) {
      return SqlError(expression_, end, "expected the digits of the number's exponent");
    }
    skip_digits();
  }
  const size_t size = end - at_;
  if (kind == Kind::kInteger && Upper(here()) == 'L') ++end;  // Java's mark of a long
  if (ContinuesName(here()) || here() == '.') {
    return SqlError(expression_, end,
                    fmt::format("expected the end of the number, found {}", here()));
  }
  SqlToken token = Cut(kind, size);
  at_ = end;
  return token;
}

SqlToken SqlLexer::ReadWord() {
  size_t size = 1;
  while (at_ + size < expression_.size() && ContinuesName(expression_[at_ + size])) ++size;
  const std::string_view word = expression_.substr(at_, size);
  for (const auto& [keyword, kind] : kKeywords) {
    if (std::equal(word.begin(), word.end(), keyword.begin(), keyword.end(),
                   [](char a, char b) { return Upper(a) == b; })) {
      return Cut(kind, size);
    }
  }
  return Cut(Kind::kName, size);
}

absl::StatusOr<SqlToken> SqlLexer::ReadSign() {
  const std::string_view rest = expression_.substr(at_);
  for (const auto& [sign, kind] : kSigns) {
    if (rest.starts_with(sign)) return Cut(kind, sign.size());
  }
  return SqlError(
      expression_, at_,
      fmt::format("expected a word, a number, a string, a comparison or a parenthesis, found {}{}",
                  rest.substr(0, CharacterSize(rest)), HintFor(rest)));
}

}  // namespace dunlin::broker
