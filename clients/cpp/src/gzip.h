// Bodies in the GZIP format (Encoding GZIP).

#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace dunlin::internal {

// Empty when it could not be done (no memory).
std::string GzipCompress(std::string_view plain);

// DATA_LOSS: not GZIP, or cut off; RESOURCE_EXHAUSTED: more than `max_bytes`.
absl::StatusOr<std::string> GzipDecompress(std::string_view compressed, size_t max_bytes);

}  // namespace dunlin::internal
