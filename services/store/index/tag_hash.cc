#include "services/store/index/tag_hash.h"

#include "services/base/crc32c.h"

namespace dunlin::store {

uint32_t TagHash(std::string_view tag) {
  if (tag.empty()) return 0;
  const uint32_t hash = Crc32c(tag);
  return hash == 0 ? 1 : hash;
}

}  // namespace dunlin::store
