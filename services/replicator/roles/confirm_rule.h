// ConfirmRule: up to where the log of a master is confirmed, from what each member acknowledged.

#pragma once

#include <map>
#include <optional>
#include <set>

#include "services/base/strong_int.h"
#include "services/replicator/roles/types.h"

namespace dunlin::replicator {

// What a member has, as far as it counts: nothing when it has not acknowledged in this epoch.
using Acknowledged = std::map<MemberName, LogOffset>;

class ConfirmRule {
 public:
  // `start`: of the epoch.
  ConfirmRule(Mode mode, LogOffset start) : mode_(mode), start_(start) {}

  // SYNC: the lowest of `counted`; none while one of them has acknowledged nothing in this epoch.
  static std::optional<LogOffset> LowestOf(const std::set<MemberName>& counted,
                                           const Acknowledged& acknowledged);
  // QUORUM: the highest that more than half of `members` have; none while fewer have any.
  static std::optional<LogOffset> MajorityOf(const std::set<MemberName>& members,
                                             const Acknowledged& acknowledged);

  // None as long as not even the start of the epoch is confirmed: what earlier epochs wrote is
  // never confirmed by count alone, since a log that ends in a newer epoch may still replace it.
  // `counted`: the in-sync set (SYNC), the configured members (QUORUM).
  std::optional<LogOffset> Confirm(const std::set<MemberName>& counted,
                                   const Acknowledged& acknowledged, LogOffset own_end) const;

 private:
  Mode mode_;
  LogOffset start_;
};

}  // namespace dunlin::replicator
