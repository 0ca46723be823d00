// TagFilter: which messages a subscription by tags lets through. Pure; immutable; thread-safe.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace dunlin::broker {

class TagFilter {
 public:
  // Everything passes.
  TagFilter() = default;

  // `*` or empty: everything. Otherwise tags separated by `||`, blanks around them ignored, empty
  // ones dropped. ILLEGAL_FILTER_EXPRESSION when no tag is left, a tag has a control character, or
  // there are more than 4 KiB or 128 tags.
  static absl::StatusOr<TagFilter> Parse(std::string_view expression);

  bool matches_all() const { return tags_.empty(); }
  // False: certainly no match. True: a match unless another tag has the same hash.
  bool MayMatch(uint32_t tag_hash) const;
  // Exact, case-sensitive.
  bool Matches(std::string_view tag) const;

 private:
  std::vector<std::string> tags_;
  std::vector<uint32_t> hashes_;
};

}  // namespace dunlin::broker
