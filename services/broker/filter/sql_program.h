// SqlProgram: what an SQL filter is compiled to; made by the parser, run by SqlFilter.
//
// The nodes are in prefix order: each stands before its children, and knows how many nodes it and
// they are. So a tree is one vector, and a child that need not be looked at is skipped by an
// addition.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "services/broker/filter/sql_number.h"

namespace dunlin::broker {

// SQL's three truth values, in the order that makes AND the minimum and OR the maximum.
enum class SqlTruth : int8_t { kFalse = 0, kUnknown = 1, kTrue = 2 };

// A value that is compared. Those of properties are texts, or NULL.
struct SqlOperand {
  enum class Kind : uint8_t {
    kNull,
    kProperty,        // the text of property `index`
    kNumberProperty,  // the number that its text stands for, else NULL
    kNumber,
    kText,  // text `index` of the program
    kTruth,
  };
  Kind kind = Kind::kNull;
  bool negated = false;  // of kNumberProperty: its number with the other sign
  bool truth = false;
  uint32_t index = 0;
  SqlNumber number;
};

enum class SqlComparison : uint8_t {
  kEqual,
  kUnequal,
  kLess,
  kLessOrEqual,
  kGreater,
  kGreaterOrEqual,
};

struct SqlNode {
  enum class Kind : uint8_t {
    kAnd,
    kOr,
    kNot,
    kIs,              // whether `left`, a truth or a property, is true
    kCompareTexts,    // `left` and `right`, each a property or a text; kEqual or kUnequal
    kCompareNumbers,  // `left` and `right`, each a property or a number
    kCompareTruths,   // `left` and `right`, each a property or a truth; kEqual or kUnequal
    kIsNull,          // of `left`
    kIn,              // whether the property `left` is one of `texts` or `numbers`
    kContains,        // the property `left`, the text `right`
    kStartsWith,
    kEndsWith,
  };
  // Elements `begin` to before `end`, sorted.
  struct Range {
    uint32_t begin = 0;
    uint32_t end = 0;
  };

  Kind kind = Kind::kAnd;
  SqlComparison comparison = SqlComparison::kEqual;
  uint32_t size = 1;  // of this node and all below it
  SqlOperand left;
  SqlOperand right;
  Range texts;
  Range numbers;
};

struct SqlProgram {
  std::vector<SqlNode> nodes;           // the first is the root
  std::vector<std::string> properties;  // names, each once
  std::vector<std::string> texts;
  std::vector<SqlNumber> numbers;
};

}  // namespace dunlin::broker
