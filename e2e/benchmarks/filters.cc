// filters: random SQL filters on random messages, held against SQLite
// (services/broker/filter/sql_sqlite_test.cc says what is compared). Every pair of a filter and a
// message is one check; the first difference ends the run.

#include <fmt/format.h>

#include <chrono>

#include "e2e/harness/report.h"
#include "services/broker/filter/testing/differential.h"

namespace dunlin::e2e {
namespace {

constexpr int kChecks = 10'000'000;
constexpr int kQuickChecks = 1'000'000;
constexpr uint64_t kShownEvery = 1'000'000;

int Main(int argc, char** argv) {
  const Arguments arguments = ParseArguments(argc, argv);
  const int checks = arguments.count > 0 ? arguments.count
                     : arguments.quick   ? kQuickChecks
                                         : kChecks;
  const auto start = std::chrono::steady_clock::now();
  broker::Compared compared;
  uint64_t shown = 0;
  const absl::Status status =
      broker::CompareWithSqlite(arguments.seed, static_cast<uint64_t>(checks), compared,
                                [&shown](const broker::Compared& so_far) {
                                  if (so_far.checks() < shown + kShownEvery) return;
                                  shown = so_far.checks();
                                  Progress(fmt::format("{} checks", shown));
                                });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  Result result{.bench = "filters",
                .metric = "filters times messages on which Dunlin and SQLite agree",
                .value = static_cast<double>(compared.checks() - (status.ok() ? 0 : 1)),
                .unit = "checks",
                .bound = static_cast<double>(checks)};
  result.detail["filters"] = compared.filters;
  result.detail["true"] = compared.trues;
  result.detail["false"] = compared.falses;
  result.detail["unknown"] = compared.unknowns;
  result.detail["seconds"] = Rounded(seconds.count(), 1);
  return Report(arguments, std::move(result), status);
}

}  // namespace
}  // namespace dunlin::e2e

int main(int argc, char** argv) { return dunlin::e2e::Main(argc, argv); }
