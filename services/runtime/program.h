// What every server program does before and after it serves: command line, configuration, log
// level, exit status.

#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"

#include "services/runtime/host_port.h"

namespace dunlin {

namespace config::v1 {
class LogConfig;
class ServerConfig;
}  // namespace config::v1

struct ProgramText {
  std::string name;         // "dunlin"
  std::string description;  // of --help, at its beginning
  std::string footer;       // and at its end
  std::string data_dir;     // the configuration's default, for --help; empty: it has none
};

// A configuration message, and what is done with it once it is loaded.
struct ProgramBody {
  google::protobuf::Message& config;
  std::function<const config::v1::LogConfig&()> log;
  std::function<absl::Status()> serve;  // returns when the program shall end
};

// Parses the command line, loads the configuration and serves. The exit status: 0 stopped as asked,
// 1 could not start or failed, 2 usage.
int RunProgram(const ProgramText& text, int argc, char** argv, const ProgramBody& body);

// The same for a program whose configuration is a `Config`.
template <typename Config>
int RunProgram(const ProgramText& text, int argc, char** argv,
               absl::Status (*serve)(const Config& config)) {
  Config config;
  return RunProgram(text, argc, argv,
                    {.config = config,
                     .log = [&config]() -> const config::v1::LogConfig& { return config.log(); },
                     .serve = [&config, serve] { return serve(config); }});
}

// Makes the data directory if need be. FAILED_PRECONDITION when it cannot.
absl::Status MakeDataDirectory(const std::string& path);

// What routes name for clients that do not say how they reached the server; `port` is the one it
// listens on.
HostPort AdvertisedAddress(const config::v1::ServerConfig& config, uint16_t port);

// `address` with the port that was taken where it says 0; empty when `address` is.
std::string Listening(const std::string& address, uint16_t port);

}  // namespace dunlin
