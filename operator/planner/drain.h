// Drain: what a group does when a node is to be emptied: its master hands over to a member on
// another node before it is evicted. Pure; any thread.
//
// Slaves are evicted as the disruption budgets allow; the budget of the master allows none, so that
// a drain of its node waits until there is another master.

#pragma once

#include <string>
#include <vector>

#include "operator/k8s/json.h"
#include "operator/planner/members.h"
#include "operator/planner/spec.h"

namespace dunlin::op {

// Whether no pods are to come to this node, since those that are there are about to be evicted:
// somebody cordoned it, or an autoscaler is taking it away.
bool IsToBeEmptied(const k8s::Json& node);

struct DrainStep {
  std::string handover;  // the member that is to be master; empty: there is nobody, or no need
  std::string reason;    // of the condition; empty: the master's node stays
  std::string why;
};

DrainStep NextDrainStep(const BrokerGroupSpec& spec, const std::vector<Member>& members);

}  // namespace dunlin::op
