// idle: what a server costs that has nothing to do, and how soon it is ready on an empty directory.

#include <fmt/format.h>
#include <poll.h>

#include <chrono>
#include <memory>

#include "e2e/harness/broker.h"
#include "e2e/harness/program.h"
#include "e2e/harness/report.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

constexpr double kMemoryBoundMib = 40;
constexpr double kReadyBoundSeconds = 0.2;
constexpr int kStarts = 5;
constexpr int kIdleMs = 10'000;

absl::Status Run(const Arguments& arguments, Result& result) {
  std::vector<double> ready_seconds;
  for (int start = 0; start < kStarts; ++start) {
    const std::string directory = fmt::format("{}/{}", arguments.directory, start);
    ASSIGN_OR_RETURN(const std::unique_ptr<Program> broker,
                     StartBroker({.program = arguments.dunlin,
                                  .data_dir = directory,
                                  .stderr_file = directory + ".log",
                                  .segment_bytes = uint64_t{1} << 30}));  // as it is by default
    const auto taken = std::chrono::steady_clock::now() - broker->spawned();
    ready_seconds.push_back(std::chrono::duration<double>(taken).count());
    if (start + 1 == kStarts) {
      Progress(fmt::format("idle for {} s", kIdleMs / 1000));
      const double cpu = broker->CpuSeconds();
      poll(nullptr, 0, kIdleMs);
      RETURN_IF_ERROR(broker->CheckRunning());
      result.value = Rounded(static_cast<double>(broker->ResidentBytes()) / (1 << 20), 1);
      result.detail["cpu_seconds_while_idle"] = Rounded(broker->CpuSeconds() - cpu, 2);
    }
    RETURN_IF_ERROR(broker->Stop());
  }
  const double ready = Quantile(ready_seconds, 0.5);
  result.detail["ready_p50_s"] = Rounded(ready, 3);
  result.detail["ready_max_s"] = Rounded(Quantile(ready_seconds, 1), 3);
  result.detail["ready_bound_s"] = kReadyBoundSeconds;
  if (ready > kReadyBoundSeconds) {
    return absl::DeadlineExceededError(
        fmt::format("ready after {:.3f} s, more than {} s", ready, kReadyBoundSeconds));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace dunlin::e2e

int main(int argc, char** argv) {
  const dunlin::e2e::Arguments arguments = dunlin::e2e::ParseArguments(argc, argv);
  dunlin::e2e::Result result{.bench = "idle",
                             .metric = "resident memory after 10 s idle",
                             .unit = "MiB",
                             .bound = dunlin::e2e::kMemoryBoundMib,
                             .higher_is_better = false};
  const absl::Status status = dunlin::e2e::Run(arguments, result);
  return dunlin::e2e::Report(arguments, result, status);
}
