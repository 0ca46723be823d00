// One page of a list that ascends by name.

#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/broker/access/user.h"
#include "services/broker/topics/topic_table.h"

namespace dunlin::broker {

inline constexpr uint32_t kDefaultPage = 100;
inline constexpr uint32_t kMaxPage = 1000;

inline std::string PageKey(const Topic& topic) {
  return QualifiedName(topic.name_space, topic.name);
}
inline std::string PageKey(const Group& group) {
  return QualifiedName(group.name_space, group.name);
}
inline const std::string& PageKey(const User& user) { return user.name; }

// One page of `all`, which ascends by PageKey; the token is the last key of the page before.
template <typename Item>
absl::StatusOr<std::vector<Item>> Page(std::vector<Item> all, uint32_t size,
                                       const std::string& token, std::string& next) {
  if (size > kMaxPage) {
    return absl::InvalidArgumentError(
        fmt::format("a page size of {}; choose 1 to {}", size, kMaxPage));
  }
  const size_t limit = size == 0 ? kDefaultPage : size;
  auto first = std::find_if(all.begin(), all.end(),
                            [&](const Item& item) { return PageKey(*item) > token; });
  all.erase(all.begin(), first);
  if (all.size() > limit) {
    all.resize(limit);
    next = PageKey(*all.back());
  }
  return all;
}

}  // namespace dunlin::broker
