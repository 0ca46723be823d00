// Prepare: makes the record of a message that of a half message.

#pragma once

#include "services/base/clock.h"
#include "services/base/strong_int.h"
#include "services/store/log/commit_log.h"
#include "services/store/log/record.h"

namespace dunlin::broker {

// `record` gets no queue offset now; Appended::queue_offset is of no use. REQUIRES: `check` is
// after 1970.
inline void Prepare(Timestamp check, store::NewRecord& record) {
  record.flags |= store::kFlagPrepared;
  record.tail = nullptr;
  record.queue_offset = QueueOffset(static_cast<uint64_t>(ToUnixMillis(check)));
}

}  // namespace dunlin::broker
