// Vacancy: since when a group has had no master, and when a member stands for election because of
// it: at once, after the former master has had its time to come back, when an operator says so,
// or, when nobody who may be elected came, as it is. Pure; of one member.
//
// What is said here only ever holds somebody back: who may be elected is for others to say
// (candidacy.h), except for UncleanAt, which the group's configuration has to ask for.

#pragma once

#include <optional>

#include "services/replicator/coordinator/group_record.h"
#include "services/replicator/coordinator/instant.h"
#include "services/replicator/roles/types.h"

namespace dunlin::replicator {

// So long an operator's word counts, unless somebody is elected before.
inline constexpr Duration kAskedTime = std::chrono::seconds(10);

class Vacancy {
 public:
  // A word of the coordinator.
  void Observe(const GroupView& view, Instant now);
  // An operator wants this member to stand.
  void Ask(Instant now) { asked_until_ = now + kAskedTime; }

  // When this member stands for election by itself; kNever: not at all. In the past: now.
  Instant StandsAt(const MemberOptions& options, const GroupView& view, Instant now) const;
  // From when on a member may be elected that may lack what was acknowledged; kNever: not so.
  Instant UncleanAt(const MemberOptions& options) const;

 private:
  std::optional<Instant> since_;  // none: there is a master, or nobody has said so
  Instant asked_until_{};
};

}  // namespace dunlin::replicator
