// Limits of what a client says about itself in its settings. Pure.

#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace dunlin::broker {

using ClientProperty = std::pair<std::string_view, std::string_view>;

// At most 32 properties and 4096 bytes; keys of 1 to 64 characters that match
// [a-zA-Z][a-zA-Z0-9_.-]* and do not begin with `rocketmq.`; values of at most 256 bytes.
// Error: INVALID_CLIENT_PROPERTIES.
absl::Status CheckClientProperties(const std::vector<ClientProperty>& properties);

// For any map of strings, such as that of the generated Settings.
template <typename Map>
absl::Status CheckClientProperties(const Map& properties) {
  std::vector<ClientProperty> views;
  for (const auto& property : properties) views.emplace_back(property.first, property.second);
  return CheckClientProperties(views);
}

}  // namespace dunlin::broker
