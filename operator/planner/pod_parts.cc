#include "operator/planner/pod_parts.h"

namespace dunlin::op {
namespace {

using k8s::Json;

std::string StringOr(const Json& json, k8s::JsonPath path, std::string_view otherwise) {
  const std::string_view found = k8s::StringAt(json, path);
  return std::string(found.empty() ? otherwise : found);
}

}  // namespace

Json RestrictedPod() {
  constexpr int kUser = 65532;
  return {{"runAsNonRoot", true},
          {"runAsUser", kUser},
          {"runAsGroup", kUser},
          {"fsGroup", kUser},
          {"fsGroupChangePolicy", "OnRootMismatch"},
          {"seccompProfile", {{"type", "RuntimeDefault"}}}};
}

Json RestrictedContainer() {
  return {{"allowPrivilegeEscalation", false},
          {"readOnlyRootFilesystem", true},
          {"capabilities", {{"drop", {"ALL"}}}}};
}

Json SpreadOverNodes(const Json& selector) {
  const Json spread = {{"maxSkew", 1},
                       {"topologyKey", "kubernetes.io/hostname"},
                       {"whenUnsatisfiable", "ScheduleAnyway"},
                       {"labelSelector", {{"matchLabels", selector}}}};
  return Json::array({spread});
}

Json FieldVariable(std::string_view name, std::string_view field) {
  return {{"name", name}, {"valueFrom", {{"fieldRef", {{"fieldPath", field}}}}}};
}

Json ContainerPort(std::string_view name, int port) {
  return {{"name", name}, {"containerPort", port}, {"protocol", "TCP"}};
}

Json ServicePort(std::string_view name, int port) {
  return {{"name", name}, {"port", port}, {"targetPort", name}, {"protocol", "TCP"}};
}

Json VolumeClaims(const Json& resource, const Json* stateful_set) {
  if (stateful_set != nullptr) {
    const Json* const there = k8s::Find(*stateful_set, {"spec", "volumeClaimTemplates"});
    if (there != nullptr && there->is_array() && !there->empty()) {
      Json claim = {{"metadata", {{"name", "data"}}}, {"spec", there->at(0)["spec"]}};
      return Json::array({claim});
    }
  }
  Json claim = {{"metadata", {{"name", "data"}}}, {"spec", {{"accessModes", {"ReadWriteOnce"}}}}};
  if (const Json* const size = k8s::Find(resource, {"spec", "storage", "size"})) {
    claim["spec"]["resources"]["requests"]["storage"] = *size;
  }
  if (const auto name = k8s::StringAt(resource, {"spec", "storage", "storageClassName"});
      !name.empty()) {
    claim["spec"]["storageClassName"] = name;
  }
  return Json::array({claim});
}

Json ClaimRetention(const Json& resource) {
  return {
      {"whenDeleted",
       StringOr(resource, {"spec", "storage", "retention", "whenDeleted"}, "Retain")},
      {"whenScaled", StringOr(resource, {"spec", "storage", "retention", "whenScaled"}, "Retain")}};
}

void PutLabels(const Json& labels, Json& pod_template) {
  // What is no map the API server refuses, in better words.
  Json& metadata = pod_template["metadata"];
  if (metadata.is_object() && metadata["labels"].is_object()) metadata["labels"].update(labels);
}

std::string PullPolicy(const Json& resource) {
  return StringOr(resource, {"spec", "imagePullPolicy"}, "IfNotPresent");
}

}  // namespace dunlin::op
