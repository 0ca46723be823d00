// Recall: takes a delayed message back before it is delivered. A second time changes nothing.

#pragma once

#include "absl/status/status.h"

#include "services/base/strong_int.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/index/timer.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {

// OK when the message will never be delivered, and that is durable. Waits for the log: not on an
// RPC thread. Errors: BAD_REQUEST (the log has no such place, or the message is one of another
// topic, since a handle says what its caller wants it to), MESSAGE_NOT_FOUND (it was delivered,
// or is about to be), TOO_MANY_REQUESTS (the index is behind; again later), those of the log.
absl::Status Recall(store::CommitLog& log, store::Dispatcher& dispatcher, store::TimerKey timer,
                    TopicId topic);

}  // namespace dunlin::broker
