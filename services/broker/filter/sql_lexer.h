// SqlLexer: cuts an SQL filter into tokens.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dunlin::broker {

struct SqlToken {
  enum class Kind : uint8_t {
    kEnd,
    kName,     // of a property
    kText,     // a string
    kInteger,  // without a sign
    kFloat,    // without a sign
    kEqual,
    kUnequal,
    kLess,
    kLessOrEqual,
    kGreater,
    kGreaterOrEqual,
    kPlus,
    kMinus,
    kComma,
    kLeftParenthesis,
    kRightParenthesis,
    // Keywords.
    kAnd,
    kBetween,
    kContains,
    kEndsWith,
    kFalse,
    kIn,
    kIs,
    kNot,
    kNull,
    kOr,
    kStartsWith,
    kTrue,
  };
  Kind kind = Kind::kEnd;
  size_t at = 0;          // of its first byte in the expression
  std::string_view text;  // as written, with its quotes
};

class SqlLexer {
 public:
  // `expression` must outlive the lexer and its tokens.
  explicit SqlLexer(std::string_view expression) : expression_(expression) {}

  // The next token; kEnd for ever at the end. ILLEGAL_FILTER_EXPRESSION: what comes is no token.
  absl::StatusOr<SqlToken> Next();

 private:
  // Passes over blanks and comments.
  absl::Status SkipBlanks();
  absl::StatusOr<SqlToken> ReadQuoted(SqlToken::Kind kind);
  absl::StatusOr<SqlToken> ReadNumber();
  SqlToken ReadWord();
  absl::StatusOr<SqlToken> ReadSign();
  SqlToken Cut(SqlToken::Kind kind, size_t size);

  const std::string_view expression_;
  size_t at_ = 0;
};

// What stands between the quotes of a kText or kName token, doubled quotes undone.
std::string Unquoted(const SqlToken& token);

// A token as an error message names it: `AND`, 'a string', the end.
std::string Describe(const SqlToken& token);

// ILLEGAL_FILTER_EXPRESSION that names the character of `expression` at byte `at`, counted from 1.
absl::Status SqlError(std::string_view expression, size_t at, std::string_view what);

}  // namespace dunlin::broker
