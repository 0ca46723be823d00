#include "operator/controller/concern.h"

#include <string>
#include <string_view>
#include <utility>

#include "operator/planner/coordination.h"
#include "operator/planner/credentials.h"
#include "operator/planner/drain.h"
#include "operator/planner/name_service.h"
#include "operator/planner/objects.h"
#include "operator/planner/resource_types.h"

namespace dunlin::op {
namespace {

using k8s::Json;

bool SameAt(const Json& before, const Json& after, k8s::JsonPath path) {
  const Json* const a = k8s::Find(before, path);
  const Json* const b = k8s::Find(after, path);
  if (a == nullptr || b == nullptr) return a == b;
  return *a == *b;
}

// What people write. Their status, which the operator writes, counts not.
bool IsSameResource(const Json& before, const Json& after) {
  return k8s::UidOf(before) == k8s::UidOf(after) &&
         k8s::GenerationOf(before) == k8s::GenerationOf(after) &&
         k8s::IsBeingDeleted(before) == k8s::IsBeingDeleted(after) &&
         SameAt(before, after, {"metadata", "annotations"}) &&
         SameAt(before, after, {"metadata", "finalizers"});
}

// Renewals come every second or so.
bool IsSameLease(const Json& before, const Json& after) {
  return CoordinationOf(before) == CoordinationOf(after) &&
         k8s::AnnotationOf(before, kFingerprint) == k8s::AnnotationOf(after, kFingerprint) &&
         SameAt(before, after, {"metadata", "labels"}) &&
         SameAt(before, after, {"metadata", "ownerReferences"});
}

// Of a resource of type `owner`, or of an object whose label names one.
std::optional<k8s::ObjectKey> ConcernedBy(const k8s::ResourceType& owner, std::string_view label,
                                          const k8s::ResourceType& type,
                                          const k8s::Store::Change& change) {
  const k8s::Object& any = change.after != nullptr ? change.after : change.before;
  const bool both = change.before != nullptr && change.after != nullptr;
  if (type == owner) {
    if (both && IsSameResource(*change.before, *change.after)) return std::nullopt;
    return k8s::KeyOf(*any);
  }
  const std::string_view name = label.empty() ? "" : k8s::LabelOf(*any, label);
  if (name.empty()) return std::nullopt;
  if (both && type == LeaseType() && IsSameLease(*change.before, *change.after)) {
    return std::nullopt;
  }
  return k8s::ObjectKey{k8s::KeyOf(*any).space, std::string(name)};
}

}  // namespace

std::optional<k8s::ObjectKey> GroupConcernedBy(const k8s::ResourceType& type,
                                               const k8s::Store::Change& change) {
  return ConcernedBy(BrokerGroupType(), kGroupLabel, type, change);
}

std::optional<k8s::ObjectKey> NameServiceConcernedBy(const k8s::ResourceType& type,
                                                     const k8s::Store::Change& change) {
  // Each says how many groups it has.
  if (type == BrokerGroupType()) {
    const k8s::Object& any = change.after != nullptr ? change.after : change.before;
    const std::string_view name = k8s::StringAt(*any, {"spec", "nameServiceRef", "name"});
    const bool both = change.before != nullptr && change.after != nullptr;
    if (name.empty() || both) return std::nullopt;
    return k8s::ObjectKey{k8s::KeyOf(*any).space, std::string(name)};
  }
  return ConcernedBy(NameServiceType(), kNameServiceLabel, type, change);
}

std::optional<k8s::ObjectKey> ResourceConcernedBy(const k8s::ResourceType& kind,
                                                  const k8s::ResourceType& type,
                                                  const k8s::Store::Change& change) {
  return ConcernedBy(kind, "", type, change);
}

bool ConcernsWhatBrokersKeep(const k8s::ResourceType& type, const k8s::Store::Change& change) {
  const bool both = change.before != nullptr && change.after != nullptr;
  if (type == BrokerGroupType()) {
    return !both || !IsSameResource(*change.before, *change.after) ||
           !SameAt(*change.before, *change.after, {"status", "master"});
  }
  if (type != LeaseType()) return false;
  if (!both) return true;
  const std::optional<Coordination> before = CoordinationOf(*change.before);
  const std::optional<Coordination> after = CoordinationOf(*change.after);
  if (!before.has_value() || !after.has_value()) return before.has_value() != after.has_value();
  return before->master != after->master || before->epoch != after->epoch;
}

bool ConcernsItsPods(const k8s::Store::Change& node) {
  const auto is_to_be_emptied = [](const k8s::Object& seen) {
    return seen != nullptr && IsToBeEmptied(*seen);
  };
  return is_to_be_emptied(node.before) != is_to_be_emptied(node.after);
}

void TrimNode(Json& node) {
  Json metadata = Json::object();
  for (const std::string name : {"name", "uid", "resourceVersion"}) {
    metadata[name] = k8s::StringAt(node, {"metadata", name});
  }
  Json spec = Json::object();
  for (const std::string name : {"unschedulable", "taints"}) {
    if (const Json* const value = k8s::Find(node, {"spec", name})) spec[name] = *value;
  }
  node = {{"metadata", std::move(metadata)}, {"spec", std::move(spec)}};
}

void TrimSecret(Json& secret) {
  Json metadata = Json::object();
  for (const std::string name :
       {"name", "namespace", "uid", "resourceVersion", "deletionTimestamp", "ownerReferences"}) {
    if (const Json* const value = k8s::Find(secret, {"metadata", name})) metadata[name] = *value;
  }
  Json data = Json::object();
  for (const std::string entry : {kAccessKeyEntry, kSecretKeyEntry}) {
    if (const Json* const value = k8s::Find(secret, {"data", entry})) data[entry] = *value;
  }
  secret = {{"metadata", std::move(metadata)}, {"data", std::move(data)}};
}

bool ConcernsItsGroups(const k8s::Store::Change& name_service) {
  if (name_service.before == nullptr || name_service.after == nullptr) return true;
  return !SameAt(*name_service.before, *name_service.after, {"spec", "replicas"});
}

}  // namespace dunlin::op
