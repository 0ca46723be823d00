#include "services/broker/filter/sql_filter.h"

#include <string.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/filter/sql_names.h"
#include "services/store/index/tag_hash.h"

namespace dunlin::broker {
namespace {

using Node = SqlNode::Kind;
using Value = SqlOperand::Kind;

SqlTruth Not(SqlTruth truth) { return static_cast<SqlTruth>(2 - static_cast<int>(truth)); }
SqlTruth Known(bool truth) { return truth ? SqlTruth::kTrue : SqlTruth::kFalse; }

bool EqualsIgnoringCase(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(), [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  });
}

std::optional<bool> ParseTruth(std::string_view text) {
  if (EqualsIgnoringCase(text, "true")) return true;
  if (EqualsIgnoringCase(text, "false")) return false;
  return std::nullopt;
}

bool Holds(SqlComparison comparison, int order) {
  switch (comparison) {
    case SqlComparison::kEqual:
      return order == 0;
    case SqlComparison::kUnequal:
      return order != 0;
    case SqlComparison::kLess:
      return order < 0;
    case SqlComparison::kLessOrEqual:
      return order <= 0;
    case SqlComparison::kGreater:
      return order > 0;
    case SqlComparison::kGreaterOrEqual:
      return order >= 0;
  }
  return false;
}

// One evaluation. Recursion is as deep as parentheses are nested.
class Evaluation {
 public:
  Evaluation(const SqlProgram& program, const SqlValues& values, size_t& searched)
      : program_(program), values_(values), searched_(searched) {}

  SqlTruth Run(const SqlNode& node) {
    switch (node.kind) {
      case Node::kAnd:
        return And(node);
      case Node::kOr:
        return Or(node);
      case Node::kNot:
        return Not(Run(*(&node + 1)));
      case Node::kIs:
        return Is(node.left);
      case Node::kCompareTexts:
        return CompareTexts(node);
      case Node::kCompareNumbers:
        return CompareNumbers(node);
      case Node::kCompareTruths:
        return CompareTruths(node);
      case Node::kIsNull:
        return Known(IsNull(node.left));
      case Node::kIn:
        return In(node);
      case Node::kContains:
      case Node::kStartsWith:
      case Node::kEndsWith:
        return Search(node);
    }
    return SqlTruth::kUnknown;
  }

 private:
  SqlTruth And(const SqlNode& node) {
    SqlTruth truth = SqlTruth::kTrue;
    for (const SqlNode* child = &node + 1; child != &node + node.size; child += child->size) {
      truth = std::min(truth, Run(*child));
      if (truth == SqlTruth::kFalse) break;
    }
    return truth;
  }

  SqlTruth Or(const SqlNode& node) {
    SqlTruth truth = SqlTruth::kFalse;
    for (const SqlNode* child = &node + 1; child != &node + node.size; child += child->size) {
      truth = std::max(truth, Run(*child));
      if (truth == SqlTruth::kTrue) break;
    }
    return truth;
  }

  SqlTruth Is(const SqlOperand& operand) const {
    const std::optional<bool> truth = Truth(operand);
    return truth.has_value() ? Known(*truth) : SqlTruth::kUnknown;
  }

  SqlTruth CompareTexts(const SqlNode& node) {
    if (IsNull(node.left) || IsNull(node.right)) return SqlTruth::kUnknown;
    const std::string_view left = Text(node.left);
    const std::string_view right = Text(node.right);
    searched_ += std::min(left.size(), right.size());
    return Known((left == right) == (node.comparison == SqlComparison::kEqual));
  }

  SqlTruth CompareNumbers(const SqlNode& node) const {
    const std::optional<SqlNumber> left = Number(node.left);
    if (!left.has_value()) return SqlTruth::kUnknown;
    const std::optional<SqlNumber> right = Number(node.right);
    if (!right.has_value()) return SqlTruth::kUnknown;
    return Known(Holds(node.comparison, left->Compare(*right)));
  }

  SqlTruth CompareTruths(const SqlNode& node) const {
    const std::optional<bool> left = Truth(node.left);
    const std::optional<bool> right = Truth(node.right);
    if (!left.has_value() || !right.has_value()) return SqlTruth::kUnknown;
    return Known((*left == *right) == (node.comparison == SqlComparison::kEqual));
  }

  // As if it were compared with each element by `=`, and these joined by OR.
  SqlTruth In(const SqlNode& node) const {
    if (IsNull(node.left)) return SqlTruth::kUnknown;
    const auto texts = program_.texts.begin();
    if (std::binary_search(texts + node.texts.begin, texts + node.texts.end, Text(node.left))) {
      return SqlTruth::kTrue;
    }
    if (node.numbers.begin == node.numbers.end) return SqlTruth::kFalse;
    const std::optional<SqlNumber> number = SqlNumber::Parse(Text(node.left));
    if (!number.has_value()) return SqlTruth::kUnknown;
    const auto numbers = program_.numbers.begin();
    return Known(std::binary_search(numbers + node.numbers.begin, numbers + node.numbers.end,
                                    *number,
                                    [](SqlNumber a, SqlNumber b) { return a.Compare(b) < 0; }));
  }

