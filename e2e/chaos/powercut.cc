// powercut: the file system under the store loses its power at random moments under load, over and
// over on the same store. With SYNC_FLUSH nothing that was acknowledged may be lost.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "e2e/harness/broker.h"
#include "e2e/harness/cut_disk.h"
#include "e2e/harness/history.h"
#include "e2e/harness/load.h"
#include "e2e/harness/program.h"
#include "e2e/harness/report.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

constexpr uint32_t kOutstanding = 64;
constexpr char kTopic[] = "powercut";
constexpr int kCycles = 50;
constexpr int kQuickCycles = 10;
constexpr uint64_t kDiskBytes = uint64_t{16} << 30;  // a sparse file: takes what is written
constexpr int kShortestLifeMs = 1;
constexpr int kLongestLifeMs = 400;

class Bench {
 public:
  explicit Bench(const Arguments& arguments)
      : arguments_(arguments),
        cycles_(arguments.count > 0 ? arguments.count
                : arguments.quick   ? kQuickCycles
                                    : kCycles),
        random_(arguments.seed) {}

  absl::Status Run() {
    ASSIGN_OR_RETURN(disk_, CutDisk::Make(arguments_.directory, kDiskBytes));
    broker_ = {.program = arguments_.dunlin,
               .data_dir = disk_->path() + "/data",
               .stderr_file = arguments_.directory + "/dunlin.log",
               .sync_flush = true,
               .segment_bytes = uint64_t{16} << 20};
    for (int cycle = 1; cycle <= cycles_; ++cycle) {
      const absl::Status status = Cycle();
      if (!status.ok()) {
        return absl::Status(status.code(),
                            fmt::format("cycle {}: {}", cycle, std::string(status.message())));
      }
      ++survived_;
      if (cycle % std::max(1, cycles_ / 10) == 0) {
        Progress(fmt::format("{} of {} cycles", cycle, cycles_));
      }
    }
    return CheckWhole();
  }

  Result Summary() const {
    Result result{.bench = "powercut",
                  .metric = "power cuts under load survived with nothing lost (ext4, SYNC_FLUSH)",
                  .value = static_cast<double>(survived_),
                  .unit = "cycles",
                  .bound = static_cast<double>(cycles_)};
    result.detail["sent"] = history_.sent();
    result.detail["acknowledged"] = history_.acknowledged();
    result.detail["restart_to_first_ack_p50_s"] = Rounded(Quantile(restarts_, 0.5), 3);
    result.detail["restart_to_first_ack_max_s"] = Rounded(Quantile(restarts_, 1), 3);
    return result;
  }

 private:
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
    // Processor and disk lose power together: a program that lived on would see what no machine
    // shows, such as an fdatasync that ext4 answers with success after the shutdown.
    RETURN_IF_ERROR(program->Freeze());
    RETURN_IF_ERROR(disk_->Cut());
    program->Kill();
    const LoadResult result = load.Stop();
    if (result.refused > 0) {
      return absl::InternalError("a sound send was refused: " + result.refusal);
    }
    RETURN_IF_ERROR(history_.Persist(arguments_.directory + "/acks.txt"));
    return disk_->Restore();
  }

  absl::Status CheckWhole() {
    ASSIGN_OR_RETURN(const std::unique_ptr<Program> program, StartBroker(broker_));
    RETURN_IF_ERROR(ReadBack(program->address(), kTopic, check_));
    HistoryCheck anew(history_, kQueues);
    RETURN_IF_ERROR(ReadBack(program->address(), kTopic, anew));
    RETURN_IF_ERROR(check_.CheckAgreesWith(anew));
    return program->Stop();
  }

  const Arguments& arguments_;
  const int cycles_;
  std::mt19937_64 random_;
  std::unique_ptr<CutDisk> disk_;
  BrokerOptions broker_;
  History history_{kOutstanding};
  HistoryCheck check_{history_, kQueues};
  std::vector<double> restarts_;
  int survived_ = 0;
};

}  // namespace
}  // namespace dunlin::e2e

int main(int argc, char** argv) { return dunlin::e2e::RunBench<dunlin::e2e::Bench>(argc, argv); }
