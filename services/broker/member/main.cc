// `dunlin-broker`: the half of a member of a broker group that serves messages. Composition only:
// configuration, role, signals.

#include <memory>
#include <string_view>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/broker/member/role_switch.h"
#include "services/runtime/certificate_metric.h"
#include "services/runtime/connection_metrics.h"
#include "services/runtime/grpc_server.h"
#include "services/runtime/lifecycle.h"
#include "services/runtime/metrics.h"
#include "services/runtime/program.h"

namespace dunlin {
namespace {

constexpr char kDescription[] =
    "The broker of a member of a Dunlin broker group: stores and serves messages while the\n"
    "dunlin-replicator beside it (same data directory, same configuration) says that it is the\n"
    "master, and keeps its view of the log up while it is not. A broker alone is dunlin.\n";
constexpr char kFooter[] =
    "\nExamples:\n"
    "  dunlin-broker -c member.yaml\n"
    "\nConfiguration: docs/reference/config.md, docs/replication.md. Exit status: 0 stopped as\n"
    "asked, 1 could not start or failed, 2 usage.\n";

absl::Status Serve(const config::v1::DunlinConfig& config) {
  // Before the first thread: all of them inherit which signals are blocked.
  StopSignal stop;
  RaiseOpenFileLimit();
  if (config.replication().member().empty()) {
    return absl::InvalidArgumentError(
        "replication.member is not set: name this member of the broker group, or start dunlin, "
        "which is a broker alone");
  }
  RETURN_IF_ERROR(MakeDataDirectory(config.data_dir()));
  const SystemClock clock;
  ASSIGN_OR_RETURN(const std::unique_ptr<Metrics> metrics,
                   Metrics::Start(config.metrics().listen_address()));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<broker::RoleSwitch> role,
      broker::RoleSwitch::Start(config, RealFiles(), clock, [&stop] { stop.Request(); }));
  metrics->Add(std::make_shared<ConnectionMetrics>(role->connection_counter()));
  metrics->Add(std::make_shared<CertificateMetric>(
      GrpcServer::CertificateFile(config.server(), config.data_dir())));
  metrics->Add(role->registration_metrics());
  metrics->Add(role->broker_metrics());

  AnnounceReady("dunlin-broker", Listening(config.server().listen_address(), role->port()),
                Listening(config.metrics().listen_address(), metrics->port()));
  const std::string_view signal = stop.Wait();
  log::Info("stopping: {}", signal.empty() ? "the store has failed" : signal);
  const absl::Status stopped = role->Stop();
  if (stopped.ok() && signal.empty()) return absl::DataLossError("the store has failed");
  return stopped;
}

}  // namespace
}  // namespace dunlin

int main(int argc, char** argv) {
  return dunlin::RunProgram<dunlin::config::v1::DunlinConfig>(
      {"dunlin-broker", dunlin::kDescription, dunlin::kFooter, "dunlin-data"}, argc, argv,
      dunlin::Serve);
}
