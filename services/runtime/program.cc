#include "services/runtime/program.h"

#include <malloc.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include <CLI/CLI.hpp>

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/log.h"
#include "services/base/strings.h"
#include "services/base/version.h"
#include "services/runtime/config.h"

namespace dunlin {
namespace {

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

// glibc gives what is freed at the end of its heap back to the kernel, above a few MiB, and takes
// every buffer of a frame anew: under load a third of a processor clears pages. Up to so much is
// kept (mallopt(3)); docs/performance.md has the figures.
void KeepFreedMemory() {
  constexpr int kKept = 64 << 20;
  constexpr int kOfItsOwn = 16 << 20;  // larger than any frame
  mallopt(M_TRIM_THRESHOLD, kKept);
  mallopt(M_MMAP_THRESHOLD, kOfItsOwn);
}

int Run(const ProgramText& text, const Options& options, const ProgramBody& body) {
  ConfigSources sources = options.sources;
  sources.environment = ProcessEnvironment();
  if (!options.data_dir.empty()) sources.overrides.push_back("data_dir=" + options.data_dir);
  const absl::StatusOr<ConfigOrigins> origins = LoadConfig(sources, body.config);
  if (!origins.ok()) {
    std::fprintf(stderr, "%s: %s\n", text.name.c_str(),
                 std::string(origins.status().message()).c_str());
    return 2;
  }
  if (options.print_config) {
    std::fputs(PrintConfig(body.config, *origins).c_str(), stdout);
    return 0;
  }
  log::SetLevel(LevelOf(body.log().level()));
  KeepFreedMemory();
  const absl::Status served = body.serve();
  if (served.ok()) return 0;
  log::Critical("{}", FromAbsl(served.message()));
  log::Flush();
  return 1;
}

}  // namespace

int RunProgram(const ProgramText& text, int argc, char** argv, const ProgramBody& body) {
  Options options;
  CLI::App app(text.description, text.name);
  app.footer(text.footer);
  app.set_version_flag("--version", text.name + " " + std::string(kVersion));
  if (!text.data_dir.empty()) {
    app.add_option("--data-dir", options.data_dir,
                   "Directory of everything that is kept on disk (default " + text.data_dir + ")")
        ->type_name("DIR");
  }
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
  return Run(text, options, body);
}

absl::Status MakeDataDirectory(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return absl::OkStatus();
  return absl::FailedPreconditionError("cannot make the data directory " + path + ": " +
                                       error.message());
}

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

std::string Listening(const std::string& address, uint16_t port) {
  std::optional<HostPort> listening = ParseHostPort(address);
  if (!listening.has_value()) return "";
  listening->port = port;
  return FormatHostPort(*listening);
}

}  // namespace dunlin
