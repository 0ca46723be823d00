// `dunlin`: everything in one process. Composition only: command line, configuration, broker,
// server, signals.

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/clock.h"
#include "services/base/file.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/broker/broker.h"
#include "services/runtime/config.h"
#include "services/runtime/grpc_server.h"
#include "services/runtime/host_port.h"
#include "services/runtime/lifecycle.h"
#include "services/runtime/metrics.h"

namespace dunlin {
namespace {

constexpr char kVersion[] = "0.1.0";

struct Options {
  ConfigSources sources;
  std::string data_dir;
  bool print_config = false;
};

absl::StatusOr<ConfigOrigins> ReadConfig(Options options, config::v1::DunlinConfig& config) {
  options.sources.environment = ProcessEnvironment();
  if (!options.data_dir.empty()) {
    options.sources.overrides.push_back("data_dir=" + options.data_dir);
  }
  return LoadConfig(options.sources, config);
}

absl::Status Serve(const config::v1::DunlinConfig& config) {
  std::error_code error;
  std::filesystem::create_directories(config.data_dir(), error);
  if (error) {
    return absl::FailedPreconditionError("cannot make the data directory " + config.data_dir() +
                                         ": " + error.message());
  }
  // Before the first thread: all of them inherit what is blocked.
  Lifecycle lifecycle;
  const SystemClock clock;
  Metrics metrics;
  ASSIGN_OR_RETURN(const std::unique_ptr<broker::Broker> broker,
                   broker::Broker::Start(config, RealFiles(), clock));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<GrpcServer> server,
      GrpcServer::Start(config.server(), config.data_dir(), {broker->services(), nullptr}));
  RETURN_IF_ERROR(metrics.Serve(config.metrics()));
  server->SetServing(true);
  lifecycle.WaitForStop();
  server->SetServing(false);
  broker->Drain();
  server->Stop(std::chrono::milliseconds(config.server().shutdown_grace_ms()));
  return broker->Stop();
}

}  // namespace
}  // namespace dunlin
