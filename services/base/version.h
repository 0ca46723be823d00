// The version of the programs, which are released together.

#pragma once

#include <string_view>

namespace dunlin {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace dunlin
