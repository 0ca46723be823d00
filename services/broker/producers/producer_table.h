// ProducerTable: what each idempotent producer stored last in each queue, so that what it sends
// again is not stored again.
//
// The truth is in the log (PRODUCER records) and, derived from it, in the state store; in memory
// are the producers that are bound, and for a moment those that were. Thread-safe.

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

#include "services/base/mutex.h"
#include "services/base/strong_int.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/log/commit_log.h"
#include "services/store/state/state_store.h"

namespace dunlin::broker {

// One producer in one queue. Whoever appends for it holds the lock from looking at `last_sequence`
// until the append has returned. It is held across I/O only while what the log says is looked up.
struct ProducerQueue {
  // Messages that were stored by one append.
  struct Run {
    uint64_t first_sequence = 0;
    uint64_t count = 0;
    QueueOffset first_offset;
  };

  Mutex mutex;
  bool loaded ABSL_GUARDED_BY(mutex) = false;
  uint64_t last_sequence ABSL_GUARDED_BY(mutex) = 0;
  Run last_run ABSL_GUARDED_BY(mutex);
  LogOffset end ABSL_GUARDED_BY(mutex);  // behind the last record
};

class ProducerTable {
 public:
  // All must outlive the table.
  ProducerTable(store::CommitLog& log, const store::Dispatcher& dispatcher,
                const store::StateStore& state)
      : log_(log), dispatcher_(dispatcher), state_(state) {}

  // Shared by all streams of the producer. May read the disk: not on an RPC thread. Errors: those
  // of the state store.
  absl::StatusOr<std::shared_ptr<ProducerQueue>> Bind(uint64_t producer, QueueKey queue)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The stream of a Bind() is over.
  void Unbind(uint64_t producer, QueueKey queue) ABSL_LOCKS_EXCLUDED(mutex_);

  size_t size() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Key = std::pair<uint64_t, QueueKey>;
  struct Entry {
    std::shared_ptr<ProducerQueue> producer;
    size_t streams = 0;
  };

  // From what the log says.
  absl::StatusOr<uint64_t> LastSequence(uint64_t producer, QueueKey queue) const;
  void ForgetUnbound() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  store::CommitLog& log_;
  const store::Dispatcher& dispatcher_;
  const store::StateStore& state_;

  mutable Mutex mutex_;
  absl::flat_hash_map<Key, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  // Without a stream, but perhaps ahead of the state store.
  std::deque<Key> unbound_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::broker
