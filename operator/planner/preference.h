// Preference: when a group is to hand over to the member that its spec prefers as master. Pure; any
// thread.
//
// Only what nobody and nothing else asks for: updates, scaling and drains come first, and the
// master of a moment ago is left alone for a while, so that a member that fails again and again
// does not take the group's master along each time.

#pragma once

#include <string>
#include <vector>

#include "operator/planner/members.h"
#include "operator/planner/observed.h"
#include "operator/planner/spec.h"
#include "services/base/clock.h"

namespace dunlin::op {

struct PreferenceStep {
  std::string handover;  // the member that is to be master; empty: not now, or it is
  std::string reason;    // of the condition; empty: the spec prefers nobody
  std::string why;

  bool is_met() const { return reason == "IsMaster"; }
};

// `observed.group` tells when the master changed last, as far as that was seen before.
PreferenceStep NextPreferenceStep(const Observed& observed, const BrokerGroupSpec& spec,
                                  const std::vector<Member>& members, Timestamp now);

}  // namespace dunlin::op
