// SqlFilter: a predicate over the properties of a message, in the language of docs/filters.md.
// Pure; immutable; thread-safe.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "services/broker/filter/sql_parser.h"
#include "services/broker/filter/sql_program.h"

namespace dunlin::broker {

// The values of a filter's properties in one message, by their place in SqlFilter::properties.
class SqlValues {
 public:
  // All NULL.
  explicit SqlValues(size_t properties) {
    for (size_t i = 0; i < properties; ++i) values_[i].bytes = nullptr;
  }
  SqlValues(const SqlValues&) = delete;
  SqlValues& operator=(const SqlValues&) = delete;

  // The bytes must outlive the values.
  void Set(size_t property, std::string_view value) {
    values_[property] = {value.empty() ? "" : value.data(), value.size()};
  }
  // For one property whose value does not stand in the message as such.
  void SetOwned(size_t property, std::string value) {
    owned_ = std::move(value);
    Set(property, owned_);
  }
  bool IsNull(size_t property) const { return values_[property].bytes == nullptr; }
  // Empty when it is NULL.
  std::string_view Get(size_t property) const {
    const Value& value = values_[property];
    return value.bytes == nullptr ? std::string_view() : std::string_view(value.bytes, value.size);
  }

 private:
  struct Value {
    const char* bytes;  // null: NULL
    size_t size;
  };
  std::array<Value, kMaxSqlProperties> values_;  // those that the filter has not are never touched
  std::string owned_;
};

class SqlFilter {
 public:
  // ILLEGAL_FILTER_EXPRESSION: it is not in the language, or too much for one filter.
  static absl::StatusOr<SqlFilter> Parse(std::string_view expression);

  // The properties it reads, each once.
  const std::vector<std::string>& properties() const { return program_.properties; }

  // Whether the predicate holds. Does not allocate. Adds to `searched` the bytes it looked at where
  // that may be many.
  SqlTruth Evaluate(const SqlValues& values, size_t& searched) const;

  // When only messages with one of some tags can match: their hashes, sorted.
  struct Tags {
    bool any = true;
    std::vector<uint32_t> hashes;
  };
  const Tags& tags() const { return tags_; }

 private:
  explicit SqlFilter(SqlProgram program);

  SqlProgram program_;
  Tags tags_;
};

}  // namespace dunlin::broker
