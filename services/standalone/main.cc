// `dunlin`: everything in one process. Composition only: command line, configuration, broker,
// server, signals.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/base/version.h"
#include "services/broker/broker.h"
#include "services/nameservice/name_service.h"
#include "services/runtime/config.h"
#include "services/runtime/connection_metrics.h"
#include "services/runtime/grpc_server.h"
#include "services/runtime/host_port.h"
#include "services/runtime/lifecycle.h"
#include "services/runtime/metrics.h"

namespace dunlin {
namespace {

constexpr char kDescription[] =
    "Dunlin, a message queue, in one process: topics, queues, consumer groups, served to any\n"
    "RocketMQ 5 SDK on one port (plaintext and TLS).\n";
constexpr char kFooter[] =
    "\nExamples:\n"
    "  dunlin --data-dir data                          start, everything else as it is by default\n"
    "  dunlin -c dunlin.yaml --set log.level=DEBUG     a file, and one value over it\n"
    "  dunlin -c dunlin.yaml -p                        what would be in effect, and from where\n"
    "\nConfiguration: docs/reference/config.md. Environment: DUNLIN_STORE__FLUSH_MODE=SYNC_FLUSH "
    "is\n"
    "store.flush_mode. Exit status: 0 stopped as asked, 1 could not start or failed, 2 usage.\n";

struct Options {
  ConfigSources sources;
  std::string data_dir;
  bool print_config = false;
};

log::Level LevelOf(config::v1::LogConfig::Level level) {
  switch (level) {
    case config::v1::LogConfig::DEBUG:
      return log::Level::kDebug;
    case config::v1::LogConfig::INFO:
      return log::Level::kInfo;
    case config::v1::LogConfig::WARNING:
      return log::Level::kWarning;
    case config::v1::LogConfig::ERROR:
      return log::Level::kError;
  }
  return log::Level::kInfo;
}

// For clients that do not say how they reached the server.
HostPort AdvertisedAddress(const config::v1::ServerConfig& config, uint16_t port) {
  if (std::optional<HostPort> named = ParseHostPort(config.advertised_address());
      named.has_value()) {
    return *std::move(named);
  }
  // Who listens on one address alone cannot be reached on another.
  const std::optional<HostPort> listening = ParseHostPort(config.listen_address());
  if (listening.has_value() && listening->host != "0.0.0.0" && listening->host != "::") {
    return {listening->host, port};
  }
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0 || host[0] == '\0') {
    return {"localhost", port};
  }
  return {host.data(), port};
}

// `address` with the port that was taken where it says 0; empty when `address` is.
std::string Listening(const std::string& address, uint16_t port) {
  std::optional<HostPort> listening = ParseHostPort(address);
  if (!listening.has_value()) return "";
  listening->port = port;
  return FormatHostPort(*listening);
}

// The name service inside the program, on its own port.
struct EmbeddedNames {
  std::unique_ptr<nameservice::NameService> service;
  std::unique_ptr<GrpcServer> server;

