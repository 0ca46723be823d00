// Runs many simulations (./dev bench simulation N), or shows all that happens in one (--seed=SEED).
#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "services/replicator/simulation/simulation.h"

namespace dunlin::replicator::simulation {
namespace {

constexpr uint64_t kSeeds = 20000;
constexpr uint64_t kSeedsQuick = 500;

void Print(const SimulationOptions& options, const SimulationResult& result) {
  for (const std::string& line : result.trace) fmt::print(stderr, "{}\n", line);
  fmt::print(stderr, "{}: {} (trace {:016x})\n", ToString(options),
             result.ok() ? "nothing found" : result.violation, result.trace_hash);
}

int RunMany(uint64_t first, uint64_t count) {
  uint64_t acknowledged = 0;
  uint64_t elections = 0;
  uint64_t by_pledges = 0;
  uint64_t found = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const SimulationOptions options = OptionsOf(first + i);
    const SimulationResult result = Simulate(options);
    acknowledged += result.acknowledged;
    elections += result.elections;
    by_pledges += result.by_pledges;
    if (!result.ok() && ++found <= 3) Print(options, result);
    if ((i + 1) % 1000 == 0) fmt::print(stderr, "{} of {}, {} found\n", i + 1, count, found);
  }
  fmt::print(
      "{{\"bench\":\"simulation\",\"metric\":\"violations\",\"value\":{},\"unit\":\"runs\","
      "\"bound\":0,\"ok\":{},\"detail\":{{\"runs\":{},\"first_seed\":{},"
      "\"acknowledged\":{},\"elections\":{},\"by_pledges\":{}}}}}\n",
      found, found == 0, count, first, acknowledged, elections, by_pledges);
  return found == 0 ? 0 : 1;
}

// The number after `flag`, if `argument` has it.
bool Read(std::string_view argument, std::string_view flag, uint64_t& number) {
  if (!argument.starts_with(flag)) return false;
  number = std::strtoull(std::string(argument.substr(flag.size())).c_str(), nullptr, 10);
  return true;
}

int Main(int argc, char** argv) {
  uint64_t count = 0;
  uint64_t seed = 0;
  bool has_seed = false;
  bool quick = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--quick") {
      quick = true;
    } else if (Read(argument, "--seed=", seed)) {
      has_seed = true;
    } else if (!Read(argument, "--count=", count)) {
      fmt::print(stderr, "usage: simulate [--count=RUNS] [--seed=SEED] [--quick]\n");
      return 2;
    }
  }
  if (has_seed && count == 0) {
    const SimulationOptions options = OptionsOf(seed);
    const SimulationResult result = Simulate(options);
    Print(options, result);
    return result.ok() ? 0 : 1;
  }
  return RunMany(seed, count > 0 ? count : quick ? kSeedsQuick : kSeeds);
}

}  // namespace
}  // namespace dunlin::replicator::simulation

int main(int argc, char** argv) { return dunlin::replicator::simulation::Main(argc, argv); }
