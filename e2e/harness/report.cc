#include "e2e/harness/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <utility>

#include <CLI/CLI.hpp>

#include "services/base/file.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {

Arguments ParseArguments(int argc, char** argv) {
  Arguments arguments;
  arguments.seed = std::random_device()();
  CLI::App app("One bench or fault test; `./dev bench` runs it.");
  app.add_option("--dunlin", arguments.dunlin, "path of the server");
  app.add_option("--dump", arguments.dump, "path of dunlin-dump");
  app.add_option("--broker", arguments.broker, "path of dunlin-broker");
  app.add_option("--replicator", arguments.replicator, "path of dunlin-replicator");
  app.add_option("--names", arguments.names, "path of dunlin-nameservice");
  app.add_option("--cli", arguments.cli, "path of dunlinctl");
  app.add_option("--echo", arguments.echo, "path of the bare gRPC server");
  app.add_option("--directory", arguments.directory, "where to work (default: a fresh one)");
  app.add_option("--seed", arguments.seed, "of everything random");
  app.add_option("--count", arguments.count, "cycles or items");
  app.add_option("--flush", arguments.flush, "only this flush mode")
      ->check(CLI::IsMember({"sync", "async"}));
  app.add_option("--mode", arguments.mode, "of a broker group")
      ->check(CLI::IsMember({"ASYNC", "SYNC", "QUORUM"}));
  app.add_option("--scenario", arguments.scenario, "only these kinds of faults");
  app.add_flag("--quick", arguments.quick, "a cut that ends within a minute");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error) == 0 ? 0 : 2);
  }
  if (arguments.directory.empty()) {
    const char* base = std::getenv("TEST_TMPDIR");
    std::string pattern = std::string(base != nullptr ? base : "/tmp") + "/dunlin-bench-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) {
      std::fprintf(stderr, "cannot make %s\n", pattern.c_str());
      std::exit(1);
    }
    arguments.directory = pattern;
  } else {
    std::filesystem::create_directories(arguments.directory);
  }
  Progress(fmt::format("seed {}, directory {}", arguments.seed, arguments.directory));
  return arguments;
}

void Progress(std::string_view line) {
  std::fprintf(stderr, "%s\n", std::string(line).c_str());
  std::fflush(stderr);
}

int Report(const Arguments& arguments, Result result, const absl::Status& verification) {
  const bool within =
      result.higher_is_better ? result.value >= result.bound : result.value <= result.bound;
  const bool ok = within && verification.ok();
  result.detail["seed"] = arguments.seed;
  const absl::StatusOr<double> fdatasync = FdatasyncMicroseconds(arguments.directory);
  if (fdatasync.ok()) result.detail["disk_fdatasync_p50_us"] = Rounded(*fdatasync, 0);
  if (!verification.ok()) {
    result.detail["violation"] = std::string(verification.message());
    Progress(fmt::format("VOID: {}", verification.ToString()));
  }
  if (ok) {
    std::error_code ignored;  // a leftover directory must not fail a good run
    std::filesystem::remove_all(arguments.directory, ignored);
  } else {
    result.detail["evidence"] = arguments.directory;
    Progress("kept for inspection: " + arguments.directory);
  }
  nlohmann::ordered_json line;
  line["bench"] = result.bench;
  line["metric"] = result.metric;
  line["value"] = result.value;
  line["unit"] = result.unit;
  line["bound"] = result.bound;
  line["better"] = result.higher_is_better ? "higher" : "lower";
  line["ok"] = ok;
  line["detail"] = result.detail;
  const auto replace = nlohmann::ordered_json::error_handler_t::replace;
  std::printf("%s\n", line.dump(-1, ' ', false, replace).c_str());
  return ok ? 0 : 1;
}

absl::StatusOr<double> FdatasyncMicroseconds(const std::string& directory) {
  const std::string path = directory + "/fdatasync";
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, RealFiles().Open(path, OpenMode::kCreate));
  const std::string block(4096, 'x');
  const std::array<std::string_view, 1> pieces = {block};
  std::vector<double> microseconds;
  for (int i = 0; i < 50; ++i) {
    RETURN_IF_ERROR(file->WriteAt(0, pieces));
    const auto start = std::chrono::steady_clock::now();
    RETURN_IF_ERROR(file->DataSync());
    const auto taken = std::chrono::steady_clock::now() - start;
    microseconds.push_back(std::chrono::duration<double, std::micro>(taken).count());
  }
  RETURN_IF_ERROR(RealFiles().Remove(path));
  return Quantile(std::move(microseconds), 0.5);
}

double Quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto at = static_cast<size_t>(share * static_cast<double>(values.size()));
  return values[std::min(at, values.size() - 1)];
}

double Rounded(double value, int digits) {
  const double scale = std::pow(10, digits);
  return std::round(value * scale) / scale;
}

}  // namespace dunlin::e2e
