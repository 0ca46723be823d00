// ReadBack: shows a Reading everything that a topic holds.

#pragma once

#include <chrono>
#include <string>

#include "absl/status/status.h"

#include "e2e/harness/history.h"
#include "e2e/harness/v2_client.h"

namespace dunlin::e2e {

// Pulls every queue of `topic` from where `reading` stands up to its end, until nothing is missing.
// A server may index for a while after its start; ABORTED when something is missing after
// `patience`, or at the first broken invariant.
absl::Status ReadBack(V2Client& client, const std::string& topic, Reading& reading,
                      std::chrono::milliseconds patience);

}  // namespace dunlin::e2e
