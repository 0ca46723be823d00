// Rollout: which pod is to go next, or which switchover, so that all come to be of the newest
// revision; and how many members there may be on the way to another number. Pure; any thread.
//
// Slaves go first, from the highest ordinal down, one at a time and only while everybody else
// serves and is in sync. What does not serve as it is goes before what does: a bad revision is
// replaced without waiting for it, also where its replicator still is in sync. The master goes
// last, after it has handed over to a slave of the newest revision. Without word from the
// coordinator nothing goes.
//
// Who is no member by the group's record cannot be in sync, and is not waited for. A new pod
// becomes one when it runs; one that is to go is removed from the record before its pod goes.

#pragma once

#include <string>
#include <vector>

#include "operator/planner/members.h"
#include "operator/planner/spec.h"

namespace dunlin::op {

struct RolloutStep {
  enum class Kind {
    kDone,        // all are of the newest revision
    kWait,        // `why` says for what
    kDelete,      // `pod`
    kSwitchover,  // to `pod`
  };

  Kind kind = Kind::kDone;
  std::string pod;
  std::string why;
  bool by_choice = false;  // it waits for somebody who is to decide when it goes on
};

// `revision_known`: IsRevisionKnown; `coordinated`: the coordinator was asked and answered.
RolloutStep NextRolloutStep(const BrokerGroupSpec& spec, const std::vector<Member>& members,
                            bool revision_known, bool coordinated);

// How many replicas the StatefulSet is to have now, which had `current` (0: there is none). More
// are made at once, and added to the group one by one, as they run. Fewer go one at a time, while
// all that stay serve and are in sync: removed from the group first, then the pod; and never the
// master: `handover` is then set to the member that should be it. Without a record
// (spec.HasRecord) members are what their configuration says, and nobody is added or removed.
struct ScaleStep {
  int replicas = 1;
  std::string handover;  // a pod; empty: none is needed
  std::string add;       // a pod that is to become a member; empty: none
  std::string remove;    // a member that is to be one no more; empty: none
  std::string why;       // what is waited for; empty: nothing
};
ScaleStep NextScaleStep(const BrokerGroupSpec& spec, const std::vector<Member>& members,
                        int current, bool coordinated);

// The member that a switchover goes to best: it serves and is in sync; if there are such, its node
// stays, and it is of the newest revision; and it has the lowest ordinal. Empty: there is none.
std::string BestSuccessor(const std::vector<Member>& members, int below_ordinal);

}  // namespace dunlin::op
