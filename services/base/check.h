// CHECK: an assertion that stays on in production. For broken invariants, never for input.

#pragma once

#include <string_view>

namespace dunlin::internal {

// Logs the place, the condition and `detail`, then aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              std::string_view detail = {});

}  // namespace dunlin::internal

// CHECK(condition) or CHECK(condition, detail): `detail` is a string that names the values at
// fault; it is evaluated only when the condition is false.
#define CHECK(condition, ...)                                                                     \
  do {                                                                                            \
    if (!(condition)) [[unlikely]] {                                                              \
      ::dunlin::internal::CheckFailed(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__); \
    }                                                                                             \
  } while (false)
