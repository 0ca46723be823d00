#include "operator/k8s/credentials.h"

#include <fmt/format.h>

#include <cstdlib>

#include "absl/status/status.h"

#include "services/base/file.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::k8s {
namespace {

std::string Trimmed(std::string text) {
  constexpr std::string_view kSpace = " \t\r\n";
  text.erase(text.find_last_not_of(kSpace) + 1);
  text.erase(0, text.find_first_not_of(kSpace));
  return text;
}

std::string EnvironmentVariable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  // Opened by name each time: the kubelet swaps a symbolic link.
  ASSIGN_OR_RETURN(std::string token, ReadWholeFile(RealFiles(), path));
  token = Trimmed(std::move(token));
  if (token.empty()) return absl::FailedPreconditionError(path + " is empty");
  return token;
}

}  // namespace

absl::StatusOr<std::string> FileToken::Token() {
  MutexLock lock(mutex_);
  const Timestamp now = clock_.Now();
  if (!token_.empty() && now - read_at_ < kReadAgainAfter) return token_;
  absl::StatusOr<std::string> token = ReadToken(path_);
  if (!token.ok() && token_.empty()) return token;
  read_at_ = now;
  if (token.ok()) {
    token_ = *std::move(token);
  } else {
    log::Warning("the token is not replaced: {}", FromAbsl(token.status().message()));
  }
  return token_;
}

void FileToken::Refused() {
  MutexLock lock(mutex_);
  read_at_ = Timestamp{};
}

PodEnvironment PodEnvironment::FromProcess() {
  PodEnvironment pod;
  pod.host = EnvironmentVariable("KUBERNETES_SERVICE_HOST");
  pod.port = EnvironmentVariable("KUBERNETES_SERVICE_PORT");
  return pod;
}

absl::StatusOr<ApiServer> InClusterServer(const PodEnvironment& pod, const Clock& clock) {
  if (pod.host.empty() || pod.port.empty()) {
    return absl::FailedPreconditionError(
        "not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; outside of "
        "a cluster give a kubeconfig");
  }
  ApiServer server;
  const bool ipv6 = pod.host.find(':') != std::string::npos;
  server.url = ipv6 ? fmt::format("https://[{}]:{}", pod.host, pod.port)
                    : fmt::format("https://{}:{}", pod.host, pod.port);
  auto token = std::make_shared<FileToken>(pod.directory + "/token", clock);
  if (const auto first = token->Token(); !first.ok()) {
    return absl::FailedPreconditionError(fmt::format(
        "the pod has no service account token ({}); set automountServiceAccountToken: true",
        FromAbsl(first.status().message())));
  }
  server.token = std::move(token);
  ASSIGN_OR_RETURN(server.ca_pem, ReadWholeFile(RealFiles(), pod.directory + "/ca.crt"));
  if (auto space = ReadWholeFile(RealFiles(), pod.directory + "/namespace"); space.ok()) {
    server.default_namespace = Trimmed(*std::move(space));
  }
  return server;
}

}  // namespace dunlin::k8s
