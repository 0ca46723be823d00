#include "services/broker/delivery/cold_reads.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "absl/strings/numbers.h"

namespace dunlin::broker {
namespace {

// Of the control group that a container is in, by version 2 of the interface; elsewhere there is
// no such file. "max" is no limit.
constexpr char kContainerLimit[] = "/sys/fs/cgroup/memory.max";

uint64_t MachineMemory() {
  const uint64_t machine =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::string text;
  uint64_t limit = 0;
  if (!(std::ifstream(kContainerLimit) >> text) || !absl::SimpleAtoi(text, &limit)) return machine;
  return std::min(machine, limit);
}

uint64_t LimitOf(const config::v1::BrokerConfig& config, ColdReads::Role role) {
  if (role == ColdReads::Role::kAlone || config.cold_read_percent() == 0) return 0;
  const uint64_t set = config.cold_read_memory_bytes();
  const uint64_t memory = set > 0 ? set : MachineMemory();
  // A limit of 0 would be none at all.
  const uint64_t limit = std::max<uint64_t>(memory / 100 * config.cold_read_percent(), 4);
  return role == ColdReads::Role::kSlave ? limit / 4 * 3 : limit;
}

}  // namespace

ColdReads::ColdReads(const config::v1::BrokerConfig& config, Role role)
    : limit_(LimitOf(config, role)) {}

}  // namespace dunlin::broker
