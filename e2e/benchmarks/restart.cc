// restart: kill -9 with a large log behind it and load on it, then the time from the start of the
// process to the first acknowledged send.

#include <fmt/format.h>

#include <memory>
#include <vector>

#include "e2e/harness/broker.h"
#include "e2e/harness/history.h"
#include "e2e/harness/load.h"
#include "e2e/harness/program.h"
#include "e2e/harness/report.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

constexpr double kBoundSeconds = 1.0;
constexpr uint64_t kLogBytes = uint64_t{2} << 30;
constexpr uint64_t kQuickLogBytes = uint64_t{256} << 20;
// Large bodies: what counts is the log behind the start, not how long it takes to write.
constexpr size_t kBodyBytes = 16 << 10;
constexpr int kRestarts = 5;
constexpr uint32_t kOutstanding = 64;
constexpr char kTopic[] = "restart";

absl::Status Run(const Arguments& arguments, Result& result) {
  const uint64_t log_bytes = arguments.quick ? kQuickLogBytes : kLogBytes;
  const BrokerOptions options{.program = arguments.dunlin,
                              .data_dir = arguments.directory + "/data",
                              .stderr_file = arguments.directory + "/dunlin.log",
                              .segment_bytes = uint64_t{256} << 20};
  History history(kOutstanding);
  std::vector<double> seconds;
  for (int round = 0; round <= kRestarts; ++round) {
    ASSIGN_OR_RETURN(const std::unique_ptr<Program> broker, StartBroker(options));
    ASSIGN_OR_RETURN(const double first_ack, AwaitFirstAck(*broker, kTopic, history));
    if (round > 0) {
      seconds.push_back(first_ack);
      Progress(fmt::format("first acknowledgement after {:.3f} s", first_ack));
    }
    Load load({.address = broker->address(), .topic = kTopic, .body_bytes = kBodyBytes}, history);
    load.Start();
    do {  // the first life writes the log, the others a second's worth
      load.Wait(std::chrono::milliseconds(1000));
      RETURN_IF_ERROR(broker->CheckRunning());
    } while (history.sent() * kBodyBytes < log_bytes);
    broker->Kill();
    const LoadResult sent = load.Stop();
    if (sent.refused > 0) return absl::InternalError("a sound send was refused: " + sent.refusal);
  }
  result.value = Rounded(Quantile(seconds, 0.5), 3);
  result.detail["max_s"] = Rounded(Quantile(seconds, 1), 3);
  result.detail["restarts"] = seconds.size();
  result.detail["log_mib"] = history.acknowledged() * kBodyBytes >> 20;
  ASSIGN_OR_RETURN(const std::unique_ptr<Program> broker, StartBroker(options));
  Progress(fmt::format("reading {} messages back", history.acknowledged()));
  HistoryCheck check(history, kQueues);
  RETURN_IF_ERROR(ReadBack(broker->address(), kTopic, check));
  return broker->Stop();
}

}  // namespace
}  // namespace dunlin::e2e

int main(int argc, char** argv) {
  const dunlin::e2e::Arguments arguments = dunlin::e2e::ParseArguments(argc, argv);
  dunlin::e2e::Result result{.bench = "restart",
                             .metric = "kill -9 to first acknowledged send, median",
                             .unit = "s",
                             .bound = dunlin::e2e::kBoundSeconds,
                             .higher_is_better = false};
  const absl::Status status = dunlin::e2e::Run(arguments, result);
  return dunlin::e2e::Report(arguments, result, status);
}
