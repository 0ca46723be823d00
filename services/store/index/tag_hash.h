// TagHash: the hash of a tag that stands in the queue index; on disk, so it never changes.

#pragma once

#include <cstdint>
#include <string_view>

namespace dunlin::store {

// 0 for no tag, never 0 for one. Equal tags have equal hashes, but not vice versa.
uint32_t TagHash(std::string_view tag);

}  // namespace dunlin::store
