#include "operator/k8s/testing/control_plane.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "operator/k8s/client.h"
#include "operator/k8s/curl_loop.h"
#include "operator/k8s/kubeconfig.h"
#include "operator/k8s/testing/test_certificate.h"
#include "services/base/check.h"
#include "services/base/file.h"
#include "services/base/strings.h"
#include "services/base/testing/free_ports.h"

namespace dunlin::k8s {
namespace {

constexpr std::string_view kToken = "of-the-administrator";
constexpr std::string_view kServiceRange = "10.96.0.0/16";

std::string ProgramPath(const std::string& name) {
  const char* const given = std::getenv("DUNLIN_KUBE_CACHE");
  // A test has no HOME.
  const std::string cache =
      given != nullptr ? given : std::string(getpwuid(getuid())->pw_dir) + "/.cache/dunlin-kube";
  const std::string path = fmt::format("{}/bin/{}", cache, name);
  CHECK(access(path.c_str(), X_OK) == 0, path + " is not there: run ./dev kube");
  return path;
}

}  // namespace

ControlPlane::ControlPlane() {
  const std::vector<int> ports = FreePorts(3);
  etcd_url_ = fmt::format("http://127.0.0.1:{}", ports[0]);
  etcd_peer_url_ = fmt::format("http://127.0.0.1:{}", ports[1]);
  port_ = ports[2];
  account_key_ = TestAuthority(directory_.path()).certificate().key_path;
  std::ofstream(directory_.path() + "/tokens.csv")
      << kToken << ",administrator,administrator,system:masters\n";
  kubeconfig_ = directory_.path() + "/kubeconfig";
  std::ofstream(kubeconfig_) << fmt::format(R"(apiVersion: v1
kind: Config
clusters:
- name: test
  cluster:
    server: https://127.0.0.1:{}
    certificate-authority: {}/certificates/apiserver.crt
users:
- name: administrator
  user:
    token: {}
contexts:
- name: test
  context:
    cluster: test
    user: administrator
current-context: test
)",
                                            port_, directory_.path(), kToken);
  StartEtcd();
  StartApiServer();
}

void ControlPlane::StartEtcd() {
  etcd_ = ChildProcess(
      {ProgramPath("etcd"), "--name=one", "--data-dir=" + directory_.path() + "/etcd",
       "--listen-client-urls=" + etcd_url_, "--advertise-client-urls=" + etcd_url_,
       "--listen-peer-urls=" + etcd_peer_url_, "--initial-advertise-peer-urls=" + etcd_peer_url_,
       "--initial-cluster=one=" + etcd_peer_url_, "--unsafe-no-fsync", "--log-level=warn"},
      LogPath("etcd"));
}

void ControlPlane::StartApiServer() {
  CHECK(!api_server_.is_running());
  api_server_ =
      ChildProcess({ProgramPath("kube-apiserver"), "--etcd-servers=" + etcd_url_,
                    fmt::format("--secure-port={}", port_), "--bind-address=127.0.0.1",
                    "--advertise-address=127.0.0.1",
                    fmt::format("--cert-dir={}/certificates", directory_.path()),
                    fmt::format("--service-cluster-ip-range={}", kServiceRange),
                    "--authorization-mode=Node,RBAC",
                    fmt::format("--token-auth-file={}/tokens.csv", directory_.path()),
                    "--service-account-issuer=https://kubernetes.default.svc",
                    "--service-account-key-file=" + account_key_,
                    "--service-account-signing-key-file=" + account_key_,
                    // Tests count on what is said in between, so none of it goes by itself.
                    "--etcd-compaction-interval=0"},
                   LogPath("kube-apiserver"));
  WaitUntilReady();
}

void ControlPlane::StartControllers() {
  CHECK(!controllers_.is_running());
  controllers_ =
      ChildProcess({ProgramPath("kube-controller-manager"), "--kubeconfig=" + kubeconfig_,
                    "--service-account-private-key-file=" + account_key_,
                    fmt::format("--root-ca-file={}/certificates/apiserver.crt", directory_.path()),
                    "--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=0"},
                   LogPath("kube-controller-manager"));
}

// The client's own retries are the waiting.
void ControlPlane::WaitUntilReady() const {
  ApiServer server{.url = fmt::format("https://127.0.0.1:{}", port_)};
  server.insecure_skip_tls_verify = true;  // its certificate is yet to be made
  server.token = std::make_shared<FixedToken>(std::string(kToken));
  CurlLoop loop(server, "test", clock_);
  ClientOptions options;
  options.call_timeout = std::chrono::minutes(2);
  options.retry = {
      .attempts_max = 10'000,
      .backoff = {.first = std::chrono::milliseconds(50), .max = std::chrono::milliseconds(200)}};
  Client client(loop, loop, options);
  const absl::Status ready = client
                                 .Run({.method = "GET",
                                       .path = "/readyz",
                                       .content_type = "",
                                       .body = "",
                                       .idempotent = true})
                                 .status();
  loop.Stop();
  // "ok" is what it answers, and not JSON.
  CHECK(ready.code() == absl::StatusCode::kInvalidArgument,
        fmt::format("the API server is not ready: {}\n{}", FromAbsl(ready.message()),
                    LogOf("kube-apiserver")));
}

ApiServer ControlPlane::Admin() const {
  absl::StatusOr<ApiServer> server = ReadKubeconfig(kubeconfig_, "", clock_);
  CHECK(server.ok(), FromAbsl(server.status().message()));
  return *std::move(server);
}

std::string ControlPlane::Kubectl(const std::vector<std::string>& arguments, bool may_fail) {
  std::vector<std::string> command = {
      ProgramPath("kubectl"), "--kubeconfig=" + kubeconfig_,
      // What types there are changes between two calls.
      fmt::format("--cache-dir={}/kubectl-{}", directory_.path(), ++kubectl_calls_)};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return OutputOf(command, may_fail);
}

std::string ControlPlane::LogPath(const std::string& program) const {
  return fmt::format("{}/{}.log", directory_.path(), program);
}

std::string ControlPlane::LogOf(const std::string& program) const {
  constexpr size_t kShown = 4000;
  const absl::StatusOr<std::string> log = ReadWholeFile(RealFiles(), LogPath(program));
  if (!log.ok()) return "";
  return log->size() > kShown ? log->substr(log->size() - kShown) : *log;
}

}  // namespace dunlin::k8s
