// RosterChange: what an operator may change about the members of a group, one member at a time.

#pragma once

#include <string>

#include "absl/status/statusor.h"

#include "services/replicator/coordinator/roster.h"

namespace dunlin::replicator {

// Of a group, learners included: each has a thread and a stream at the master.
inline constexpr size_t kMaxMembers = 32;

struct RosterChange {
  enum class Kind { kAdd, kRemove, kSetAddress };

  Kind kind = Kind::kAdd;
  MemberName member;
  std::string address{};  // of all but kRemove
  bool learner = false;   // kAdd: never to count
  bool force = false;     // kRemove: of one that is gone for good

  std::string ToString() const;
};

// `roster` with the change. FAILED_PRECONDITION or NOT_FOUND with the reason when it cannot be made
// at all; whether it may be made now only the master knows (Member::ChangeRoster). The same roster
// when there is nothing to do: a change that is asked for twice is made once.
absl::StatusOr<Roster> Changed(const Roster& roster, const RosterChange& change);

}  // namespace dunlin::replicator
