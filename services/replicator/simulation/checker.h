// Checker: what a group promises, held against what its members do.

#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "services/base/strong_int.h"
#include "services/replicator/coordinator/group_record.h"
#include "services/replicator/simulation/world.h"

namespace dunlin::replicator::simulation {

// One record of a log: all have the same length, so that offsets are multiples of it.
struct Record {
  Epoch epoch;
  uint64_t id = 0;  // what a client sent; unique

  friend bool operator==(const Record&, const Record&) = default;
};
inline constexpr uint64_t kRecordBytes = 8;

class Checker {
 public:
  // `durable`: the mode promises that what was confirmed stays (all but ASYNC).
  Checker(World& world, bool durable) : world_(world), durable_(durable) {}

  // A consumer of `member` reads `record` as the index-th of the log.
  void OnRead(const MemberName& member, uint64_t index, const Record& record);
  // `member`, master of `epoch`, tells a sender that its record is stored.
  void OnAcknowledged(const MemberName& member, Epoch epoch, const Record& record);
  // The run is over; `log` is that of the master.
  void OnEnd(const std::vector<Record>& log);

  uint64_t acknowledged() const { return acknowledged_.size(); }

 private:
  World& world_;
  const bool durable_;
  std::vector<Record> read_;             // what was visible anywhere, by index
  std::set<uint64_t> acknowledged_;      // ids
  std::map<Epoch, MemberName> masters_;  // who acknowledged in which epoch
};

}  // namespace dunlin::replicator::simulation
