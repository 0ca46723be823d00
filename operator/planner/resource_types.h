// The types of the API that the operator knows. Any thread.

#pragma once

#include "operator/k8s/object.h"

namespace dunlin::op {

// dunlin.dev/v1alpha1.
const k8s::ResourceType& BrokerGroupType();
const k8s::ResourceType& ConsumerGroupType();
const k8s::ResourceType& NameServiceType();
const k8s::ResourceType& TopicType();
const k8s::ResourceType& UserType();

const k8s::ResourceType& ConfigMapType();
const k8s::ResourceType& LeaseType();
const k8s::ResourceType& NodeType();
const k8s::ResourceType& PersistentVolumeClaimType();
const k8s::ResourceType& PodDisruptionBudgetType();
const k8s::ResourceType& PodType();
const k8s::ResourceType& RoleBindingType();
const k8s::ResourceType& RoleType();
const k8s::ResourceType& SecretType();
const k8s::ResourceType& ServiceAccountType();
const k8s::ResourceType& ServiceType();
const k8s::ResourceType& StatefulSetType();

}  // namespace dunlin::op
