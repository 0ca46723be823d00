// std::string_view is the only view type in this repository.
//
// Debian builds Abseil with its own absl::string_view, a different type that
// does not convert either way. These helpers are the border.

#pragma once

#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace dunlin {

inline absl::string_view ToAbsl(std::string_view view) { return {view.data(), view.size()}; }
inline std::string_view FromAbsl(absl::string_view view) { return {view.data(), view.size()}; }

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view view) const {
    return absl::Hash<absl::string_view>()(ToAbsl(view));
  }
};

struct StringEqual {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const { return a == b; }
};

// A hash map from strings that can be searched with a view, without a copy.
template <typename Value>
using StringMap = absl::flat_hash_map<std::string, Value, StringHash, StringEqual>;

}  // namespace dunlin
