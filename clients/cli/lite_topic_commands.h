// `dunlinctl topic lite`: a family of its own within the topic commands.

#pragma once

#include <CLI/CLI.hpp>

#include "clients/cli/connection.h"

namespace dunlin::cli {

void AddLiteTopicCommands(CLI::App& topic, Command& command);

}  // namespace dunlin::cli
