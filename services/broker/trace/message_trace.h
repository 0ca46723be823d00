// MessageTrace: who stored, got and settled a message, and when. The last so many events are kept
// in memory, none on the way of a message: no message about messages, no write to the disk.
//
// Thread-safe. Locks are short and by queue; Find() looks at an eighth of what is kept. A restart
// forgets all of it: what is stored, and how far groups are, is known without it.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/base/strings.h"
#include "services/base/strong_int.h"

namespace dunlin::broker {

enum class TraceStep : uint8_t {
  kStored,
  kDelivered,  // leased to a client of a group
  kAcknowledged,
  kRefused,           // negatively acknowledged, or given back: it comes again
  kInvisibleChanged,  // extended, or a negative acknowledgement of apache.rocketmq.v2
  kDeadLettered,
};

// Who did it; the number is that of NumberOf().
struct TraceActor {
  uint32_t client = 0;
  GroupId group;         // 0: none
  uint32_t attempt = 0;  // of a delivery
};

struct TraceEvent {
  TraceStep step = TraceStep::kStored;
  Timestamp time;
  std::string client;  // empty: not known (any more)
  GroupId group;
  uint32_t attempt = 0;
};

class MessageTrace {
 public:
  // Keeps about `max_events`, of some 40 bytes each, taken as they are needed; 0: none at all.
  // `clock` must outlive the trace.
  MessageTrace(size_t max_events, const Clock& clock);

  bool enabled() const { return shard_events_ > 0; }
  // A number for a client, to note its events by: valid for long, not for ever. 0 when nothing is
  // kept.
  uint32_t NumberOf(std::string_view client_id) ABSL_LOCKS_EXCLUDED(names_mutex_);

  // Something happened to `count` messages in a row.
  void Note(TraceStep step, QueueKey queue, QueueOffset first, uint32_t count,
            const TraceActor& actor);

  // What is known of a message, in the order in which it happened.
  std::vector<TraceEvent> Find(QueueKey queue, QueueOffset offset) const
      ABSL_LOCKS_EXCLUDED(names_mutex_);

 private:
  struct Kept {
    QueueKey queue;
    QueueOffset first;
    Timestamp time;
    uint32_t count = 0;
    uint32_t attempt = 0;
    uint32_t client = 0;
    GroupId group;
    TraceStep step = TraceStep::kStored;
  };
  struct Shard {
    mutable Mutex mutex;
    std::vector<Kept> ring ABSL_GUARDED_BY(mutex);
    size_t next ABSL_GUARDED_BY(mutex) = 0;  // where the oldest is once the ring is full
  };
  static constexpr size_t kShards = 8;
  static size_t ShardOf(QueueKey queue);

  std::string NameOf(uint32_t number) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(names_mutex_);

  const size_t shard_events_;
  const Clock& clock_;
  std::array<Shard, kShards> shards_;

  mutable Mutex names_mutex_;
  StringMap<uint32_t> numbers_ ABSL_GUARDED_BY(names_mutex_);
  std::deque<std::string> names_ ABSL_GUARDED_BY(names_mutex_);  // of first_name_ and up
  uint32_t first_name_ ABSL_GUARDED_BY(names_mutex_) = 1;
};

}  // namespace dunlin::broker
