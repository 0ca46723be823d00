// DatabaseUsage: what RocksDB says of itself, over all families.

#pragma once

#include <cstdint>

namespace dunlin::store {

// In bytes.
struct DatabaseUsage {
  uint64_t files = 0;               // on disk
  uint64_t memtables = 0;           // written, in memory only
  uint64_t block_cache = 0;         // read, kept in memory
  uint64_t pending_compaction = 0;  // to be rewritten before all is as it should be
  bool writes_stopped = false;      // until compaction has caught up
};

}  // namespace dunlin::store
