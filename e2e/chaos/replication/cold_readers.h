// ReadCold: a consumer that begins far behind is served by a slave, and by the master again when
// that slave is killed: every message comes once, in the order of its queue.

#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

#include "e2e/chaos/replication/group.h"

namespace dunlin::e2e {

struct ColdReading {
  Group& group;  // with broker.cold_read_memory_bytes of some MiB
  int master = 0;
  std::string names;  // address of the name service
};

// How many messages the slave has sent before it was killed; it is started again.
absl::StatusOr<uint64_t> ReadCold(const ColdReading& reading);

}  // namespace dunlin::e2e