  SqlTruth Search(const SqlNode& node) {
    if (IsNull(node.left)) return SqlTruth::kUnknown;
    const std::string_view text = Text(node.left);
    const std::string_view sought = Text(node.right);
    searched_ += text.size();
    if (node.kind == Node::kStartsWith) return Known(text.starts_with(sought));
    if (node.kind == Node::kEndsWith) return Known(text.ends_with(sought));
    // Unlike std::string_view::find, takes time in proportion to the lengths whatever they hold.
    return Known(memmem(text.data(), text.size(), sought.data(), sought.size()) != nullptr);
  }

  bool IsNull(const SqlOperand& operand) const {
    switch (operand.kind) {
      case Value::kNull:
        return true;
      case Value::kProperty:
        return values_.IsNull(operand.index);
      case Value::kNumberProperty:
        return !Number(operand).has_value();
      default:
        return false;
    }
  }

  std::string_view Text(const SqlOperand& operand) const {
    return operand.kind == Value::kText ? std::string_view(program_.texts[operand.index])
                                        : values_.Get(operand.index);
  }

  std::optional<SqlNumber> Number(const SqlOperand& operand) const {
    if (operand.kind == Value::kNumber) return operand.number;
    const std::optional<SqlNumber> number = SqlNumber::Parse(values_.Get(operand.index));
    return number.has_value() && operand.negated ? number->Negated() : number;
  }

  std::optional<bool> Truth(const SqlOperand& operand) const {
    if (operand.kind == Value::kTruth) return operand.truth;
    if (operand.kind == Value::kNull) return std::nullopt;
    return ParseTruth(values_.Get(operand.index));
  }

  const SqlProgram& program_;
  const SqlValues& values_;
  size_t& searched_;
};

// Finds the tags without one of which a condition cannot be true.
class TagSearch {
 public:
  explicit TagSearch(const SqlProgram& program) : program_(program) {}

  SqlFilter::Tags Of(const SqlNode& node) const {
    switch (node.kind) {
      case Node::kAnd:
        return OfAnd(node);
      case Node::kOr:
        return OfOr(node);
      case Node::kCompareTexts:
        return OfEquality(node);
      case Node::kIn:
        return OfIn(node);
      default:
        return {};
    }
  }

 private:
  using Tags = SqlFilter::Tags;

  // Any one child's tags will do: the fewest.
  Tags OfAnd(const SqlNode& node) const {
    Tags fewest;
    for (const SqlNode* child = &node + 1; child != &node + node.size; child += child->size) {
      Tags tags = Of(*child);
      if (tags.any) continue;
      if (fewest.any || tags.hashes.size() < fewest.hashes.size()) fewest = std::move(tags);
    }
    return fewest;
  }

  Tags OfOr(const SqlNode& node) const {
    Tags all{.any = false};
    for (const SqlNode* child = &node + 1; child != &node + node.size; child += child->size) {
      const Tags tags = Of(*child);
      if (tags.any) return {};
      all.hashes.insert(all.hashes.end(), tags.hashes.begin(), tags.hashes.end());
    }
    return all;
  }

  Tags OfEquality(const SqlNode& node) const {
    if (node.comparison != SqlComparison::kEqual) return {};
    for (const auto& [tag, text] :
         {std::pair(&node.left, &node.right), {&node.right, &node.left}}) {
      if (IsTag(*tag) && text->kind == Value::kText) {
        return {.any = false, .hashes = {store::TagHash(program_.texts[text->index])}};
      }
    }
    return {};
  }

  Tags OfIn(const SqlNode& node) const {
    if (!IsTag(node.left) || node.numbers.begin != node.numbers.end) return {};
    Tags tags{.any = false};
    for (uint32_t i = node.texts.begin; i < node.texts.end; ++i) {
      tags.hashes.push_back(store::TagHash(program_.texts[i]));
    }
    return tags;
  }

  bool IsTag(const SqlOperand& operand) const {
    return operand.kind == Value::kProperty && program_.properties[operand.index] == kSqlTags;
  }

  const SqlProgram& program_;
};

}  // namespace

absl::StatusOr<SqlFilter> SqlFilter::Parse(std::string_view expression) {
  ASSIGN_OR_RETURN(SqlProgram program, ParseSql(expression));
  return SqlFilter(std::move(program));
}

SqlFilter::SqlFilter(SqlProgram program)
    : program_(std::move(program)), tags_(TagSearch(program_).Of(program_.nodes.front())) {
  std::sort(tags_.hashes.begin(), tags_.hashes.end());
}

SqlTruth SqlFilter::Evaluate(const SqlValues& values, size_t& searched) const {
  return Evaluation(program_, values, searched).Run(program_.nodes.front());
}

}  // namespace dunlin::broker
