// Whether the logs of two stores are the same, byte by byte, as far as both are to be.

#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace dunlin::e2e {

// Compares what both hold of the log below `end`. DATA_LOSS names the first offset that differs.
// `compared` is increased by the number of bytes.
absl::Status CompareLogs(const std::string& store, const std::string& other, uint64_t end,
                         uint64_t& compared);

}  // namespace dunlin::e2e
