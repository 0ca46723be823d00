// QueueIndex: from a queue offset to the place of its message in the log.
//
// Entries are kept in chunks: the open chunk of a queue in memory, full ones as one RocksDB value
// each. Written by the dispatcher; read from any thread without waiting for it.

#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/strong_int.h"

namespace dunlin::store {

struct IndexEntry {
  LogOffset log_offset;  // of the record: a MESSAGE or a DELIVERY
  uint32_t length = 0;   // of the record
  uint32_t tag_hash =
      0;  // 0: no tag; else a hash, so equal tags have equal hashes but not vice versa

  friend bool operator==(const IndexEntry&, const IndexEntry&) = default;
};

// [min, max) of a queue; equal when it holds nothing.
struct QueueBounds {
  QueueOffset min;
  QueueOffset max;
};

class QueueIndex {
 public:
  virtual ~QueueIndex() = default;

  // Appends to `entries` at most `limit` entries from `from` on, in order. Offsets are dense: the
  // first entry is that of `from`. Fewer (or none) at the end of the queue.
  // Errors: OUT_OF_RANGE when `from` is below min (expired) or above max; DATA_LOSS when the index
  // is damaged (a restart rebuilds it).
  virtual absl::Status Read(QueueKey queue, QueueOffset from, size_t limit,
                            std::vector<IndexEntry>& entries) const = 0;

  // Zeros for an unknown queue, and when the index is damaged: see Dispatcher::health().
  virtual QueueBounds Bounds(QueueKey queue) const = 0;
  // The same for those who must tell an empty queue from one that cannot be read. DATA_LOSS, and
  // errors of the disk.
  virtual absl::StatusOr<QueueBounds> FindBounds(QueueKey queue) const = 0;

  // The first offset whose message was stored at or after `time`; max when there is none. Offsets
  // that hold no message any more may come out too, when they stand right before it.
  virtual absl::StatusOr<QueueOffset> FindByTime(QueueKey queue, Timestamp time) const = 0;
};

}  // namespace dunlin::store
