// IgnoredFields: what a BrokerGroup's spec asks for and this operator does not do, so that nothing
// is ignored in silence. Pure; any thread.

#pragma once

#include <string>

#include "operator/k8s/json.h"
#include "operator/planner/observed.h"

namespace dunlin::op {

// "failover.delaySeconds, expose.type": those that are set to something else than what is the case.
// Empty: there are none.
std::string IgnoredFields(const Observed& observed);

}  // namespace dunlin::op
