#include "services/broker/filter/sql_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/filter/sql_lexer.h"

namespace dunlin::broker {
namespace {

using Token = SqlToken::Kind;
using Value = SqlOperand::Kind;
using Node = SqlNode::Kind;

// What was read: a condition, whose nodes are the last of the program, or a value that something
// behind it may make one.
struct Parsed {
  size_t at = 0;  // its first byte
  bool is_condition = false;
  SqlOperand value;
};

std::string_view NameOf(const Parsed& parsed) {
  if (parsed.is_condition) return "a condition";
  switch (parsed.value.kind) {
    case Value::kNull:
      return "NULL";
    case Value::kProperty:
      return "a property";
    case Value::kNumberProperty:
      return "a property's number";
    case Value::kNumber:
      return "a number";
    case Value::kText:
      return "a string";
    case Value::kTruth:
      return "TRUE or FALSE";
  }
  return "nothing";
}

bool IsNumeric(const Parsed& parsed) {
  return !parsed.is_condition &&
         (parsed.value.kind == Value::kProperty || parsed.value.kind == Value::kNumberProperty ||
          parsed.value.kind == Value::kNumber);
}

std::optional<SqlComparison> ComparisonOf(Token token) {
  switch (token) {
    case Token::kEqual:
      return SqlComparison::kEqual;
    case Token::kUnequal:
      return SqlComparison::kUnequal;
    case Token::kLess:
      return SqlComparison::kLess;
    case Token::kLessOrEqual:
      return SqlComparison::kLessOrEqual;
    case Token::kGreater:
      return SqlComparison::kGreater;
    case Token::kGreaterOrEqual:
      return SqlComparison::kGreaterOrEqual;
    default:
      return std::nullopt;
  }
}

// By recursive descent: Or, And, Not, Predicate, Operand, Primary, from the loosest binding on.
class Parser {
 public:
  explicit Parser(std::string_view expression) : expression_(expression), lexer_(expression) {}

  absl::StatusOr<SqlProgram> Run();

 private:
  using Rule = absl::StatusOr<Parsed> (Parser::*)();

  absl::StatusOr<Parsed> Or() { return Chain(Token::kOr, Node::kOr, &Parser::And); }
  absl::StatusOr<Parsed> And() { return Chain(Token::kAnd, Node::kAnd, &Parser::Not); }
  // One or more of `part` with `keyword` in between.
  absl::StatusOr<Parsed> Chain(Token keyword, Node kind, Rule part);
  absl::StatusOr<Parsed> Not();
  absl::StatusOr<Parsed> Predicate();
  absl::StatusOr<Parsed> Operand();
  absl::StatusOr<Parsed> Primary();
  absl::StatusOr<Parsed> Parenthesis();

  // What may follow the left side of a predicate.
  absl::Status Comparison(const Parsed& left, SqlComparison comparison);
  absl::Status IsNull(const Parsed& left);
  absl::Status Between(const Parsed& left);
  absl::Status In(const Parsed& left);
  absl::Status Search(const Parsed& left, Node kind);

  absl::StatusOr<SqlOperand> Number(bool negative);
  absl::StatusOr<SqlOperand> Property();
  SqlOperand Text();
  // The elements of IN, behind its parenthesis.
  absl::Status Elements(SqlNode& node);

  absl::Status AddCondition(SqlNode node);
  // Makes a condition of a value.
  absl::Status AddAsCondition(const Parsed& parsed);
  absl::Status Compare(const Parsed& left, SqlComparison comparison, const Parsed& right);
  // Puts a node of which all from `start` on are the children before them.
  void Wrap(size_t start, Node kind);

  absl::Status Advance();
  absl::Status Take(Token kind, std::string_view name);
  absl::Status Expected(std::string_view what) const;
  absl::Status NotAValue(const Parsed& parsed, std::string_view expected) const;

