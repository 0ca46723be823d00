// Credentials: where the API server is, how to know it, and who we are to it.
//
// In a pod: the files that the kubelet mounts, whose token it replaces about once an hour. For
// people: a kubeconfig (kubeconfig.h).

#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/mutex.h"

namespace dunlin::k8s {

// A bearer token. Thread-safe.
class TokenSource {
 public:
  virtual ~TokenSource() = default;

  virtual absl::StatusOr<std::string> Token() = 0;
  // The server did not take it: the next one is read afresh.
  virtual void Refused() = 0;
};

class FixedToken final : public TokenSource {
 public:
  explicit FixedToken(std::string token) : token_(std::move(token)) {}

  absl::StatusOr<std::string> Token() override { return token_; }
  void Refused() override {}

 private:
  const std::string token_;
};

// A token in a file that somebody else replaces. Read again after a minute and after a refusal;
// when it cannot be read the last one is used, since it may well be valid still.
class FileToken final : public TokenSource {
 public:
  static constexpr std::chrono::seconds kReadAgainAfter{60};

  FileToken(std::string path, const Clock& clock) : path_(std::move(path)), clock_(clock) {}

  absl::StatusOr<std::string> Token() override ABSL_LOCKS_EXCLUDED(mutex_);
  void Refused() override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const std::string path_;
  const Clock& clock_;
  Mutex mutex_;
  std::string token_ ABSL_GUARDED_BY(mutex_);
  Timestamp read_at_ ABSL_GUARDED_BY(mutex_){};
};

struct ApiServer {
  std::string url;              // "https://10.0.0.1:443", without a slash at its end
  std::string ca_pem;           // empty: the certificates that the machine trusts
  std::string tls_server_name;  // the name in its certificate; empty: that of the URL
  bool insecure_skip_tls_verify = false;
  std::string proxy_url;  // empty: none
  std::string client_certificate_pem;
  std::string client_key_pem;
  std::shared_ptr<TokenSource> token;  // null: none
  std::string default_namespace = "default";
};

// Where the kubelet puts what a pod needs, and what it says in the environment.
struct PodEnvironment {
  std::string directory = "/var/run/secrets/kubernetes.io/serviceaccount";
  std::string host;  // KUBERNETES_SERVICE_HOST
  std::string port;  // KUBERNETES_SERVICE_PORT

  static PodEnvironment FromProcess();
};

// FAILED_PRECONDITION: this is no pod, or one without a service account token; says what is missing
// and what to set. `clock` outlives the result.
absl::StatusOr<ApiServer> InClusterServer(const PodEnvironment& pod, const Clock& clock);

}  // namespace dunlin::k8s
