// IsOk, IsOkAndHolds and StatusIs for GoogleTest: Debian's Abseil has none.

#pragma once

#include <gmock/gmock.h>

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dunlin {

inline const absl::Status& GetStatus(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& GetStatus(const absl::StatusOr<T>& status) {
  return status.status();
}

MATCHER(IsOk, negation ? "is not OK" : "is OK") {
  *result_listener << GetStatus(arg).ToString();
  return GetStatus(arg).ok();
}

// StatusIs(code) or StatusIs(code, matcher of the message).
MATCHER_P2(StatusIsImpl, code, message, "") {
  *result_listener << GetStatus(arg).ToString();
  return GetStatus(arg).code() == code &&
         ::testing::ExplainMatchResult(message, std::string(GetStatus(arg).message()),
                                       result_listener);
}
inline auto StatusIs(absl::StatusCode code) { return StatusIsImpl(code, ::testing::_); }
template <typename Message>
auto StatusIs(absl::StatusCode code, Message message) {
  return StatusIsImpl(code, std::move(message));
}

MATCHER_P(IsOkAndHolds, value, "") {
  if (!arg.ok()) {
    *result_listener << arg.status().ToString();
    return false;
  }
  return ::testing::ExplainMatchResult(value, *arg, result_listener);
}

}  // namespace dunlin

#define ASSERT_OK(expression) ASSERT_THAT(expression, ::dunlin::IsOk())
#define EXPECT_OK(expression) EXPECT_THAT(expression, ::dunlin::IsOk())
