// ConsumeSpread: Consume for a load that was spread over very many queues. A stream that had all of
// them attached would take long to begin and much memory, so each is attached, read to its end and
// left, many at a time.

#pragma once

#include "clients/load/load.h"

namespace dunlin::load {

absl::StatusOr<LoadResult> ConsumeSpread(const ConsumeOptions& options, const OnProgress& progress);

}  // namespace dunlin::load
