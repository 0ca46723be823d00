// MessageFilter: which messages a subscription lets through, by tags or by an SQL predicate.
// Immutable, cheap to copy; thread-safe.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/broker/filter/sql_filter.h"
#include "services/broker/filter/sql_properties.h"
#include "services/broker/filter/tag_filter.h"

namespace dunlin::broker {

class MessageFilter {
 public:
  // Everything passes.
  MessageFilter() = default;

  // ILLEGAL_FILTER_EXPRESSION.
  static absl::StatusOr<MessageFilter> Tags(std::string_view expression);
  static absl::StatusOr<MessageFilter> Sql(std::string_view expression);

  bool matches_all() const { return tags_ == nullptr && sql_ == nullptr; }

  // What the queue index knows of a message. False: certainly no match.
  bool MayMatch(uint32_t tag_hash) const;

  // Of a stored payload whose system_properties field begins at `properties_offset`. A damaged one
  // matches nothing. Adds to `searched` the bytes that were looked at where that may be many.
  bool Matches(std::string_view payload, uint32_t properties_offset, size_t& searched) const;

 private:
  struct Predicate {
    explicit Predicate(SqlFilter parsed)
        : filter(std::move(parsed)), properties(filter.properties()) {}
    SqlFilter filter;
    SqlProperties properties;
  };

  // At most one of them.
  std::shared_ptr<const TagFilter> tags_;
  std::shared_ptr<const Predicate> sql_;
};

// Bytes that may be searched at a time for one subscription, so that expensive expressions on large
// properties do not hold a thread for long: some ten milliseconds' worth. What is left then is for
// the next turn.
inline constexpr size_t kFilterSearchBudget = size_t{16} << 20;

}  // namespace dunlin::broker
