// Objects: what a BrokerGroup consists of in Kubernetes. Pure; any thread.
//
// | object | what for |
// |---|---|
// | Service NAME-members | headless: names of members, before they are ready, too |
// | Service NAME | access point of clients: every member that is ready |
// | Service NAME-master | the master alone, by its role label |
// | ConfigMap NAME-config-HASH | the configuration file: another one is another ConfigMap |
// | Secret NAME-replication | by which members know each other; made once |
// | ServiceAccount, Role, RoleBinding NAME-member | what pods may do: read and write the Lease |
// | Lease NAME-master | who is master; its members write it. Stays as long as the volumes do |
// | StatefulSet NAME | the members; the operator decides when one is replaced (OnDelete) |
// | PodDisruptionBudget NAME, NAME-master | two that share no pod: an eviction refuses a pod of
// both |
//
// Every object is owned by the group and goes with it; volumes go as storage.retention says.

#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "operator/k8s/object.h"
#include "operator/planner/children.h"
#include "operator/planner/observed.h"
#include "operator/planner/plan.h"
#include "operator/planner/spec.h"

namespace dunlin::op {

inline constexpr std::string_view kRoleLabel = "dunlin.dev/role";       // master, slave
inline constexpr std::string_view kFingerprint = "dunlin.dev/applied";  // annotation

// By which `kubectl scale` and autoscalers find the pods.
std::string SelectorOf(const BrokerGroupSpec& spec);

struct Defaults {
  std::string image;  // the operator's own version
};

// Made once; who knows it may join the group.
Plan::NewSecret MemberSecret(const k8s::Json& group, const BrokerGroupSpec& spec);

// Whether all that `wanted` sets is so in `live`, which may have more.
bool Holds(const k8s::Json& live, const k8s::Json& wanted);

// Puts the fingerprint of each object on it.
void Stamp(std::vector<Plan::Apply>& objects);

// Whether it is as it was applied last, and nobody has changed it since; by Observed's maps.
bool IsApplied(const Plan::Apply& apply, const std::map<std::string, std::string>& applied,
               const std::map<std::string, k8s::Object>& live);

// `config`: ConfigText. `replicas`: of the StatefulSet. In the order in which they are applied,
// each with its fingerprint as an annotation.
std::vector<Plan::Apply> ObjectsOf(const Observed& observed, const BrokerGroupSpec& spec,
                                   const Defaults& defaults, const std::string& config,
                                   int replicas);

// What the group has and is to have no more: disruption budgets, when they are off; what is for
// clients outside, when it is exposed no more, or has fewer members.
std::vector<Plan::Removal> Removals(const Observed& observed, const BrokerGroupSpec& spec,
                                    int replicas);

// ConfigMaps that are known by Observed's `applied`, in the namespace `space`, but for these names.
std::vector<Plan::Removal> ConfigMapsBut(const std::set<std::string>& kept,
                                         const std::map<std::string, std::string>& applied,
                                         const std::string& space);

// ConfigMaps of former configurations. REQUIRES: all pods are of the newest revision.
std::vector<Plan::Removal> FormerFiles(const Observed& observed, const BrokerGroupSpec& spec,
                                       const std::string& config_hash);

// Puts `kRoleLabel` on pods that have another than the coordinator says; on that pod, and not on
// its successor.
std::vector<Plan::Apply> RoleLabels(const Observed& observed);

// A short hash that changes with the text; the same on every machine and in every version.
std::string Fingerprint(std::string_view text);

// `over` merged into `base`: maps by name; lists of things that have a name, too; other values of
// `over` replace.
k8s::Json Merged(k8s::Json base, const k8s::Json& over);

}  // namespace dunlin::op
