// `dunlin-operator`: keeps broker groups on Kubernetes as they are written down. Composition only:
// configuration, credentials, operator, health, signals.

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <random>
#include <string_view>

#include "operator/k8s/credentials.h"
#include "operator/k8s/kubeconfig.h"
#include "operator/program/operator.h"
#include "proto/dunlin/config/v1/operator.pb.h"
#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/runtime/grpc_server.h"
#include "services/runtime/lifecycle.h"
#include "services/runtime/metrics.h"
#include "services/runtime/program.h"

namespace dunlin {
namespace {

constexpr char kDescription[] =
    "The operator of Dunlin: keeps broker groups on Kubernetes as they are written down in\n"
    "resources of dunlin.dev/v1alpha1. Run two; one leads.\n";
constexpr char kFooter[] =
    "\nExamples:\n"
    "  dunlin-operator                                  in a pod, for all namespaces\n"
    "  dunlin-operator --set kubernetes.namespaces=a,b  for these two\n"
    "  dunlin-operator --set kubernetes.kubeconfig=$HOME/.kube/config\n"
    "  dunlin-operator -c operator.yaml -p              what would be in effect, and from where\n"
    "\nEnvironment: DUNLIN_KUBERNETES__NAMESPACES is kubernetes.namespaces. It keeps nothing on\n"
    "disk. Exit status: 0 stopped as asked, 1 could not start, failed or lost leadership, 2 "
    "usage.\n";

absl::StatusOr<k8s::ApiServer> ServerOf(const config::v1::KubernetesConfig& config,
                                        const Clock& clock) {
  if (config.kubeconfig().empty()) {
    return k8s::InClusterServer(k8s::PodEnvironment::FromProcess(), clock);
  }
  return k8s::ReadKubeconfig(config.kubeconfig(), config.context(), clock);
}

// Of this process: no other, before or after, has the same.
std::string Identity() {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  std::random_device random;
  return fmt::format("{}_{:08x}{:08x}", host.data(), random(), random());
}

// What the schema cannot say: it knows "at most", and this must be less.
absl::Status CheckElection(const config::v1::LeaderElectionConfig& config) {
  if (config.retry_period_ms() < config.renew_deadline_ms() &&
      config.renew_deadline_ms() < config.lease_duration_ms()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(fmt::format(
      "leader_election: retry_period_ms ({}) must be less than renew_deadline_ms ({}), and that "
      "less than lease_duration_ms ({})",
      config.retry_period_ms(), config.renew_deadline_ms(), config.lease_duration_ms()));
}

absl::Status Serve(const config::v1::OperatorConfig& config) {
  RETURN_IF_ERROR(CheckElection(config.leader_election()));
  // Before the first thread: all of them inherit which signals are blocked.
  StopSignal stop;
  RaiseOpenFileLimit();
  const SystemClock clock;
  ASSIGN_OR_RETURN(k8s::ApiServer server, ServerOf(config.kubernetes(), clock));
  ASSIGN_OR_RETURN(const std::unique_ptr<Metrics> metrics,
                   Metrics::Start(config.metrics().listen_address()));
  config::v1::ServerConfig health_config;
  health_config.set_listen_address(config.health_listen_address());
  health_config.mutable_tls()->set_mode(config::v1::TlsConfig::OFF);
  ASSIGN_OR_RETURN(const std::unique_ptr<GrpcServer> health,
                   GrpcServer::Start(health_config, "", {{}, nullptr}));
  op::Operator program(config,
                       {.server = std::move(server),
                        .identity = Identity(),
                        .on_synced = [&health] { health->SetServing(true); }},
                       metrics->registry(), clock);
  metrics->Add(program.metrics());
  program.Start();

  AnnounceReady("dunlin-operator", Listening(config.health_listen_address(), health->port()),
                Listening(config.metrics().listen_address(), metrics->port()));
  const std::string_view signal = stop.Wait();
  log::Info("stopping: {}", signal);
  health->SetServing(false);
  program.Stop();
  return absl::OkStatus();
}

}  // namespace
}  // namespace dunlin

int main(int argc, char** argv) {
  return dunlin::RunProgram<dunlin::config::v1::OperatorConfig>(
      {"dunlin-operator", dunlin::kDescription, dunlin::kFooter, ""}, argc, argv, dunlin::Serve);
}
