// `dunlin-nameservice`: where the topics are. Composition only: command line, configuration, name
// service, server, signals.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include <CLI/CLI.hpp>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/base/version.h"
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

// `address` with the port that was taken where it says 0; empty when `address` is.
std::string Listening(const std::string& address, uint16_t port) {
  std::optional<HostPort> listening = ParseHostPort(address);
  if (!listening.has_value()) return "";
  listening->port = port;
  return FormatHostPort(*listening);
}

absl::Status Serve(const config::v1::NameServiceConfig& config) {
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
  ASSIGN_OR_RETURN(const std::unique_ptr<nameservice::NameService> service,
                   nameservice::NameService::Start(
                       config.registry(), {.data_dir = config.data_dir()}, RealFiles(), clock));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<GrpcServer> server,
      GrpcServer::Start(config.server(), config.data_dir(), {service->services(), nullptr}));
  metrics->Add(std::make_shared<ConnectionMetrics>(server->connection_counter()));
  metrics->Add(service->metrics());
  server->SetServing(true);

  AnnounceReady("dunlin-nameservice", Listening(config.server().listen_address(), server->port()),
                Listening(config.metrics().listen_address(), metrics->port()));
  const std::string_view signal = stop.Wait();
  log::Info("stopping: {}", signal);
  server->SetServing(false);
  service->Drain();
  server->Stop(std::chrono::milliseconds(config.server().shutdown_grace_ms()));
  service->Stop();
  return absl::OkStatus();
}

int Run(const Options& options) {
  ConfigSources sources = options.sources;
  sources.environment = ProcessEnvironment();
  if (!options.data_dir.empty()) sources.overrides.push_back("data_dir=" + options.data_dir);
  config::v1::NameServiceConfig config;
  const absl::StatusOr<ConfigOrigins> origins = LoadConfig(sources, config);
  if (!origins.ok()) {
    std::fprintf(stderr, "dunlin-nameservice: %s\n",
                 std::string(origins.status().message()).c_str());
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
  CLI::App app(dunlin::kDescription, "dunlin-nameservice");
  app.footer(dunlin::kFooter);
  app.set_version_flag("--version", "dunlin-nameservice " + std::string(dunlin::kVersion));
  app.add_option("--data-dir", options.data_dir,
                 "Directory of the little that is kept on disk (default dunlin-nameservice-data)")
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
