#include "operator/planner/resource_types.h"

namespace dunlin::op {
namespace {

using k8s::ResourceType;

ResourceType Make(const char* group, const char* version, const char* plural, const char* kind) {
  return {.group = group, .version = version, .plural = plural, .kind = kind};
}

}  // namespace

const ResourceType& BrokerGroupType() {
  static const ResourceType type = Make("dunlin.dev", "v1alpha1", "brokergroups", "BrokerGroup");
  return type;
}
const ResourceType& ConsumerGroupType() {
  static const ResourceType type =
      Make("dunlin.dev", "v1alpha1", "consumergroups", "ConsumerGroup");
  return type;
}
const ResourceType& TopicType() {
  static const ResourceType type = Make("dunlin.dev", "v1alpha1", "topics", "Topic");
  return type;
}
const ResourceType& UserType() {
  static const ResourceType type = Make("dunlin.dev", "v1alpha1", "users", "User");
  return type;
}
const ResourceType& NameServiceType() {
  static const ResourceType type = Make("dunlin.dev", "v1alpha1", "nameservices", "NameService");
  return type;
}
const ResourceType& ConfigMapType() {
  static const ResourceType type = Make("", "v1", "configmaps", "ConfigMap");
  return type;
}
const ResourceType& LeaseType() {
  static const ResourceType type = Make("coordination.k8s.io", "v1", "leases", "Lease");
  return type;
}
const ResourceType& NodeType() {
  static const ResourceType type = {
      .group = "", .version = "v1", .plural = "nodes", .kind = "Node", .namespaced = false};
  return type;
}
const ResourceType& PersistentVolumeClaimType() {
  static const ResourceType type =
      Make("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim");
  return type;
}
const ResourceType& PodDisruptionBudgetType() {
  static const ResourceType type =
      Make("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget");
  return type;
}
const ResourceType& PodType() {
  static const ResourceType type = Make("", "v1", "pods", "Pod");
  return type;
}
const ResourceType& RoleBindingType() {
  static const ResourceType type =
      Make("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding");
  return type;
}
const ResourceType& RoleType() {
  static const ResourceType type = Make("rbac.authorization.k8s.io", "v1", "roles", "Role");
  return type;
}
const ResourceType& SecretType() {
  static const ResourceType type = Make("", "v1", "secrets", "Secret");
  return type;
}
const ResourceType& ServiceAccountType() {
  static const ResourceType type = Make("", "v1", "serviceaccounts", "ServiceAccount");
  return type;
}
const ResourceType& ServiceType() {
  static const ResourceType type = Make("", "v1", "services", "Service");
  return type;
}
const ResourceType& StatefulSetType() {
  static const ResourceType type = Make("apps", "v1", "statefulsets", "StatefulSet");
  return type;
}

}  // namespace dunlin::op
