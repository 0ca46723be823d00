// What the pods and Services of all kinds of servers have in common. Pure; any thread.

#pragma once

#include <string>
#include <string_view>

#include "operator/k8s/json.h"

namespace dunlin::op {

// securityContext of a pod, and of each of its containers: what Pod Security calls restricted.
k8s::Json RestrictedPod();
k8s::Json RestrictedContainer();

// topologySpreadConstraints: pods that share a node would fail together.
k8s::Json SpreadOverNodes(const k8s::Json& selector);

k8s::Json FieldVariable(std::string_view name, std::string_view field);
k8s::Json ContainerPort(std::string_view name, int port);
k8s::Json ServicePort(std::string_view name, int port);

// Claims called "data" by spec.storage of `resource`; `stateful_set`: as it is, or null. What it
// claims cannot be changed once it is there; the claims themselves can grow.
k8s::Json VolumeClaims(const k8s::Json& resource, const k8s::Json* stateful_set);

// persistentVolumeClaimRetentionPolicy, by spec.storage.retention of `resource`.
k8s::Json ClaimRetention(const k8s::Json& resource);

// Pods are found by these, whatever else somebody wants of their template.
void PutLabels(const k8s::Json& labels, k8s::Json& pod_template);

// spec.imagePullPolicy of `resource`.
std::string PullPolicy(const k8s::Json& resource);

}  // namespace dunlin::op
