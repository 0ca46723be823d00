// Refusals: how often each PublicCode went to a client of this process, for Prometheus.
//
// Counted where an error goes on the wire, whatever the call; in the process and not in a broker,
// which comes and goes with its role. Thread-safe.

#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "services/broker/codes/public_code.h"

namespace dunlin::broker {

// REQUIRES: `code` is an enumerator.
void CountRefusal(PublicCode code);

// Those that were counted at least once, ascending by code.
std::vector<std::pair<PublicCode, uint64_t>> Refusals();

}  // namespace dunlin::broker
