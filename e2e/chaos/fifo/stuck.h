// A consumer that never comes back holds the heads of some message groups; the others of the same
// queue must not notice.

#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace dunlin::e2e::fifo {

struct StuckRun {
  int messages = 0;  // of message groups that are not stuck
  int stuck = 0;     // message groups of which one message is in flight all the time
};

// Messages per second that one consumer gets done of message groups that are not stuck, all in one
// queue of a topic of its own. DATA_LOSS: one of a stuck message group came, another came out of
// order, or what is stuck does not come once it is free; DEADLINE_EXCEEDED: one does not come.
absl::StatusOr<double> ConsumePastStuck(const std::string& address, const std::string& topic,
                                        const StuckRun& run);

}  // namespace dunlin::e2e::fifo
