#include "e2e/harness/arguments.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>

#include "CLI/CLI.hpp"

namespace dunlin::e2e {
namespace {

std::string FreshDirectory() {
  std::string base = "/var/tmp";
  for (const char* name : {"TMPDIR", "TEST_TMPDIR"}) {
    if (const char* value = std::getenv(name); value != nullptr) base = value;
  }
  std::string pattern = base + "/dunlin-e2e-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) {
    std::fprintf(stderr, "cannot make %s: %s\n", pattern.c_str(), std::strerror(errno));
    std::exit(2);
  }
  return pattern;
}

}  // namespace

Arguments ParseArguments(int argc, char** argv, const std::string& description) {
  Arguments arguments;
  CLI::App app(description);
  app.add_option("--program", arguments.program, "The dunlin to run")->type_name("FILE");
  app.add_option("--count", arguments.count, "Cycles or items")->type_name("N");
  app.add_option("--seed", arguments.seed, "Of everything random")->type_name("N");
  app.add_flag("--quick", arguments.quick, "A cut that ends within a minute");
  app.add_flag("--serve-echo", arguments.serve_echo, "Be the server to compare with");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error) == 0 ? 0 : 2);
  }
  if (arguments.seed == 0) arguments.seed = std::random_device()() + 1ULL;
  if (arguments.serve_echo) return arguments;
  if (arguments.program.empty()) {
    std::fprintf(stderr, "which program? --program FILE\n");
    std::exit(2);
  }
  arguments.program = std::filesystem::absolute(arguments.program).string();
  arguments.directory = FreshDirectory();
  Progress(fmt::format("seed {}, data in {}", arguments.seed, arguments.directory));
  return arguments;
}

void CleanUp(const Arguments& arguments, bool ok) {
  if (!ok) return Progress("evidence is kept in " + arguments.directory);
  std::error_code error;
  std::filesystem::remove_all(arguments.directory, error);
  if (error) Progress("cannot remove " + arguments.directory + ": " + error.message());
}

void Progress(const std::string& line) {
  std::fprintf(stderr, "%s\n", line.c_str());
  std::fflush(stderr);
}

}  // namespace dunlin::e2e
