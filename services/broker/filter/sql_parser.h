// ParseSql: the grammar of SQL filters (docs/filters.md). Pure.

#pragma once

#include <cstddef>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/broker/filter/sql_program.h"

namespace dunlin::broker {

// What one expression may cost: each message is held against it, by a thread that serves others.
inline constexpr size_t kMaxSqlBytes = 16'384;
inline constexpr size_t kMaxSqlConditions = 256;  // comparisons and the like
inline constexpr size_t kMaxSqlProperties = 64;   // different ones
inline constexpr size_t kMaxSqlNesting = 32;      // parentheses within parentheses

// ILLEGAL_FILTER_EXPRESSION, with the character at which it goes wrong, what was expected there and
// what was found.
absl::StatusOr<SqlProgram> ParseSql(std::string_view expression);

}  // namespace dunlin::broker
