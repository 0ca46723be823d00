// `dunlin-nameservice`: where the topics are. Composition only: configuration, name service,
// server, signals.

#include <chrono>
#include <memory>
#include <string_view>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/nameservice/client_listener.h"
#include "services/nameservice/name_service.h"
#include "services/runtime/certificate_metric.h"
#include "services/runtime/connection_metrics.h"
#include "services/runtime/grpc_server.h"
#include "services/runtime/lifecycle.h"
#include "services/runtime/metrics.h"
#include "services/runtime/peer_credentials.h"
#include "services/runtime/program.h"

namespace dunlin {
namespace {

constexpr char kDescription[] =
    "The name service of Dunlin: brokers register with it, clients ask it where topics are. Run\n"
    "two or three; they need not know of each other.\n";
constexpr char kFooter[] =
    "\nExamples:\n"
    "  dunlin-nameservice --data-dir names             start, everything else as it is by default\n"
    "  dunlin-nameservice -c names.yaml --set log.level=DEBUG\n"
    "  dunlin-nameservice -c names.yaml -p             what would be in effect, and from where\n"
    "\nConfiguration: docs/reference/config.md. Environment: DUNLIN_SERVER__LISTEN_ADDRESS is\n"
    "server.listen_address. Exit status: 0 stopped as asked, 1 could not start or failed, 2 "
    "usage.\n";

absl::Status Serve(const config::v1::NameServiceConfig& config) {
  // Before the first thread: all of them inherit which signals are blocked.
  StopSignal stop;
  RaiseOpenFileLimit();
  RETURN_IF_ERROR(MakeDataDirectory(config.data_dir()));
  const SystemClock clock;
  ASSIGN_OR_RETURN(const std::unique_ptr<Metrics> metrics,
                   Metrics::Start(config.metrics().listen_address()));
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::ChannelCredentials> credentials,
                   PeerCredentials(config.peer_tls(), RealFiles()));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<nameservice::NameService> service,
      nameservice::NameService::Start(
          config.registry(), {.data_dir = config.data_dir(), .credentials = std::move(credentials)},
          RealFiles(), clock));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<GrpcServer> server,
      GrpcServer::Start(config.server(), config.data_dir(), {service->services(), nullptr}));
  ASSIGN_OR_RETURN(const std::unique_ptr<GrpcServer> clients,
                   nameservice::ListenForClients(
                       config.registry(), {config.server(), config.data_dir(), *server}, *service));
  metrics->Add(
      std::make_shared<ConnectionMetrics>(nameservice::CountConnections(*server, clients.get())));
  metrics->Add(std::make_shared<CertificateMetric>(
      GrpcServer::CertificateFile(config.server(), config.data_dir())));
  metrics->Add(service->metrics());
  service->AddInsidePorts(config.server(), server->port());
  nameservice::ServeWhenReady(*service, *server, clients.get());

  AnnounceReady("dunlin-nameservice", Listening(config.server().listen_address(), server->port()),
                Listening(config.metrics().listen_address(), metrics->port()));
  const std::string_view signal = stop.Wait();
  log::Info("stopping: {}", signal);
  nameservice::StopServing(*service, *server, clients.get());
  service->Drain();
  const std::chrono::milliseconds grace(config.server().shutdown_grace_ms());
  if (clients != nullptr) clients->Stop(grace);
  server->Stop(grace);
  service->Stop();
  return absl::OkStatus();
}

}  // namespace
}  // namespace dunlin

int main(int argc, char** argv) {
  return dunlin::RunProgram<dunlin::config::v1::NameServiceConfig>(
      {"dunlin-nameservice", dunlin::kDescription, dunlin::kFooter, "dunlin-nameservice-data"},
      argc, argv, dunlin::Serve);
}
