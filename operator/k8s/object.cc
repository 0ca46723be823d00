#include "operator/k8s/object.h"

#include <fmt/format.h>

#include <utility>

namespace dunlin::k8s {

std::string ResourceType::ApiVersion() const {
  return group.empty() ? version : fmt::format("{}/{}", group, version);
}

std::string ObjectKey::ToString() const {
  return space.empty() ? name : fmt::format("{}/{}", space, name);
}

ObjectKey KeyOf(const Json& object) {
  return {.space = std::string(StringAt(object, {"metadata", "namespace"})),
          .name = std::string(StringAt(object, {"metadata", "name"}))};
}

std::string_view UidOf(const Json& object) { return StringAt(object, {"metadata", "uid"}); }

std::string_view ResourceVersionOf(const Json& object) {
  return StringAt(object, {"metadata", "resourceVersion"});
}

int64_t GenerationOf(const Json& object) { return IntAt(object, {"metadata", "generation"}); }

bool IsBeingDeleted(const Json& object) {
  return !StringAt(object, {"metadata", "deletionTimestamp"}).empty();
}

std::string_view LabelOf(const Json& object, std::string_view name) {
  return StringAt(object, {"metadata", "labels", name});
}

std::string_view AnnotationOf(const Json& object, std::string_view name) {
  return StringAt(object, {"metadata", "annotations", name});
}

Json NewObject(const ResourceType& type, const ObjectKey& key) {
  Json object = {
      {"apiVersion", type.ApiVersion()}, {"kind", type.kind}, {"metadata", {{"name", key.name}}}};
  if (type.namespaced) object["metadata"]["namespace"] = key.space;
  return object;
}

Json ControllerReference(const Json& owner) {
  return {{"apiVersion", StringAt(owner, {"apiVersion"})},
          {"kind", StringAt(owner, {"kind"})},
          {"name", StringAt(owner, {"metadata", "name"})},
          {"uid", UidOf(owner)},
          {"controller", true},
          {"blockOwnerDeletion", true}};
}

std::string_view ControllerUidOf(const Json& object) {
  const Json* const owners = Find(object, {"metadata", "ownerReferences"});
  if (owners == nullptr || !owners->is_array()) return {};
  for (const Json& owner : *owners) {
    if (BoolAt(owner, {"controller"})) return StringAt(owner, {"uid"});
  }
  return {};
}

namespace {

Json FinalizersOf(const Json& object) {
  const Json* const found = Find(object, {"metadata", "finalizers"});
  return found != nullptr && found->is_array() ? *found : Json::array();
}

Json FinalizersPatch(const Json& before, const Json& after) {
  Json patch = Json::array();
  // An empty list is not stored, and a test of a field that is absent always fails.
  if (!before.empty()) {
    patch.push_back({{"op", "test"}, {"path", "/metadata/finalizers"}, {"value", before}});
  }
  if (after.empty()) {
    patch.push_back({{"op", "remove"}, {"path", "/metadata/finalizers"}});
  } else {
    patch.push_back({{"op", "add"}, {"path", "/metadata/finalizers"}, {"value", after}});
  }
  return patch;
}

}  // namespace

bool HasFinalizer(const Json& object, std::string_view finalizer) {
  for (const Json& entry : FinalizersOf(object)) {
    if (entry == finalizer) return true;
  }
  return false;
}

Json AddFinalizerPatch(const Json& object, std::string_view finalizer) {
  if (HasFinalizer(object, finalizer)) return nullptr;
  const Json before = FinalizersOf(object);
  Json after = before;
  after.push_back(finalizer);
  Json patch = FinalizersPatch(before, after);
  if (before.empty()) {
    // Nothing to test but the version of the whole: somebody else's first finalizer must stay.
    patch.insert(patch.begin(), Json{{"op", "test"},
                                     {"path", "/metadata/resourceVersion"},
                                     {"value", ResourceVersionOf(object)}});
  }
  return patch;
}

Json RemoveFinalizerPatch(const Json& object, std::string_view finalizer) {
  if (!HasFinalizer(object, finalizer)) return nullptr;
  const Json before = FinalizersOf(object);
  Json after = Json::array();
  for (const Json& entry : before) {
    if (entry != finalizer) after.push_back(entry);
  }
  return FinalizersPatch(before, after);
}

std::string PathOf(const ResourceType& type, const ObjectKey& key, std::string_view subresource) {
  std::string path = type.group.empty() ? fmt::format("/api/{}", type.version)
                                        : fmt::format("/apis/{}/{}", type.group, type.version);
  if (type.namespaced && !key.space.empty()) {
    path += "/namespaces/" + PercentEncode(key.space);
  }
  path += "/" + type.plural;
  if (!key.name.empty()) path += "/" + PercentEncode(key.name);
  if (!subresource.empty()) path += fmt::format("/{}", subresource);
  return path;
}

std::string PercentEncode(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= 'a' && byte <= 'z') || c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", byte);
    }
  }
  return encoded;
}

}  // namespace dunlin::k8s
