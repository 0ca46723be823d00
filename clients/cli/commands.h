// The command families of dunlinctl. Each adds its sub-commands to `app`; the one that was given on
// the command line leaves what is to be done in `command`.

#pragma once

#include <CLI/CLI.hpp>

#include "clients/cli/connection.h"

namespace dunlin::cli {

void AddTopicCommands(CLI::App& app, Command& command);
void AddGroupCommands(CLI::App& app, Command& command);
// Sub-commands of `group`.
void AddGroupMoves(CLI::App& group, Command& command);
void AddUserCommands(CLI::App& app, Command& command);
void AddDlqCommands(CLI::App& app, Command& command);
void AddMessageCommands(CLI::App& app, Command& command);
void AddTransactionCommands(CLI::App& app, Command& command);
void AddProduceCommand(CLI::App& app, Command& command);
void AddConsumeCommand(CLI::App& app, Command& command);
void AddBenchCommands(CLI::App& app, Command& command);
void AddClusterCommands(CLI::App& app, Command& command);
void AddBrokerCommands(CLI::App& app, Command& command);
void AddReplicaCommands(CLI::App& app, Command& command);

}  // namespace dunlin::cli
