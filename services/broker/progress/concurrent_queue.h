// ConcurrentQueue: a queue whose messages go to anybody at any time, each on its own.

#pragma once

#include "services/broker/progress/group_queue.h"

namespace dunlin::broker {

class ConcurrentQueue final : public GroupQueue {
 public:
  explicit ConcurrentQueue(QueueOffset cursor) : GroupQueue(cursor) {}

  // Delivers the message whose lease ended first, at or before terms.now; null when there is none.
  const Entry* Redeliver(const Terms& terms);
  // Delivers the message at the cursor.
  const Entry* DeliverNext(const Terms& terms);
  // Delivers the message at `offset` before its turn; those before it wait for theirs. Null when it
  // is done, or has a lease that runs.
  const Entry* Claim(QueueOffset offset, const Terms& terms);
};

}  // namespace dunlin::broker
