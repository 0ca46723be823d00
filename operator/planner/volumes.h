// Volumes: what is to be done so that the volumes of members have the size that is asked for, and
// how far that is. Pure; any thread.
//
// Volumes grow, and never shrink. A claim that is bound is patched; the storage does the rest, with
// the pod running. What a StatefulSet claims for new members cannot be changed: it is deleted
// without its pods and made anew, when nothing else is under way. Claims of members that are no
// more stay as they are, until there are such members again.

#pragma once

#include <string>
#include <vector>

#include "operator/planner/observed.h"
#include "operator/planner/plan.h"
#include "operator/planner/spec.h"

namespace dunlin::op {

struct VolumesStep {
  std::vector<Plan::Growth> growths;
  bool renews_set = false;  // new members would get less than is asked for

  // Of the condition. Empty: there are no claims yet.
  std::string reason;
  std::string why;

  bool is_ready() const { return why.empty(); }
};

VolumesStep NextVolumesStep(const Observed& observed, const BrokerGroupSpec& spec);

// What the volume of this member has; empty: nothing is known of one.
std::string VolumeSizeOf(const Observed& observed, const std::string& pod);

}  // namespace dunlin::op
