// timers-clock: delayed messages on a clock that jumps, in a broker that crashes
// (services/broker/timers/testing/clock_scenario.h says what that can show). The first message
// that is early, comes twice or not at all ends the run.

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "e2e/harness/report.h"
#include "services/broker/timers/testing/clock_scenario.h"

namespace dunlin::e2e {
namespace {

constexpr int kTimers = 1'000'000;
constexpr int kQuickTimers = 50'000;
constexpr uint32_t kCrashes = 20;
constexpr double kLateBoundMillis = 100;

int Main(int argc, char** argv) {
  const Arguments arguments = ParseArguments(argc, argv);
  const int timers = arguments.count > 0 ? arguments.count
                     : arguments.quick   ? kQuickTimers
                                         : kTimers;
  const auto start = std::chrono::steady_clock::now();
  broker::ClockOutcome outcome;
  const absl::Status status = broker::DeliverOnAJumpingClock(
      arguments.seed, static_cast<uint64_t>(timers), kCrashes, outcome,
      [](const broker::ClockOutcome& so_far) {
        Progress(fmt::format("{} stored, {} delivered, {} crashes, {} jumps of the clock",
                             so_far.stored, so_far.delivered, so_far.crashes, so_far.jumps));
      });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  Result result{.bench = "timers-clock",
                .metric = "how late delayed messages come by a clock that jumps, p99",
                .value = static_cast<double>(outcome.late_p99.count()),
                .unit = "ms",
                .bound = kLateBoundMillis,
                .higher_is_better = false};
  result.detail["messages"] = outcome.stored;
  result.detail["delivered_once"] = outcome.delivered;
  result.detail["crashes"] = outcome.crashes;
  result.detail["jumps"] = outcome.jumps;
  result.detail["latest_ms"] = outcome.latest.count();
  result.detail["seconds"] = Rounded(seconds.count(), 1);
  return Report(arguments, std::move(result), status);
}

}  // namespace
}  // namespace dunlin::e2e

int main(int argc, char** argv) { return dunlin::e2e::Main(argc, argv); }
