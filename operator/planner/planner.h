// PlanBrokerGroup: from what is observed to what is to be done. Pure; any thread.
//
// Called again after every change and every now and then, it plans each time from what is there and
// remembers nothing: an operator that was away, or another one, goes on where the last one stopped.

#pragma once

#include "operator/planner/objects.h"
#include "operator/planner/observed.h"
#include "operator/planner/plan.h"
#include "services/base/clock.h"

namespace dunlin::op {

// REQUIRES: observed.group is set.
Plan PlanBrokerGroup(const Observed& observed, const Defaults& defaults, Timestamp now);

}  // namespace dunlin::op
