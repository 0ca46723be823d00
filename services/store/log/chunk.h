// CheckRecords: whether bytes from elsewhere are whole, valid records of one segment. Pure.

#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/strong_int.h"
#include "services/store/log/log_mirror.h"

namespace dunlin::store {

// Where the log ends once they are written: behind the last of them, or at the end of the segment
// when that is a padding record or leaves no room for another header. Errors: as those of
// LogMirror::Append that speak of the bytes.
absl::StatusOr<LogOffset> CheckRecords(const LogMirror::Chunk& chunk);

// INVALID_ARGUMENT when no segment can have this size.
absl::Status CheckSegmentSize(uint64_t size);

}  // namespace dunlin::store