  // As this process reaches it.
  HostPort Address(const config::v1::ServerConfig& config) const {
    std::optional<HostPort> listening = ParseHostPort(config.listen_address());
    if (!listening.has_value() || listening->host == "0.0.0.0")
      return {"127.0.0.1", server->port()};
    if (listening->host == "::") return {"::1", server->port()};
    return {listening->host, server->port()};
  }
  void Stop(std::chrono::milliseconds grace) {
    if (service == nullptr) return;
    server->SetServing(false);
    service->Drain();
    server->Stop(grace);
    service->Stop();
  }
};

absl::StatusOr<EmbeddedNames> StartNames(const config::v1::DunlinConfig& config,
                                         const Clock& clock) {
  EmbeddedNames names;
  if (!config.name_service().enabled()) return names;
  ASSIGN_OR_RETURN(names.service,
                   nameservice::NameService::Start(
                       config.name_service().registry(),
                       {.data_dir = config.data_dir(), .expected = {config.broker().broker_name()}},
                       RealFiles(), clock));
  absl::StatusOr<std::unique_ptr<GrpcServer>> server = GrpcServer::Start(
      config.name_service().server(), config.data_dir(), {names.service->services(), nullptr});
  if (!server.ok()) {
    return absl::Status(server.status().code(),
                        ToAbsl(std::string(server.status().message()) +
                               " (the name service of dunlin; name_service.server.listen_address "
                               "is where it listens, name_service.enabled=false does without)"));
  }
  names.server = *std::move(server);
  names.server->SetServing(true);
  log::Info("the name service listens on {}",
            Listening(config.name_service().server().listen_address(), names.server->port()));
  return names;
}

// With those that the configuration names, and the one inside.
absl::Status RegisterBroker(const config::v1::DunlinConfig& config, const EmbeddedNames& names,
                            broker::Broker& broker, Metrics& metrics) {
  std::vector<std::string> name_services(config.broker().name_services().begin(),
                                         config.broker().name_services().end());
  if (names.service != nullptr) {
    metrics.Add(names.service->metrics());
    name_services.push_back(FormatHostPort(names.Address(config.name_service().server())));
  }
  RETURN_IF_ERROR(broker.Register(name_services));
  if (auto registrations = broker.registration_metrics(); registrations != nullptr) {
    metrics.Add(std::move(registrations));
  }
  return absl::OkStatus();
}

absl::Status Serve(const config::v1::DunlinConfig& config) {
  // Before the first thread: all of them inherit which signals are blocked.
  StopSignal stop;
  RaiseOpenFileLimit();
  std::error_code error;
  std::filesystem::create_directories(config.data_dir(), error);
  if (error) {
    return absl::FailedPreconditionError("cannot make the data directory " + config.data_dir() +
                                         ": " + error.message());
  }
  const SystemClock clock;
  ASSIGN_OR_RETURN(const std::unique_ptr<Metrics> metrics,
                   Metrics::Start(config.metrics().listen_address()));
  ASSIGN_OR_RETURN(EmbeddedNames names, StartNames(config, clock));
  ASSIGN_OR_RETURN(const std::unique_ptr<broker::Broker> broker,
                   broker::Broker::Start(config, RealFiles(), clock, [&stop] { stop.Request(); }));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<GrpcServer> server,
      GrpcServer::Start(config.server(), config.data_dir(), {broker->services(), nullptr}));
  metrics->Add(std::make_shared<ConnectionMetrics>(server->connection_counter()));
  const HostPort advertised = AdvertisedAddress(config.server(), server->port());
  broker->SetAdvertisedAddress(advertised.host, advertised.port);
  RETURN_IF_ERROR(RegisterBroker(config, names, *broker, *metrics));
  server->SetServing(true);

  AnnounceReady("dunlin", Listening(config.server().listen_address(), server->port()),
                Listening(config.metrics().listen_address(), metrics->port()));
  const std::string_view signal = stop.Wait();
  log::Info("stopping: {}", signal.empty() ? "the store has failed" : signal);
  server->SetServing(false);
  broker->Drain();
  const std::chrono::milliseconds grace(config.server().shutdown_grace_ms());
  server->Stop(grace);
  names.Stop(grace);
  return broker->Stop();
}

int Run(const Options& options) {
  ConfigSources sources = options.sources;
  sources.environment = ProcessEnvironment();
  if (!options.data_dir.empty()) sources.overrides.push_back("data_dir=" + options.data_dir);
  config::v1::DunlinConfig config;
  const absl::StatusOr<ConfigOrigins> origins = LoadConfig(sources, config);
  if (!origins.ok()) {
    std::fprintf(stderr, "dunlin: %s\n", std::string(origins.status().message()).c_str());
    return 2;
  }
  if (options.print_config) {
    std::fputs(PrintConfig(config, *origins).c_str(), stdout);
    return 0;
  }
  log::SetLevel(LevelOf(config.log().level()));
  const absl::Status served = Serve(config);
  if (served.ok()) return 0;
  log::Critical("{}", FromAbsl(served.message()));
  log::Flush();
  return 1;
}

}  // namespace
}  // namespace dunlin

int main(int argc, char** argv) {
  dunlin::Options options;
  CLI::App app(dunlin::kDescription, "dunlin");
  app.footer(dunlin::kFooter);
  app.set_version_flag("--version", "dunlin " + std::string(dunlin::kVersion));
  app.add_option("--data-dir", options.data_dir,
                 "Directory of everything that is kept on disk (default dunlin-data)")
      ->type_name("DIR");
  app.add_option("-c,--config", options.sources.file, "YAML file with the configuration")
      ->type_name("FILE");
  app.add_option("--set", options.sources.overrides, "Set one value over file and environment")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  app.add_flag("-p,--print-config", options.print_config,
               "Print the configuration in effect with the origin of each value, and exit");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return dunlin::Run(options);
}
