// GroupRecord: what a coordinator keeps of one broker group; GroupView: a consistent look at it.

#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "services/base/strong_int.h"
#include "services/replicator/coordinator/roster.h"

namespace dunlin::replicator {

// Written by election and by the present master, always by compare-and-swap.
struct GroupRecord {
  Epoch epoch;
  MemberName master;             // of that epoch, whether it lives or not
  std::set<MemberName> in_sync;  // who holds everything that was acknowledged: may be elected
  MemberName preferred;          // who should stand first: set by a switchover; else empty
  Epoch unclean_epoch;           // the newest epoch that an operator began with what may be too
                                 // little; logs that end before it may lose confirmed records
  Roster roster{};               // none: written before records had one; the configuration says

  friend bool operator==(const GroupRecord&, const GroupRecord&) = default;
};

// The right to be master. There is none after its holder stopped renewing it.
struct LeaseHolder {
  MemberName name;
  Epoch epoch;

  friend bool operator==(const LeaseHolder&, const LeaseHolder&) = default;
};

// Record and lease at one moment of the coordinator.
struct GroupView {
  int64_t revision = 0;               // of the coordinator: grows, orders views
  int64_t version = 0;                // token for compare-and-swap of the record; 0: no record
  std::optional<GroupRecord> record;  // none: the group never had a master
  std::optional<LeaseHolder> lease;

  friend bool operator==(const GroupView&, const GroupView&) = default;
};

}  // namespace dunlin::replicator
