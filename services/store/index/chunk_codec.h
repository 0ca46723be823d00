// A chunk of the queue index as bytes; docs/formats/queue_chunk.md specifies them. Pure.

#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "services/store/index/queue_index.h"

namespace dunlin::store {

inline constexpr size_t kChunkEntries = 128;

// At most kChunkEntries.
std::string EncodeChunk(const std::vector<IndexEntry>& entries);

// DATA_LOSS when the bytes are not a chunk.
absl::StatusOr<std::vector<IndexEntry>> DecodeChunk(std::string_view bytes);

}  // namespace dunlin::store