  const std::string_view expression_;
  SqlLexer lexer_;
  SqlToken token_;  // the next one
  SqlProgram program_;
  size_t nesting_ = 0;
  size_t conditions_ = 0;
};

absl::StatusOr<SqlProgram> Parser::Run() {
  RETURN_IF_ERROR(Advance());
  ASSIGN_OR_RETURN(const Parsed parsed, Or());
  if (token_.kind != Token::kEnd) {
    return Expected(parsed.is_condition ? "AND, OR or the end" : "a comparison or the end");
  }
  RETURN_IF_ERROR(AddAsCondition(parsed));
  return std::move(program_);
}

absl::Status Parser::Advance() {
  ASSIGN_OR_RETURN(token_, lexer_.Next());
  return absl::OkStatus();
}

absl::Status Parser::Expected(std::string_view what) const {
  return SqlError(expression_, token_.at,
                  fmt::format("expected {}, found {}", what, Describe(token_)));
}

absl::Status Parser::NotAValue(const Parsed& parsed, std::string_view expected) const {
  return SqlError(expression_, parsed.at,
                  fmt::format("expected {}, found {}", expected, NameOf(parsed)));
}

absl::Status Parser::Take(Token kind, std::string_view name) {
  return token_.kind == kind ? Advance() : Expected(name);
}

absl::StatusOr<Parsed> Parser::Chain(Token keyword, Node kind, Rule part) {
  const size_t start = program_.nodes.size();
  ASSIGN_OR_RETURN(const Parsed first, (this->*part)());
  if (token_.kind != keyword) return first;
  RETURN_IF_ERROR(AddAsCondition(first));
  while (token_.kind == keyword) {
    RETURN_IF_ERROR(Advance());
    ASSIGN_OR_RETURN(const Parsed next, (this->*part)());
    RETURN_IF_ERROR(AddAsCondition(next));
  }
  Wrap(start, kind);
  return Parsed{.at = first.at, .is_condition = true};
}

absl::StatusOr<Parsed> Parser::Not() {
  if (token_.kind != Token::kNot) return Predicate();
  const size_t at = token_.at;
  const size_t start = program_.nodes.size();
  bool negative = false;
  for (; token_.kind == Token::kNot; negative = !negative) RETURN_IF_ERROR(Advance());
  ASSIGN_OR_RETURN(const Parsed parsed, Predicate());
  RETURN_IF_ERROR(AddAsCondition(parsed));
  if (negative) Wrap(start, Node::kNot);
  return Parsed{.at = at, .is_condition = true};
}

absl::StatusOr<Parsed> Parser::Predicate() {
  const size_t start = program_.nodes.size();
  ASSIGN_OR_RETURN(const Parsed left, Operand());
  const bool negative = token_.kind == Token::kNot;
  if (negative) RETURN_IF_ERROR(Advance());
  const Token next = token_.kind;
  const std::optional<SqlComparison> comparison = ComparisonOf(next);
  if (next == Token::kBetween) {
    RETURN_IF_ERROR(Between(left));
  } else if (next == Token::kIn) {
    RETURN_IF_ERROR(In(left));
  } else if (next == Token::kContains) {
    RETURN_IF_ERROR(Search(left, Node::kContains));
  } else if (next == Token::kStartsWith) {
    RETURN_IF_ERROR(Search(left, Node::kStartsWith));
  } else if (next == Token::kEndsWith) {
    RETURN_IF_ERROR(Search(left, Node::kEndsWith));
  } else if (negative) {
    return Expected("BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH");
  } else if (comparison.has_value()) {
    RETURN_IF_ERROR(Comparison(left, *comparison));
  } else if (next == Token::kIs) {
    RETURN_IF_ERROR(IsNull(left));
  } else {
    return left;
  }
  if (negative) Wrap(start, Node::kNot);
  return Parsed{.at = left.at, .is_condition = true};
}

absl::StatusOr<Parsed> Parser::Operand() {
  if (token_.kind != Token::kPlus && token_.kind != Token::kMinus) return Primary();
  Parsed parsed{.at = token_.at};
  bool negative = false;
  while (token_.kind == Token::kPlus || token_.kind == Token::kMinus) {
    negative ^= token_.kind == Token::kMinus;
    RETURN_IF_ERROR(Advance());
  }
  if (token_.kind == Token::kInteger || token_.kind == Token::kFloat) {
    ASSIGN_OR_RETURN(parsed.value, Number(negative));
    return parsed;
  }
  ASSIGN_OR_RETURN(const Parsed inner, Primary());
  if (!IsNumeric(inner)) return NotAValue(inner, "a number or a property behind the sign");
  parsed.value = inner.value;
  if (parsed.value.kind == Value::kNumber) {
    if (negative) parsed.value.number = parsed.value.number.Negated();
  } else {
    parsed.value.kind = Value::kNumberProperty;
    parsed.value.negated ^= negative;
  }
  return parsed;
}

absl::StatusOr<Parsed> Parser::Primary() {
  Parsed parsed{.at = token_.at};
  switch (token_.kind) {
    case Token::kLeftParenthesis:
      return Parenthesis();
    case Token::kName: {
      ASSIGN_OR_RETURN(parsed.value, Property());
      return parsed;
    }
    case Token::kInteger:
    case Token::kFloat: {
      ASSIGN_OR_RETURN(parsed.value, Number(/*negative=*/false));
      return parsed;
    }
    case Token::kText:
      parsed.value = Text();
      break;
    case Token::kTrue:
    case Token::kFalse:
      parsed.value.kind = Value::kTruth;
      parsed.value.truth = token_.kind == Token::kTrue;
      break;
    case Token::kNull:
      break;
    default:
      return Expected("a property, a number, a string, TRUE, FALSE, NULL or (");
  }
  RETURN_IF_ERROR(Advance());
  return parsed;
}

absl::StatusOr<Parsed> Parser::Parenthesis() {
  const size_t at = token_.at;
  if (nesting_ == kMaxSqlNesting) {
    return SqlError(expression_, at,
                    fmt::format("expected at most {} parentheses within each other, found more",
                                kMaxSqlNesting));
  }
  ++nesting_;
  RETURN_IF_ERROR(Advance());
  ASSIGN_OR_RETURN(Parsed parsed, Or());
  --nesting_;
  RETURN_IF_ERROR(
      Take(Token::kRightParenthesis, parsed.is_condition ? "AND, OR or )" : "a comparison or )"));
  parsed.at = at;
  return parsed;
}

absl::StatusOr<SqlOperand> Parser::Property() {
  std::string name = Unquoted(token_);
  std::vector<std::string>& names = program_.properties;
  const auto found = std::find(names.begin(), names.end(), name);
  SqlOperand operand{.kind = Value::kProperty,
                     .index = static_cast<uint32_t>(found - names.begin())};
  if (found == names.end()) {
    if (names.size() == kMaxSqlProperties) {
      return Expected(fmt::format("at most {} different properties", kMaxSqlProperties));
    }
    names.push_back(std::move(name));
  }
  RETURN_IF_ERROR(Advance());
  return operand;
}

absl::StatusOr<SqlOperand> Parser::Number(bool negative) {
  const bool is_integer = token_.kind == Token::kInteger;
  const std::optional<SqlNumber> number =
      SqlNumber::Parse((negative ? "-" : "") + std::string(token_.text));
  // One that 64 bits do not hold would be compared inexactly.
  if (!number.has_value() || number->is_integer() != is_integer) {
    return Expected(is_integer ? "an integer of 64 bits"
                               : fmt::format("a number of up to {} characters in the range of a "
                                             "64-bit float",
                                             SqlNumber::kMaxLength - 1));
  }
  RETURN_IF_ERROR(Advance());
  return SqlOperand{.kind = Value::kNumber, .number = *number};
}

SqlOperand Parser::Text() {
  program_.texts.push_back(Unquoted(token_));
  return {.kind = Value::kText, .index = static_cast<uint32_t>(program_.texts.size() - 1)};
}

absl::Status Parser::Comparison(const Parsed& left, SqlComparison comparison) {
  if (left.is_condition) {
    return NotAValue(left, fmt::format("a value before {}", Describe(token_)));
  }
  RETURN_IF_ERROR(Advance());
  ASSIGN_OR_RETURN(const Parsed right, Operand());
  return Compare(left, comparison, right);
}

absl::Status Parser::Compare(const Parsed& left, SqlComparison comparison, const Parsed& right) {
  for (const Parsed* side : {&left, &right}) {
    if (side->is_condition) return NotAValue(*side, "a value to compare");
    if (side->value.kind == Value::kNull) {
      return NotAValue(*side, "a value to compare (IS NULL asks whether there is none)");
    }
  }
  SqlNode node{.comparison = comparison, .left = left.value, .right = right.value};
  const bool equality =
      comparison == SqlComparison::kEqual || comparison == SqlComparison::kUnequal;
  if (!equality) {
    for (const Parsed* side : {&left, &right}) {
      if (!IsNumeric(*side)) return NotAValue(*side, "a number or a property to put in order");
    }
    node.kind = Node::kCompareNumbers;
    return AddCondition(node);
  }
  // Of two properties both are texts; otherwise a property is what the other side is.
  const Value decisive = left.value.kind == Value::kProperty ? right.value.kind : left.value.kind;
  const auto fits = [&](const Parsed& side) {
    if (side.value.kind == Value::kProperty || side.value.kind == decisive) return true;
    return decisive != Value::kText && decisive != Value::kTruth && IsNumeric(side);
  };
  if (!fits(right)) return NotAValue(right, fmt::format("the like of {}", NameOf(left)));
  node.kind = decisive == Value::kTruth                                  ? Node::kCompareTruths
              : decisive == Value::kProperty || decisive == Value::kText ? Node::kCompareTexts
                                                                         : Node::kCompareNumbers;
  return AddCondition(node);
}

absl::Status Parser::IsNull(const Parsed& left) {
  if (left.is_condition) return NotAValue(left, "a value before IS");
  RETURN_IF_ERROR(Advance());
  const size_t start = program_.nodes.size();
  const bool negative = token_.kind == Token::kNot;
  if (negative) RETURN_IF_ERROR(Advance());
  RETURN_IF_ERROR(Take(Token::kNull, negative ? "NULL" : "NULL or NOT NULL"));
  RETURN_IF_ERROR(AddCondition({.kind = Node::kIsNull, .left = left.value}));
  if (negative) Wrap(start, Node::kNot);
  return absl::OkStatus();
}

absl::Status Parser::Between(const Parsed& left) {
  RETURN_IF_ERROR(Advance());
  const size_t start = program_.nodes.size();
  ASSIGN_OR_RETURN(const Parsed low, Operand());
  RETURN_IF_ERROR(Take(Token::kAnd, "AND and the upper bound of BETWEEN"));
  ASSIGN_OR_RETURN(const Parsed high, Operand());
  RETURN_IF_ERROR(Compare(left, SqlComparison::kGreaterOrEqual, low));
  RETURN_IF_ERROR(Compare(left, SqlComparison::kLessOrEqual, high));
  Wrap(start, Node::kAnd);
  return absl::OkStatus();
}

absl::Status Parser::In(const Parsed& left) {
  if (left.is_condition || left.value.kind != Value::kProperty) {
    return NotAValue(left, "a property before IN");
  }
  RETURN_IF_ERROR(Advance());
  RETURN_IF_ERROR(Take(Token::kLeftParenthesis, "( and the elements of IN"));
  SqlNode node{.kind = Node::kIn, .left = left.value};
  RETURN_IF_ERROR(Elements(node));
  return AddCondition(node);
}

absl::Status Parser::Elements(SqlNode& node) {
  std::vector<std::string> texts;
  std::vector<SqlNumber> numbers;
  for (;;) {
    if (token_.kind == Token::kText) {
      texts.push_back(Unquoted(token_));
      RETURN_IF_ERROR(Advance());
    } else {
      ASSIGN_OR_RETURN(const Parsed element, Operand());
      if (element.is_condition || element.value.kind != Value::kNumber) {
        return NotAValue(element, "a string or a number as an element of IN");
      }
      numbers.push_back(element.value.number);
    }
    if (token_.kind == Token::kRightParenthesis) break;
    RETURN_IF_ERROR(Take(Token::kComma, ", or )"));
  }
  RETURN_IF_ERROR(Advance());
  std::sort(texts.begin(), texts.end());
  std::sort(numbers.begin(), numbers.end(),
            [](SqlNumber a, SqlNumber b) { return a.Compare(b) < 0; });
  const auto append = [](auto& from, auto& to) {
    SqlNode::Range range{.begin = static_cast<uint32_t>(to.size())};
    std::move(from.begin(), from.end(), std::back_inserter(to));
    range.end = static_cast<uint32_t>(to.size());
    return range;
  };
  node.texts = append(texts, program_.texts);
  node.numbers = append(numbers, program_.numbers);
  return absl::OkStatus();
}

absl::Status Parser::Search(const Parsed& left, Node kind) {
  const std::string word = Describe(token_);
  if (left.is_condition || left.value.kind != Value::kProperty) {
    return NotAValue(left, "a property before " + word);
  }
  RETURN_IF_ERROR(Advance());
  if (token_.kind != Token::kText) return Expected("a string behind " + word);
  const SqlOperand text = Text();
  RETURN_IF_ERROR(Advance());
  return AddCondition({.kind = kind, .left = left.value, .right = text});
}

absl::Status Parser::AddCondition(SqlNode node) {
  if (++conditions_ > kMaxSqlConditions) {
    return SqlError(expression_, token_.at,
                    fmt::format("expected at most {} conditions, found more; a property is "
                                "compared with many values by IN",
                                kMaxSqlConditions));
  }
  program_.nodes.push_back(node);
  return absl::OkStatus();
}

absl::Status Parser::AddAsCondition(const Parsed& parsed) {
  if (parsed.is_condition) return absl::OkStatus();
  switch (parsed.value.kind) {
    case Value::kNull:
    case Value::kProperty:
    case Value::kTruth:
      return AddCondition({.kind = Node::kIs, .left = parsed.value});
    default:
      return NotAValue(parsed, "a condition");
  }
}

void Parser::Wrap(size_t start, Node kind) {
  std::vector<SqlNode>& nodes = program_.nodes;
  nodes.insert(nodes.begin() + static_cast<std::ptrdiff_t>(start), SqlNode{.kind = kind});
  nodes[start].size = static_cast<uint32_t>(nodes.size() - start);
}

}  // namespace

absl::StatusOr<SqlProgram> ParseSql(std::string_view expression) {
  if (expression.size() > kMaxSqlBytes) {
    return PublicError(PublicCode::kIllegalFilterExpression,
                       fmt::format("the SQL filter has {} bytes; at most {} are allowed",
                                   expression.size(), kMaxSqlBytes));
  }
  return Parser(expression).Run();
}

}  // namespace dunlin::broker
