// Volumes: what is to be done so that the volumes of a BrokerGroup's members, or of a NameService's
// instances, have the size that is asked for, and how far that is. Pure; any thread.
//
// Volumes grow, and never shrink. A claim that is bound is patched; the storage does the rest, with
// the pod running. What a StatefulSet claims for new pods cannot be changed: it is deleted without
// its pods and made anew, when nothing else is under way. Claims of pods that are no more stay as
// they are, until there are such pods again.

#pragma once

#include <string>
#include <vector>

#include "operator/k8s/json.h"
#include "operator/k8s/object.h"
#include "operator/planner/plan.h"

namespace dunlin::op {

// What that depends on. The pods are named like the resource, and numbered.
struct VolumesSight {
  const k8s::Json& resource;  // asks for spec.storage.size
  int replicas = 0;
  const k8s::Object& stateful_set;  // null: it is not there
  const std::vector<k8s::Object>& claims;
  const std::string& growth_refused;  // as in Observed
};

struct VolumesStep {
  std::vector<Plan::Growth> growths;
  bool renews_set = false;  // new pods would get less than is asked for

  // Of the condition. Empty: there are no claims yet.
  std::string reason;
  std::string why;

  bool is_ready() const { return why.empty(); }
};

VolumesStep NextVolumesStep(const VolumesSight& sight);

// The StatefulSet goes without its pods; the next plan makes it anew.
void PlanRenewal(const k8s::Json& stateful_set, Plan& plan);

// What the volume of this pod has; empty: nothing is known of one.
std::string VolumeSizeOf(const std::vector<k8s::Object>& claims, const std::string& pod);

}  // namespace dunlin::op
