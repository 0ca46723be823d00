// Roster: the members of a broker group as its record has them: where each is, and whether it
// counts. What a group begins with stands in the configuration; from its first election on the
// record says who is in it, and the master changes that by compare-and-swap, one member at a time.

#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

namespace dunlin::replicator {

// The name of a member within its group.
using MemberName = std::string;

enum class Seat {
  kVoter,    // counts: may be elected, is waited for, is one of the majority
  kJoining,  // follows; a voter as soon as it has caught up
  kLearner,  // follows, never counts
};

struct RosterEntry {
  std::string address;  // of its replicator, host:port
  Seat seat = Seat::kVoter;
  uint32_t id = 0;  // to name services; 1 or more, never that of another, also of a former member

  friend bool operator==(const RosterEntry&, const RosterEntry&) = default;
};

struct Roster {
  std::map<MemberName, RosterEntry> entries;
  uint32_t last_id = 0;  // that was ever given

  bool empty() const { return entries.empty(); }
  bool contains(const MemberName& name) const { return entries.contains(name); }

  std::set<MemberName> Voters() const;
  // All that are no voters.
  std::set<MemberName> Learners() const;
  // Who joins gets the next id.
  void Add(const MemberName& name, const std::string& address, Seat seat);

  friend bool operator==(const Roster&, const Roster&) = default;
};

}  // namespace dunlin::replicator
