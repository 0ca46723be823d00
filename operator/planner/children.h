// What all objects that a BrokerGroup has are made of: labels, and whose they are. Pure; any
// thread.

#pragma once

#include <string>
#include <string_view>

#include "operator/k8s/object.h"
#include "operator/planner/spec.h"

namespace dunlin::op {

inline constexpr std::string_view kGroupLabel = "dunlin.dev/group";

// What pods are found by: nothing in it ever changes.
k8s::Json SelectorLabels(const BrokerGroupSpec& spec);

k8s::Json GroupLabels(const BrokerGroupSpec& spec);

// Of the group, and goes with it.
k8s::Json NewChild(const k8s::Json& group, const BrokerGroupSpec& spec,
                   const k8s::ResourceType& type, const std::string& name);

}  // namespace dunlin::op
