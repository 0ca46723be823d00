#include "operator/k8s/kubeconfig.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"

#include "operator/k8s/json.h"
#include "operator/k8s/yaml_json.h"
#include "services/base/file.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::k8s {
namespace {

// One kubeconfig while it is read.
class Reader {
 public:
  Reader(const std::string& path, const Json& config) : path_(path), config_(config) {}

  absl::StatusOr<ApiServer> Read(std::string_view context_name, const Clock& clock) const {
    if (context_name.empty()) context_name = StringAt(config_, {"current-context"});
    if (context_name.empty()) {
      return Bad("there is no current-context: name a context, or run kubectl config use-context");
    }
    ASSIGN_OR_RETURN(const Json* const context, Entry("contexts", "context", context_name));
    ASSIGN_OR_RETURN(const Json* const cluster,
                     Entry("clusters", "cluster", StringAt(*context, {"cluster"})));
    ApiServer server;
    RETURN_IF_ERROR(ReadCluster(*cluster, server));
    if (const std::string_view user = StringAt(*context, {"user"}); !user.empty()) {
      ASSIGN_OR_RETURN(const Json* const entry, Entry("users", "user", user));
      RETURN_IF_ERROR(ReadUser(*entry, user, clock, server));
    }
    if (const std::string_view space = StringAt(*context, {"namespace"}); !space.empty()) {
      server.default_namespace = space;
    }
    return server;
  }

 private:
  absl::Status Bad(std::string_view what) const {
    return absl::InvalidArgumentError(fmt::format("{}: {}", path_, what));
  }

  // The list `list` has entries {name: …, `field`: {…}}.
  absl::StatusOr<const Json*> Entry(std::string_view list, std::string_view field,
                                    std::string_view name) const {
    const Json* const entries = Find(config_, {list});
    if (entries != nullptr && entries->is_array()) {
      for (const Json& entry : *entries) {
        if (StringAt(entry, {"name"}) != name) continue;
        const Json* const found = Find(entry, {field});
        if (found != nullptr && found->is_object()) return found;
      }
    }
    return Bad(fmt::format("there is no entry '{}' in {}", name, list));
  }

  // What stands inline under `field`-data in base64, or in the file named by `field`; empty when
  // there is neither.
  absl::StatusOr<std::string> DataOrFile(const Json& entry, std::string_view field) const {
    const std::string data_field = fmt::format("{}-data", field);
    if (const std::string_view data = StringAt(entry, {data_field}); !data.empty()) {
      std::string decoded;
      if (!absl::Base64Unescape(ToAbsl(data), &decoded)) {
        return Bad(data_field + " is not base64");
      }
      return decoded;
    }
    const std::string_view file = StringAt(entry, {field});
    if (file.empty()) return "";
    return ReadWholeFile(RealFiles(), Resolve(file));
  }

  // Names of files are relative to the kubeconfig.
  std::string Resolve(std::string_view file) const {
    return (std::filesystem::path(path_).parent_path() / file).string();
  }

  absl::Status ReadCluster(const Json& cluster, ApiServer& server) const {
    server.url = StringAt(cluster, {"server"});
    if (server.url.empty()) return Bad("the cluster has no server");
    while (server.url.ends_with('/')) server.url.pop_back();
    if (!server.url.starts_with("https://") && !server.url.starts_with("http://")) {
      return Bad(fmt::format("server '{}' must begin with https://", server.url));
    }
    ASSIGN_OR_RETURN(server.ca_pem, DataOrFile(cluster, "certificate-authority"));
    server.tls_server_name = StringAt(cluster, {"tls-server-name"});
    server.insecure_skip_tls_verify = BoolAt(cluster, {"insecure-skip-tls-verify"});
    server.proxy_url = StringAt(cluster, {"proxy-url"});
    return absl::OkStatus();
  }

  absl::Status ReadUser(const Json& user, std::string_view name, const Clock& clock,
                        ApiServer& server) const {
    for (const std::string_view plugin : {"exec", "auth-provider"}) {
      if (!user.contains(plugin)) continue;
      return absl::FailedPreconditionError(fmt::format(
          "{}: user '{}' gets its credentials from a program ({}), which is not supported; make a "
          "token with kubectl create token SERVICEACCOUNT and set it as the user's token",
          path_, name, plugin));
    }
    if (user.contains("username")) {
      return absl::FailedPreconditionError(fmt::format(
          "{}: user '{}' has a password, which API servers no longer take; use a token or a client "
          "certificate",
          path_, name));
    }
    ASSIGN_OR_RETURN(server.client_certificate_pem, DataOrFile(user, "client-certificate"));
    ASSIGN_OR_RETURN(server.client_key_pem, DataOrFile(user, "client-key"));
    if (server.client_certificate_pem.empty() != server.client_key_pem.empty()) {
      return Bad(fmt::format("user '{}' needs both client-certificate and client-key", name));
    }
    // The file goes before the token that is written out: it may be replaced.
    if (const std::string_view file = StringAt(user, {"tokenFile"}); !file.empty()) {
      server.token = std::make_shared<FileToken>(Resolve(file), clock);
    } else if (const std::string_view token = StringAt(user, {"token"}); !token.empty()) {
      server.token = std::make_shared<FixedToken>(std::string(token));
    }
    return absl::OkStatus();
  }

  const std::string& path_;
  const Json& config_;
};

}  // namespace

absl::StatusOr<ApiServer> ReadKubeconfig(const std::string& path, std::string_view context,
                                         const Clock& clock) {
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(RealFiles(), path));
  ASSIGN_OR_RETURN(const std::vector<Json> documents, ParseYamlDocuments(text, path));
  if (documents.size() != 1 || !documents[0].is_object()) {
    return absl::InvalidArgumentError(path + ": is not a kubeconfig");
  }
  return Reader(path, documents[0]).Read(context, clock);
}

std::string DefaultKubeconfigPath() {
  if (const char* const list = std::getenv("KUBECONFIG"); list != nullptr && *list != '\0') {
    const std::string paths = list;
    return paths.substr(0, paths.find(':'));
  }
  const char* const home = std::getenv("HOME");
  return std::string(home == nullptr ? "" : home) + "/.kube/config";
}

}  // namespace dunlin::k8s
