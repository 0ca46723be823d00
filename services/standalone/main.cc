// `dunlin`: everything in one process. Composition only: configuration, name service, and a broker
// alone or both halves of a member of a broker group; signals.

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/broker/admin/broker_metrics.h"
#include "services/broker/broker.h"
#include "services/broker/member/role_switch.h"
#include "services/replicator/replicator.h"
#include "services/runtime/certificate_metric.h"
#include "services/runtime/connection_metrics.h"
#include "services/runtime/grpc_server.h"
#include "services/runtime/host_port.h"
#include "services/runtime/lifecycle.h"
#include "services/runtime/metrics.h"
#include "services/runtime/program.h"
#include "services/standalone/embedded_names.h"

namespace dunlin {
namespace {

constexpr char kDescription[] =
    "Dunlin, a message queue, in one process: topics, queues, consumer groups, served to any\n"
    "RocketMQ 5 SDK on one port (plaintext and TLS); and a name service on another.\n";
constexpr char kFooter[] =
    "\nExamples:\n"
    "  dunlin --data-dir data                          start, everything else as it is by default\n"
    "  dunlin -c dunlin.yaml --set log.level=DEBUG     a file, and one value over it\n"
    "  dunlin -c member.yaml                           a member of a broker group: "
    "docs/replication.md\n"
    "  dunlin -c dunlin.yaml -p                        what would be in effect, and from where\n"
    "\nConfiguration: docs/reference/config.md. Environment: DUNLIN_STORE__FLUSH_MODE=SYNC_FLUSH "
    "is\n"
    "store.flush_mode. Exit status: 0 stopped as asked, 1 could not start or failed, 2 usage.\n";

// All name services that the broker registers with: those of the configuration, and the one inside.
std::vector<std::string> NameServices(const config::v1::DunlinConfig& config,
                                      const EmbeddedNames& names) {
  std::vector<std::string> all(config.broker().name_services().begin(),
                               config.broker().name_services().end());
  if (names.present()) all.push_back(FormatHostPort(names.address()));
  return all;
}

absl::Status ServeAlone(const config::v1::DunlinConfig& config, const Clock& clock,
                        EmbeddedNames& names, Metrics& metrics, StopSignal& stop) {
  ASSIGN_OR_RETURN(const std::unique_ptr<broker::Broker> broker,
                   broker::Broker::Start(config, RealFiles(), clock, [&stop] { stop.Request(); }));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<GrpcServer> server,
      GrpcServer::Start(config.server(), config.data_dir(), {broker->services(), nullptr}));
  metrics.Add(std::make_shared<ConnectionMetrics>(server->connection_counter()));
  const HostPort advertised = AdvertisedAddress(config.server(), server->port());
  broker->SetAdvertisedAddress(advertised.host, advertised.port);
  RETURN_IF_ERROR(broker->Register(NameServices(config, names)));
  const auto broker_metrics =
      std::make_shared<broker::BrokerMetrics>(RealFiles(), config.data_dir());
  broker->ShowIn(broker_metrics);
  metrics.Add(broker_metrics);
  if (auto registrations = broker->registration_metrics(); registrations != nullptr) {
    metrics.Add(std::move(registrations));
  }
  server->SetServing(true);

  AnnounceReady("dunlin", Listening(config.server().listen_address(), server->port()),
                Listening(config.metrics().listen_address(), metrics.port()));
  const std::string_view signal = stop.Wait();
  log::Info("stopping: {}", signal.empty() ? "the store has failed" : signal);
  server->SetServing(false);
  broker->Drain();
  const std::chrono::milliseconds grace(config.server().shutdown_grace_ms());
  server->Stop(grace);
  names.Stop(grace);
  return broker->Stop();
}

// Both halves of a member of a broker group, as threads of this process.
absl::Status ServeMember(const config::v1::DunlinConfig& config, const Clock& clock,
                         EmbeddedNames& names, Metrics& metrics, StopSignal& stop) {
  config::v1::DunlinConfig of_broker = config;
  of_broker.mutable_broker()->clear_name_services();
  for (std::string& address : NameServices(config, names)) {
    of_broker.mutable_broker()->add_name_services(std::move(address));
  }
  const std::function<void()> on_failure = [&stop] { stop.Request(); };
  ASSIGN_OR_RETURN(const std::unique_ptr<replicator::Replicator> replicator,
                   replicator::Replicator::Start(config, RealFiles(), clock, on_failure));
  ASSIGN_OR_RETURN(const std::unique_ptr<broker::RoleSwitch> role,
                   broker::RoleSwitch::Start(of_broker, RealFiles(), clock, on_failure));
  metrics.Add(std::make_shared<ConnectionMetrics>(role->connection_counter()));
  metrics.Add(role->registration_metrics());
  metrics.Add(role->broker_metrics());
  metrics.Add(replicator->metrics());
  log::Info("member {} of broker group {}: the replicator listens on {}",
            config.replication().member(), config.broker().broker_name(),
            Listening(config.replication().listen_address(), replicator->port()));

  AnnounceReady("dunlin", Listening(config.server().listen_address(), role->port()),
                Listening(config.metrics().listen_address(), metrics.port()));
  const std::string_view signal = stop.Wait();
  log::Info("stopping: {}", signal.empty() ? "the store has failed" : signal);
  if (!signal.empty()) replicator->HandOver();
  absl::Status stopped = replicator->Stop();
  stopped.Update(role->Stop());
  names.Stop(std::chrono::milliseconds(config.server().shutdown_grace_ms()));
  if (stopped.ok() && signal.empty()) return absl::DataLossError("the store has failed");
  return stopped;
}

absl::Status Serve(const config::v1::DunlinConfig& config) {
  // Before the first thread: all of them inherit which signals are blocked.
  StopSignal stop;
  RaiseOpenFileLimit();
  RETURN_IF_ERROR(MakeDataDirectory(config.data_dir()));
  const SystemClock clock;
  ASSIGN_OR_RETURN(const std::unique_ptr<Metrics> metrics,
                   Metrics::Start(config.metrics().listen_address()));
  ASSIGN_OR_RETURN(EmbeddedNames names, EmbeddedNames::Start(config, clock));
  if (names.present()) metrics->Add(names.metrics());
  metrics->Add(std::make_shared<CertificateMetric>(
      GrpcServer::CertificateFile(config.server(), config.data_dir())));
  return config.replication().member().empty() ? ServeAlone(config, clock, names, *metrics, stop)
                                               : ServeMember(config, clock, names, *metrics, stop);
}

}  // namespace
}  // namespace dunlin

int main(int argc, char** argv) {
  return dunlin::RunProgram<dunlin::config::v1::DunlinConfig>(
      {"dunlin", dunlin::kDescription, dunlin::kFooter, "dunlin-data"}, argc, argv, dunlin::Serve);
}
