// Random messages, and random SQL filters over them that are written twice: as filters, and as
// expressions of SQLite over a table of the messages.
//
// The two languages differ by design in what they make of a text beside a number. So every property
// has three columns, its text, the number that it was made of and the truth that it was made of
// (NULL when there is none), and an expression names the one that the filter's rules call for. What
// a text is a number, or a truth, is thus decided here, not by either side. Everything else, the
// structure, precedence and three-valued logic, SQLite decides for itself: its expressions have all
// parentheses, the filters only those that they need, and some more.

#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "proto/apache/rocketmq/v2/definition.pb.h"

namespace dunlin::broker {

// Nothing, or an integer or a float.
using SampleNumber = std::variant<std::monostate, int64_t, double>;

struct SampleValue {
  std::optional<std::string> text;
  SampleNumber number;
  std::optional<bool> truth;
};

// How many properties the filters know of: columns t0, n0, b0, t1, ...
size_t SampleProperties();

struct SampleMessage {
  apache::rocketmq::v2::Message message;
  std::vector<SampleValue> values;  // by property
};
SampleMessage RandomSampleMessage(std::mt19937_64& random);

struct SampleFilter {
  std::string filter;
  std::string sqlite;                    // the same, with parameters ?1, ?2, ...
  std::vector<SampleNumber> parameters;  // since the two need not read digits alike
};
SampleFilter RandomSampleFilter(std::mt19937_64& random);

}  // namespace dunlin::broker
