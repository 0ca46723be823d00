// ParseYaml: text to a tree of scalars, lists and maps in which every node knows its place.
//
// The YAML of people's configuration files: one document, without anchors, aliases or tags, whose
// keys are plain words and differ. Pure; any thread. yaml-cpp and its exceptions stay inside.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace dunlin {

struct YamlEntry;

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  int line = 1;  // from 1
  int column = 1;
  std::string scalar;
  std::vector<YamlNode> items;     // kList
  std::vector<YamlEntry> entries;  // kMap, in the order of the file
};

struct YamlEntry {
  std::string key;
  int line = 1;  // of the key
  int column = 1;
  YamlNode value;
};

// A file beyond this is not a configuration.
inline constexpr size_t kMaxYamlBytes = 1 << 20;

// An empty text is an empty map. Errors are INVALID_ARGUMENT and begin "`name`:line:column: ".
absl::StatusOr<YamlNode> ParseYaml(std::string_view text, std::string_view name);

}  // namespace dunlin
