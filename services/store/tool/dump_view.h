// Prints, or only verifies, the view of a store's log in RocksDB (docs/formats/rocksdb.md).

#pragma once

#include <string>

namespace dunlin::store {

// `store`: the directory with log/ and state/ in it. Reads only. The exit status of the program: 0
// sound, 1 damaged or unreadable.
int DumpView(const std::string& store, bool verify);

}  // namespace dunlin::store
