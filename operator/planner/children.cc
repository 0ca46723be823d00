#include "operator/planner/children.h"

namespace dunlin::op {

k8s::Json SelectorLabels(const BrokerGroupSpec& spec) {
  return {{"app.kubernetes.io/name", "dunlin"},
          {"app.kubernetes.io/component", "broker"},
          {std::string(kGroupLabel), spec.name}};
}

k8s::Json GroupLabels(const BrokerGroupSpec& spec) {
  k8s::Json labels = SelectorLabels(spec);
  labels["app.kubernetes.io/instance"] = spec.name;
  labels["app.kubernetes.io/managed-by"] = "dunlin-operator";
  labels["dunlin.dev/cluster"] = spec.cluster_name;
  return labels;
}

k8s::Json NewChild(const k8s::Json& group, const BrokerGroupSpec& spec,
                   const k8s::ResourceType& type, const std::string& name) {
  k8s::Json child = k8s::NewObject(type, {spec.space, name});
  child["metadata"]["labels"] = GroupLabels(spec);
  child["metadata"]["ownerReferences"] = k8s::Json::array({k8s::ControllerReference(group)});
  return child;
}

}  // namespace dunlin::op
