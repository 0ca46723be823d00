// PlanNameService: from what is observed of a NameService to what is to be done. Pure; any thread.
//
// | object | what for |
// |---|---|
// | Service NAME-members | headless: names of instances, for brokers, which register with each |
// | Service NAME | access point of clients: every instance that is ready |
// | Service NAME-outside | with spec.expose: the same for clients outside of Kubernetes |
// | ConfigMap NAME-config-HASH | the configuration file: another one is another ConfigMap |
// | StatefulSet NAME | the instances; its controller replaces them one at a time |
// | PodDisruptionBudget NAME | one may be away |
//
// Every object is owned by the resource and goes with it; volumes grow as those of broker groups
// (volumes.h), and go as storage.retention says.

#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "operator/k8s/object.h"
#include "operator/planner/objects.h"
#include "operator/planner/plan.h"
#include "services/base/clock.h"

namespace dunlin::op {

inline constexpr std::string_view kNameServiceLabel = "dunlin.dev/nameservice";

struct ObservedNameService {
  k8s::Object resource;
  k8s::Object stateful_set;     // null: it is not there
  k8s::Object outside_service;  // the Service NAME-outside; null: it is not there
  std::vector<k8s::Object> claims;
  // As in Observed.
  std::string growth_refused;
  std::map<std::string, std::string> applied;
  std::map<std::string, k8s::Object> live;
  std::string taken;
  // Broker groups that refer to it.
  int broker_groups = 0;
};

// Neither a deletion nor a switchover is ever in it. REQUIRES: observed.resource is set.
Plan PlanNameService(const ObservedNameService& observed, const Defaults& defaults, Timestamp now);

}  // namespace dunlin::op
