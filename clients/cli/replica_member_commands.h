// `dunlinctl replica add, remove, set-address`: who the members of a broker group are.

#pragma once

#include <CLI/CLI.hpp>

#include "clients/cli/connection.h"

namespace dunlin::cli {

// Sub-commands of `replica`.
void AddReplicaMemberCommands(CLI::App& replica, Command& command);

}  // namespace dunlin::cli
