// ParseYamlDocuments: YAML to Json, for kubeconfigs and manifests.
//
// Plain scalars are read as YAML 1.2's core schema does: null, true, 12, 1.5; quoted ones are
// strings. Anchors and aliases are refused, since a short text could unfold to a large one. Pure;
// any thread. yaml-cpp and its exceptions stay inside.

#pragma once

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "operator/k8s/json.h"

namespace dunlin::k8s {

// One Json per document; empty documents are left out. Errors are INVALID_ARGUMENT and begin
// "`name`:line: ".
absl::StatusOr<std::vector<Json>> ParseYamlDocuments(std::string_view text, std::string_view name);

}  // namespace dunlin::k8s
