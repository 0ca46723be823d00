// DefineCommandLine: what dunlinctl understands; apart from main() so that docs/reference/cli.md is
// printed from it.

#pragma once

#include <CLI/CLI.hpp>

#include "clients/cli/connection.h"

namespace dunlin::cli {

// Adds options and commands to `app`. Parsing fills `options` and `command`, which must outlive it;
// the secret that goes with the access key is still where it is.
void DefineCommandLine(CLI::App& app, GlobalOptions& options, Command& command);

}  // namespace dunlin::cli
