// `dunlinctl`: admin and data command line.

#include <fmt/format.h>
#include <stdlib.h>

#include <cstdio>
#include <string>

#include "absl/status/status.h"
#include <CLI/CLI.hpp>

#include "clients/cli/command_line.h"
#include "clients/cli/connection.h"
#include "clients/cli/credentials.h"

int main(int argc, char** argv) {
  // What gRPC logs of a failed connection is in the error that is shown. Kept when set already.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  dunlin::cli::GlobalOptions options;
  dunlin::cli::Command command;
  CLI::App app;
  dunlin::cli::DefineCommandLine(app, options, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? dunlin::cli::kOk : dunlin::cli::kUsage;
  }
  const absl::Status status =
      dunlin::cli::CompleteCredentials(options.secret_key_file, options.credentials);
  if (!status.ok()) {
    fmt::print(stderr, "dunlinctl: {}\n", std::string(status.message()));
    return dunlin::cli::kUsage;
  }
  dunlin::cli::Connection connection(options);
  return command(connection);
}
