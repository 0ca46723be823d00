#include "clients/cli/command_line.h"

#include <algorithm>
#include <string>

#include "clients/cli/commands.h"
#include "services/base/version.h"

namespace dunlin::cli {
namespace {

constexpr char kDescription[] =
    "Talks to a Dunlin broker, or to a cluster of them: topics, consumer groups, messages, the "
    "broker "
    "itself.";
constexpr char kFooter[] =
    "\nExamples:\n"
    "  dunlinctl topic create hello\n"
    "  dunlinctl produce hello 'first message'\n"
    "  dunlinctl consume hello --group me --count 1\n"
    "  dunlinctl group describe me\n"
    "  dunlinctl topic list -o json\n"
    "\nGlobal options may stand before or behind the command; COMMAND --help tells more.\n"
    "Exit status: 0 done, 1 the broker refused, 2 usage or not confirmed, 3 no broker answers, 4 "
    "not found.\n";

std::string CheckOne(const std::string& endpoint) {
  const size_t colon = endpoint.rfind(':');
  const std::string port = colon == std::string::npos ? "" : endpoint.substr(colon + 1);
  const bool digits = !port.empty() && port.size() <= 5 &&
                      port.find_first_not_of("0123456789") == std::string::npos;
  if (colon != 0 && digits && std::stoi(port) >= 1 && std::stoi(port) <= 65535) return "";
  return "must be HOST:PORT, like 127.0.0.1:8081";
}

std::string CheckEndpoint(const std::string& endpoints) {
  for (size_t from = 0; from <= endpoints.size();) {
    const size_t comma = std::min(endpoints.find(',', from), endpoints.size());
    std::string wrong = CheckOne(endpoints.substr(from, comma - from));
    if (!wrong.empty()) return wrong;
    from = comma + 1;
  }
  return "";
}

}  // namespace

void DefineCommandLine(CLI::App& app, GlobalOptions& options, Command& command) {
  app.name("dunlinctl");
  app.description(kDescription);
  app.set_version_flag("--version", "dunlinctl " + std::string(kVersion));
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--endpoint", options.endpoint,
                 "Where a broker listens, or the name service of a cluster: commands are about all "
                 "brokers then. Several with commas in between: the first that answers")
      ->envname("DUNLIN_ENDPOINT")
      ->type_name("HOST:PORT")
      ->check(CheckEndpoint)
      ->capture_default_str();
  app.add_option("--broker", options.brokers,
                 "Of a cluster only this broker group; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--namespace", options.name_space, "Namespace of topics and groups");
  app.add_flag("--tls", options.tls, "Encrypt; the broker's certificate is verified");
  app.add_option("--tls-ca", options.tls_ca,
                 "PEM file with the certificates to trust instead of the system's; implies --tls")
      ->check(CLI::ExistingFile)
      ->each([&options](const std::string&) { options.tls = true; });
  app.add_option("--access-key", options.credentials.access_key,
                 "User that requests are signed as, where access is controlled")
      ->envname("DUNLIN_ACCESS_KEY")
      ->type_name("NAME");
  app.add_option("--secret-key-file", options.secret_key_file,
                 "File with the secret of that user; without one the environment variable "
                 "DUNLIN_SECRET_KEY may be the secret itself")
      ->envname("DUNLIN_SECRET_KEY_FILE")
      ->type_name("FILE");
  app.add_option("--timeout", options.timeout_seconds, "Seconds to wait for an answer")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option_function<std::string>(
         "-o,--output",
         [&options](const std::string& name) {
           options.format = name == "json" ? Format::kJson : Format::kTable;
         },
         "For people or for programs")
      ->check(CLI::IsMember({"table", "json"}))
      ->default_str("table");
  AddTopicCommands(app, command);
  AddGroupCommands(app, command);
  AddUserCommands(app, command);
  AddDlqCommands(app, command);
  AddProduceCommand(app, command);
  AddConsumeCommand(app, command);
  AddMessageCommands(app, command);
  AddTransactionCommands(app, command);
  AddBrokerCommands(app, command);
  AddClusterCommands(app, command);
  AddReplicaCommands(app, command);
  AddBenchCommands(app, command);
  app.footer(kFooter);  // last: commands made after it would show it too
}

}  // namespace dunlin::cli
