// Kubeconfig: what kubectl reads, for programs that run outside of the cluster.
//
// Read: clusters with a CA (a file or inline), tls-server-name, insecure-skip-tls-verify and
// proxy-url; users with a token, a token file or a client certificate (files or inline); contexts.
// Refused with an error that says what to do instead: exec and auth-provider plugins, and
// passwords.

#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "operator/k8s/credentials.h"
#include "services/base/clock.h"

namespace dunlin::k8s {

// `context`: empty for the file's current-context. NOT_FOUND: there is no such file.
// INVALID_ARGUMENT: it cannot be read. FAILED_PRECONDITION: it asks for what is not supported.
// `clock` outlives the result.
absl::StatusOr<ApiServer> ReadKubeconfig(const std::string& path, std::string_view context,
                                         const Clock& clock);

// The first of $KUBECONFIG, or ~/.kube/config.
std::string DefaultKubeconfigPath();

}  // namespace dunlin::k8s
