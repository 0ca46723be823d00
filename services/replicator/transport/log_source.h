// LogSource: the log of a master as the sender reads it. In production a store::RawReader; in tests
// a string.

#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/base/strong_int.h"

namespace dunlin::replicator {

// One thread at a time.
class LogSource {
 public:
  virtual ~LogSource() = default;

  // As store::RawReader has it.
  struct Piece {
    LogOffset begin;
    LogOffset end;  // where the next one begins
    LogOffset segment_end;
    Epoch epoch;
    std::string_view bytes;
    std::shared_ptr<const void> pin;  // keeps `bytes` where they are
  };
  // Whole records from `from` on that end at or below `limit`, of `max_bytes` together, but at
  // least one however large. OUT_OF_RANGE (nothing there yet), NOT_FOUND (expired), DATA_LOSS
  // (damaged).
  virtual absl::StatusOr<Piece> Read(LogOffset from, LogOffset limit, size_t max_bytes) = 0;
};

// Each slave is sent to by a thread with a source of its own.
using OpenLogSource = std::function<absl::StatusOr<std::unique_ptr<LogSource>>()>;

}  // namespace dunlin::replicator
