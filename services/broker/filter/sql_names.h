// The names by which SQL filters reach what a message has besides user properties. They are
// reserved: no user property has one of them.

#pragma once

#include <string_view>

namespace dunlin::broker {

inline constexpr std::string_view kSqlTags = "TAGS";
inline constexpr std::string_view kSqlKeys = "KEYS";  // joined by blanks
inline constexpr std::string_view kSqlMessageId = "UNIQ_KEY";

}  // namespace dunlin::broker
