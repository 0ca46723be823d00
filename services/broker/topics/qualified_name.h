// Names of topics and groups with the namespace that they are in. Pure.

#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace dunlin::broker {

// With the name of a group behind it: the topic of its dead letters.
inline constexpr std::string_view kDeadLetterPrefix = "%DLQ%";

// "namespace/name", or the name alone in the default namespace.
inline std::string QualifiedName(std::string_view name_space, std::string_view name) {
  std::string qualified(name_space);
  if (!qualified.empty()) qualified += '/';
  return qualified.append(name);
}

// And back: namespace and name, which both have no slash.
inline std::pair<std::string_view, std::string_view> SplitQualifiedName(
    std::string_view qualified) {
  const size_t slash = qualified.find('/');
  if (slash == std::string_view::npos) return {{}, qualified};
  return {qualified.substr(0, slash), qualified.substr(slash + 1)};
}

}  // namespace dunlin::broker
