// What every object of the API has: a type, a key, an identity, owners and finalizers.
//
// Pure; any thread. Views into an object are valid as long as it is unchanged.

#pragma once

#include <compare>
#include <memory>
#include <string>
#include <string_view>

#include "operator/k8s/json.h"

namespace dunlin::k8s {

// One kind of one version, and where the API serves it.
struct ResourceType {
  std::string group;  // empty: the core group
  std::string version;
  std::string plural;  // as in the path: "pods"
  std::string kind;    // as in the object: "Pod"
  bool namespaced = true;

  std::string ApiVersion() const;  // "apps/v1", "v1"

  friend bool operator==(const ResourceType&, const ResourceType&) = default;
};

struct ObjectKey {
  std::string space;  // its namespace; empty for what has none
  std::string name;

  std::string ToString() const;  // "space/name", or "name"

  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
};

// An object in a cache: shared, never changed.
using Object = std::shared_ptr<const Json>;

ObjectKey KeyOf(const Json& object);
std::string_view UidOf(const Json& object);
// Opaque: may be compared for equality only.
std::string_view ResourceVersionOf(const Json& object);
int64_t GenerationOf(const Json& object);
bool IsBeingDeleted(const Json& object);
// Empty when there is no such label or annotation.
std::string_view LabelOf(const Json& object, std::string_view name);
std::string_view AnnotationOf(const Json& object, std::string_view name);

// An object with apiVersion, kind, name and namespace, to which a spec is added.
Json NewObject(const ResourceType& type, const ObjectKey& key);

// The entry of metadata.ownerReferences that makes `owner` the controller of another object: that
// object goes when its owner does, and the owner stays until it is gone. REQUIRES: `owner` was read
// from the API, and the other object is of the same namespace.
Json ControllerReference(const Json& owner);
// The UID of its controller; empty when it has none.
std::string_view ControllerUidOf(const Json& object);

bool HasFinalizer(const Json& object, std::string_view finalizer);
// A JSON Patch that adds or removes one finalizer and leaves those of others alone: it fails with
// INVALID_ARGUMENT (reason Invalid) when the list has changed since `object` was read. Null when
// there is nothing to do.
Json AddFinalizerPatch(const Json& object, std::string_view finalizer);
Json RemoveFinalizerPatch(const Json& object, std::string_view finalizer);

// "/api/v1/namespaces/space/pods/name/status"; name and subresource may be empty.
std::string PathOf(const ResourceType& type, const ObjectKey& key, std::string_view subresource);
// For paths and queries: everything but letters, digits and -._~ as %XX.
std::string PercentEncode(std::string_view text);

}  // namespace dunlin::k8s
