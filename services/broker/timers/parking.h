// Park: makes the record of a message one that waits for its due time.

#pragma once

#include <optional>

#include "services/base/clock.h"
#include "services/base/strong_int.h"
#include "services/store/log/commit_log.h"
#include "services/store/log/record.h"

namespace dunlin::broker {

// Whether a message with this delivery time waits. One that is due goes to its queue at once.
inline bool MustWait(std::optional<Timestamp> delivery_time, Timestamp now) {
  return delivery_time.has_value() && *delivery_time > now;
}

// `record` gets no queue offset now; Appended::queue_offset is of no use. REQUIRES: `due` is after
// 1970.
inline void Park(Timestamp due, store::NewRecord& record) {
  record.flags |= store::kFlagParked;
  record.tail = nullptr;
  record.queue_offset = QueueOffset(static_cast<uint64_t>(ToUnixMillis(due)));
}

}  // namespace dunlin::broker
