// Which lightweight topics a stretch of log removes.

#pragma once

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"

#include "services/base/strong_int.h"
#include "services/store/log/commit_log.h"

namespace dunlin::store {

// Those of records in [from, to). Errors of the log.
absl::StatusOr<absl::flat_hash_set<QueueKey>> RemovedLiteTopics(CommitLog& log, LogOffset from,
                                                                LogOffset to);

}  // namespace dunlin::store
