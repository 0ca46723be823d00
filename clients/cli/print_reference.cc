// Prints docs/reference/cli.md: the help of dunlinctl and of each of its commands.

#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>

#include "clients/cli/command_line.h"

namespace {

void Print(const CLI::App& app, const std::string& name, const std::string& before, int level) {
  std::string help = app.help(before);
  help.erase(0, help.find_first_not_of('\n'));
  help.resize(help.find_last_not_of(" \n") + 1);
  std::printf("\n%s %s\n\n```text\n%s\n```\n", std::string(level, '#').c_str(), name.c_str(),
              help.c_str());
  for (const CLI::App* sub : app.get_subcommands(
           [](const CLI::App* candidate) { return !candidate->get_name().empty(); })) {
    Print(*sub, name + " " + sub->get_name(), name, level == 2 ? 3 : level);
  }
}

}  // namespace

int main() {
  dunlin::cli::GlobalOptions options;
  dunlin::cli::Command command;
  CLI::App app;
  dunlin::cli::DefineCommandLine(app, options, command);
  std::printf(
      "# dunlinctl\n\nPrinted from the program: `bazel run //clients/cli:print_reference`. What "
      "it "
      "talks to is\n`dunlin.admin.v1.AdminService` (proto/dunlin/admin/v1/admin.proto) and, for "
      "`produce` and `consume`, the public\nAPI that the SDKs use.\n\n"
      "Results are on standard output, errors on standard error: what, why, the way out. With `-o "
      "json` a result\nis the answer of the broker as JSON (64-bit numbers are strings, bodies "
      "base64); several messages follow\none another.\n");
  Print(app, "dunlinctl", "", 2);
  return 0;
}
