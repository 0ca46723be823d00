// TopicExpiry: lets go what a topic's own retention says is not to be kept: by age, by size, or
// because all groups have done it.
//
// One thread (`expiry`) looks at the topics that have such a retention, every ten seconds, and
// appends a TRIM record for each queue that holds too much. From when that is applied on the queue
// begins later; the disk is freed when nothing else in the same segment of the log is needed. A
// crash between the two loses nothing: a trim is in the log, or the next round makes it.

#pragma once

#include <cstdint>
#include <memory>
#include <thread>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/broker/progress/progress.h"
#include "services/broker/topics/topic_table.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/log/commit_log.h"
#include "services/store/state/state_store.h"

namespace dunlin::broker {

class TopicExpiry {
 public:
  // All arguments must outlive the object.
  struct Rooms {
    store::Dispatcher& dispatcher;
    const store::StateStore& state;
    const TopicTable& topics;
    const Progress& progress;
    const Clock& clock;
  };
  explicit TopicExpiry(const Rooms& rooms) : rooms_(rooms) {}
  ~TopicExpiry();

  // Starts the thread, which calls Step; tests call Step instead.
  void Start();
  // Idempotent.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  // One round. What could not be looked at is tried again in the next one.
  absl::Status Step();

 private:
  // What a queue holds from `first` on, up to `end`.
  struct Size {
    QueueOffset first;
    QueueOffset end;
    uint64_t bytes = 0;
  };
  using Offsets = absl::flat_hash_map<uint32_t, QueueOffset>;  // by queue

  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Expire(const Topic& topic);
  // Up to where every group that consumes from the topic is done with each queue; none without such
  // a group.
  absl::StatusOr<Offsets> FindConsumed(TopicId topic, uint32_t queues) const;
  // The first offset behind which at most `max_bytes` of messages stand.
  absl::StatusOr<QueueOffset> FindBySize(QueueKey queue, store::QueueBounds bounds,
                                         uint64_t max_bytes);
  // Calls `take` with the length of each record in [from, to), until it returns false.
  template <typename Take>
  absl::Status ForEachLength(QueueKey queue, QueueOffset from, QueueOffset to, const Take& take);

  const Rooms rooms_;
  absl::flat_hash_map<QueueKey, Size> sizes_;  // of queues that are limited by size

  Mutex mutex_;
  CondVar stop_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace dunlin::broker
