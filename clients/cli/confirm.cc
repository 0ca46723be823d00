#include "clients/cli/confirm.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace dunlin::cli {

void AddYes(CLI::App& command, bool& yes) {
  command.add_flag("--yes", yes, "Do not ask; needed where no terminal is there to ask on");
}

bool Confirmed(bool yes, std::string_view consequence) {
  if (yes) return true;
  if (isatty(STDIN_FILENO) == 0 || isatty(STDERR_FILENO) == 0) {
    fmt::print(stderr, "dunlinctl: {}; say so with --yes\n", consequence);
    return false;
  }
  fmt::print(stderr, "dunlinctl: {}. Go on? [y/N] ", consequence);
  char line[8] = "";
  const bool answered = std::fgets(line, sizeof(line), stdin) != nullptr;
  const std::string_view answer = answered ? line : "";
  if (answer == "y\n" || answer == "Y\n" || answer == "yes\n") return true;
  fmt::print(stderr, "dunlinctl: nothing was changed\n");
  return false;
}

}  // namespace dunlin::cli
