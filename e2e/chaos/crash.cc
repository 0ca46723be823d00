// crash: kill -9 at random moments under load, over and over on the same directory. Nothing that
// was acknowledged may be lost, changed, reordered or moved, in either flush mode.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
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
constexpr double kRestartBoundSeconds = 1.0;
constexpr size_t kEnoughForQuantiles = 20;  // fewer say how busy the machine was
constexpr char kTopic[] = "crash";
constexpr int kCycles = 100;
constexpr int kQuickCycles = 10;
// A moment of death: early ones meet recovery and the first appends, late ones segment changes.
constexpr int kShortestLifeMs = 1;
constexpr int kLongestLifeMs = 600;

// One directory and its history, through all cycles of one flush mode.
class Life {
 public:
  Life(const Arguments& arguments, bool sync_flush, std::mt19937_64& random)
      : random_(random),
        broker_{.program = arguments.dunlin,
                .data_dir = Directory(arguments, sync_flush) + "/data",
                .stderr_file = Directory(arguments, sync_flush) + "-dunlin.log",
                .sync_flush = sync_flush,
                .segment_bytes = uint64_t{16} << 20},
        acks_file_(Directory(arguments, sync_flush) + "-acks.txt") {}

  absl::Status Cycle() {
    ASSIGN_OR_RETURN(const std::unique_ptr<Program> program, StartBroker(broker_));
    ASSIGN_OR_RETURN(const double first_ack, AwaitFirstAck(*program, kTopic, history_));
    restarts_.push_back(first_ack);
    RETURN_IF_ERROR(ReadBack(program->address(), kTopic, check_));
    Load load({.address = program->address(), .topic = kTopic}, history_);
    load.Start();
    load.Wait(std::chrono::milliseconds(
        std::uniform_int_distribution<int>(kShortestLifeMs, kLongestLifeMs)(random_)));
    RETURN_IF_ERROR(program->CheckRunning());
    program->Kill();
    const LoadResult result = load.Stop();
    if (result.refused > 0) {
      return absl::InternalError("a sound send was refused: " + result.refusal);
    }
    return history_.Persist(acks_file_);
  }

  // A last start, and everything read anew.
  absl::Status CheckWhole() {
    ASSIGN_OR_RETURN(const std::unique_ptr<Program> program, StartBroker(broker_));
    RETURN_IF_ERROR(ReadBack(program->address(), kTopic, check_));
    HistoryCheck anew(history_, kQueues);
    RETURN_IF_ERROR(ReadBack(program->address(), kTopic, anew));
    RETURN_IF_ERROR(check_.CheckAgreesWith(anew));
    return program->Stop();
  }

  const std::vector<double>& Restarts() const { return restarts_; }
  uint64_t Acknowledged() const { return history_.acknowledged(); }
  uint64_t Sent() const { return history_.sent(); }

 private:
  static std::string Directory(const Arguments& arguments, bool sync_flush) {
    return arguments.directory + (sync_flush ? "/sync" : "/async");
  }

  std::mt19937_64& random_;
  const BrokerOptions broker_;
  const std::string acks_file_;
  History history_{kOutstanding};
  HistoryCheck check_{history_, kQueues};
  std::vector<double> restarts_;
};

class Bench {
 public:
  explicit Bench(const Arguments& arguments)
      : arguments_(arguments),
        cycles_(arguments.count > 0 ? arguments.count
                : arguments.quick   ? kQuickCycles
                                    : kCycles),
        random_(arguments.seed) {
    if (arguments.flush != "sync") lives_.emplace_back("async", Make(false));
    if (arguments.flush != "async") lives_.emplace_back("sync", Make(true));
  }

  absl::Status Run() {
    for (int cycle = 1; cycle <= cycles_; ++cycle) {
      for (const auto& [name, life] : lives_) {
        const absl::Status status = life->Cycle();
        if (!status.ok()) return InMode(name, cycle, status);
        ++survived_;
      }
      if (cycle % std::max(1, cycles_ / 10) == 0) {
        Progress(fmt::format("{} of {} cycles per mode", cycle, cycles_));
      }
    }
    for (const auto& [name, life] : lives_) {
      const absl::Status status = life->CheckWhole();
      if (!status.ok()) return InMode(name, cycles_, status);
    }
    return CheckRestarts();
  }

  Result Summary() const {
    Result result{.bench = "crash",
                  .metric = "kill -9 under load survived with nothing lost",
                  .value = static_cast<double>(survived_),
                  .unit = "cycles",
                  .bound = static_cast<double>(lives_.size()) * cycles_};
    for (const auto& [name, life] : lives_) {
      nlohmann::ordered_json json;
      json["sent"] = life->Sent();
      json["acknowledged"] = life->Acknowledged();
      json["restart_to_first_ack_p50_s"] = Rounded(Quantile(life->Restarts(), 0.5), 3);
      json["restart_to_first_ack_p99_s"] = Rounded(Quantile(life->Restarts(), 0.99), 3);
      json["restart_to_first_ack_max_s"] = Rounded(Quantile(life->Restarts(), 1), 3);
      result.detail[name] = json;
    }
    return result;
  }

 private:
  std::unique_ptr<Life> Make(bool sync_flush) {
    return std::make_unique<Life>(arguments_, sync_flush, random_);
  }

  static absl::Status InMode(const std::string& name, int cycle, const absl::Status& status) {
    return absl::Status(status.code(), fmt::format("{} flush, cycle {}: {}", name, cycle,
                                                   std::string(status.message())));
  }

  absl::Status CheckRestarts() const {
    for (const auto& [name, life] : lives_) {
      if (life->Restarts().size() < kEnoughForQuantiles) continue;
      const double p99 = Quantile(life->Restarts(), 0.99);
      if (p99 <= kRestartBoundSeconds) continue;
      return absl::DeadlineExceededError(
          fmt::format("{} flush: p99 from restart to the first acknowledgement is {:.3f} s, more "
                      "than {} s",
                      name, p99, kRestartBoundSeconds));
    }
    return absl::OkStatus();
  }

  const Arguments& arguments_;
  const int cycles_;
  std::mt19937_64 random_;
  std::vector<std::pair<std::string, std::unique_ptr<Life>>> lives_;
  int survived_ = 0;
};

}  // namespace
}  // namespace dunlin::e2e

int main(int argc, char** argv) { return dunlin::e2e::RunBench<dunlin::e2e::Bench>(argc, argv); }
