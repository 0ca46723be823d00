// `dunlinctl`: admin and data command line.

#include <string>

#include <CLI/CLI.hpp>

#include "clients/cli/commands.h"
#include "clients/cli/connection.h"

namespace {

constexpr char kVersion[] = "dunlinctl 0.1.0";
constexpr char kDescription[] = "Talks to a Dunlin broker: topics, consumer groups, messages.";
constexpr char kFooter[] =
    "\nExamples:\n"
    "  dunlinctl topic create hello\n"
    "  dunlinctl produce hello 'first message'\n"
    "  dunlinctl consume hello --group me --count 1\n"
    "  dunlinctl group describe me\n"
    "\nExit status: 0 done, 1 the broker refused, 2 usage, 3 no broker answers, 4 not found.\n";

}  // namespace

int main(int argc, char** argv) {
  dunlin::cli::GlobalOptions options;
  dunlin::cli::Command command;
  std::string format = "table";
  CLI::App app(kDescription, "dunlinctl");
  app.footer(kFooter);
  app.set_version_flag("--version", std::string(kVersion));
  app.require_subcommand(1);
  app.fallthrough();  // global options may stand behind the command too
  app.add_option("--endpoint", options.endpoint, "HOST:PORT of the broker")
      ->envname("DUNLIN_ENDPOINT")
      ->capture_default_str();
  app.add_option("--namespace", options.name_space, "Namespace of topics and groups");
  app.add_flag("--tls", options.tls, "Encrypt");
  app.add_option("--tls-ca", options.tls_ca, "PEM file with the certificates to trust")
      ->check(CLI::ExistingFile);
  app.add_option("--timeout", options.timeout_seconds, "Seconds to wait for an answer")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("-o,--output", format, "For people or for programs")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  dunlin::cli::AddTopicCommands(app, command);
  dunlin::cli::AddGroupCommands(app, command);
  dunlin::cli::AddProduceCommand(app, command);
  dunlin::cli::AddConsumeCommand(app, command);
  dunlin::cli::AddMessageCommands(app, command);
  dunlin::cli::AddBrokerCommands(app, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : dunlin::cli::kUsage;
  }
  options.format = format == "json" ? dunlin::cli::Format::kJson : dunlin::cli::Format::kTable;
  dunlin::cli::Connection connection(options);
  return command(connection);
}
