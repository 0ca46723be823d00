// unary-vs-echo: SendMessage of 128 B with 64 outstanding, against a bare gRPC server that answers
// the same calls; interleaved A B B A, the ratio of each pair of neighbours.

#include <fmt/format.h>

#include <algorithm>
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

constexpr uint32_t kOutstanding = 64;
constexpr double kBound = 0.80;
constexpr char kTopic[] = "unary";
// Many short pairs: what else the machine does changes within seconds.
constexpr int kPairs = 16;

struct Half {
  double rate = 0;
  double server_cpu = 0;  // seconds, as is client_cpu
  double client_cpu = 0;
  uint32_t p50_us = 0;
  uint32_t p99_us = 0;
};

absl::StatusOr<Half> RunHalf(const Program& server, History& history,
                             std::chrono::milliseconds duration) {
  const double server_before = server.CpuSeconds();
  const double client_before = OwnCpuSeconds();
  Load load({.address = server.address(), .topic = kTopic}, history);
  load.Start();
  load.Wait(duration);
  const LoadResult result = load.Stop();
  if (result.refused > 0 || result.broken > 0) {
    return absl::InternalError(fmt::format("{} sends refused ({}), {} calls failed", result.refused,
                                           result.refusal, result.broken));
  }
  return Half{result.rate(), server.CpuSeconds() - server_before, OwnCpuSeconds() - client_before,
              result.Percentile(0.5), result.Percentile(0.99)};
}

class Bench {
 public:
  explicit Bench(const Arguments& arguments) : arguments_(arguments) {}

  absl::Status Run() {
    const std::string& directory = arguments_.directory;
    ASSIGN_OR_RETURN(broker_, StartBroker({.program = arguments_.dunlin,
                                           .data_dir = directory + "/data",
                                           .stderr_file = directory + "/dunlin.log",
                                           .segment_bytes = uint64_t{256} << 20}));
    ASSIGN_OR_RETURN(echo_, Program::Start({arguments_.echo}, directory + "/echo.log"));
    const std::chrono::milliseconds half(arguments_.quick ? 1000 : 2000);
    Progress("warming up");
    RETURN_IF_ERROR(RunHalf(*broker_, sent_, half).status());
    RETURN_IF_ERROR(RunHalf(*echo_, echoed_, half).status());
    for (int pair = 0; pair < std::max(arguments_.count, kPairs); ++pair) {
      const bool ours_first = pair % 2 == 0;
      if (ours_first) RETURN_IF_ERROR(RunOurs(half));
      RETURN_IF_ERROR(RunEcho(half));
      if (!ours_first) RETURN_IF_ERROR(RunOurs(half));
      ratios_.push_back(ours_.back().rate / echoes_.back().rate);
      Progress(fmt::format("pair {}: {:.0f} against {:.0f} calls/s, ratio {:.3f}", pair + 1,
                           ours_.back().rate, echoes_.back().rate, ratios_.back()));
    }
    Progress(fmt::format("reading {} messages back", sent_.acknowledged()));
    HistoryCheck check(sent_, kQueues);
    RETURN_IF_ERROR(ReadBack(broker_->address(), kTopic, check));
    verified_ = check.read();
    return broker_->Stop();
  }

  Result Summary() const {
    Result result{.bench = "unary-vs-echo",
                  .metric = "rate of SendMessage : rate of a bare echo",
                  .value = Rounded(Quantile(ratios_, 0.5), 3),
                  .unit = "ratio",
                  .bound = kBound};
    result.detail["ratio_min"] = Rounded(Quantile(ratios_, 0), 3);
    result.detail["ratio_max"] = Rounded(Quantile(ratios_, 1), 3);
    result.detail["pairs"] = ratios_.size();
    result.detail["outstanding"] = kOutstanding;
    result.detail["dunlin"] = Describe(ours_);
    result.detail["echo"] = Describe(echoes_);
    result.detail["messages_verified"] = verified_;
    return result;
  }

 private:
  absl::Status RunOurs(std::chrono::milliseconds half) {
    ASSIGN_OR_RETURN(const Half run, RunHalf(*broker_, sent_, half));
    ours_.push_back(run);
    return absl::OkStatus();
  }
  absl::Status RunEcho(std::chrono::milliseconds half) {
    ASSIGN_OR_RETURN(const Half run, RunHalf(*echo_, echoed_, half));
    echoes_.push_back(run);
    return absl::OkStatus();
  }

  static nlohmann::ordered_json Describe(const std::vector<Half>& halves) {
    const auto median = [&](auto field) {
      std::vector<double> values;
      for (const Half& half : halves) values.push_back(static_cast<double>(half.*field));
      return Quantile(values, 0.5);
    };
    nlohmann::ordered_json json;
    json["calls_per_second"] = Rounded(median(&Half::rate), 0);
    json["p50_us"] = median(&Half::p50_us);
    json["p99_us"] = median(&Half::p99_us);
    json["server_cpu_seconds"] = Rounded(median(&Half::server_cpu), 2);
    json["client_cpu_seconds"] = Rounded(median(&Half::client_cpu), 2);
    return json;
  }

  const Arguments& arguments_;
  History sent_{kOutstanding};
  History echoed_{kOutstanding};
  std::unique_ptr<Program> broker_;
  std::unique_ptr<Program> echo_;
  std::vector<Half> ours_;
  std::vector<Half> echoes_;
  std::vector<double> ratios_;
  uint64_t verified_ = 0;
};

}  // namespace
}  // namespace dunlin::e2e

int main(int argc, char** argv) { return dunlin::e2e::RunBench<dunlin::e2e::Bench>(argc, argv); }
