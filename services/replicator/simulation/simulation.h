// Simulate: one broker group under faults, from a seed. The same seed gives the same run, event by
// event.
//
// Members are real (services/replicator/roles); coordinator, network, disks, brokers and clocks are
// not. Held against the run: every acknowledged record is in the log that survives; what consumers
// saw stays where they saw it; nobody acknowledges in an epoch of another, or after a newer one;
// nothing confirmed is truncated; and when the faults are over, the group works again.

#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "services/replicator/roles/types.h"
#include "services/replicator/simulation/sim_node.h"

namespace dunlin::replicator::simulation {

struct SimulationOptions {
  uint64_t seed = 0;
  Mode mode = Mode::kSync;
  Flush flush = Flush::kSync;
  Bug bug = Bug::kNone;
  bool members_change = false;                   // a, b and c begin, d and e can be added
  Duration faults = std::chrono::seconds(12);    // for so long things break
  Duration recovery = std::chrono::seconds(30);  // within so long all is well again
};

struct SimulationResult {
  std::string violation;  // empty: none
  uint64_t trace_hash = 0;
  std::vector<std::string> trace;
  uint64_t acknowledged = 0;
  uint64_t elections = 0;
  uint64_t begun_anew = 0;  // slaves, behind the beginning of the log
  uint64_t by_pledges = 0;  // of what is acknowledged: while the coordinator was away
  uint64_t members = 0;     // that there ever were, if they change

  bool ok() const { return violation.empty(); }
};

SimulationResult Simulate(const SimulationOptions& options);

// The options that seed stands for in a run over many seeds: modes and flushes in turn.
SimulationOptions OptionsOf(uint64_t seed);
std::string ToString(const SimulationOptions& options);

}  // namespace dunlin::replicator::simulation
