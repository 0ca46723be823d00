// replication: kill -9 to the master under load, over and over: to both of its processes, or to one
// of them. Another member serves within seconds; nothing that was acknowledged is lost, changed or
// moved; the old master comes back, gives up what nobody else has, and its log is that of the
// others, byte by byte.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"

#include "e2e/chaos/replication/group.h"
#include "e2e/chaos/replication/log_files.h"
#include "e2e/chaos/replication/prober.h"
#include "e2e/harness/broker.h"
#include "e2e/harness/client.h"
#include "e2e/harness/history.h"
#include "e2e/harness/load.h"
#include "e2e/harness/report.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr uint32_t kProducers = 32;
constexpr char kTopic[] = "replicated";
constexpr double kFailoverBoundSeconds = 8;
constexpr int kCycles = 20;
constexpr int kQuickCycles = 3;
constexpr int kShortestLifeMs = 200;
constexpr int kLongestLifeMs = 2000;
constexpr seconds kPatience{120};

class Bench {
 public:
  explicit Bench(const Arguments& arguments)
      : arguments_(arguments),
        cycles_(arguments.count > 0 ? arguments.count
                : arguments.quick   ? kQuickCycles
                                    : kCycles),
        random_(arguments.seed) {
    options_.broker = arguments.broker;
    options_.replicator = arguments.replicator;
    options_.directory = arguments.directory;
    options_.sync_flush = arguments.flush == "sync";
    if (!arguments.mode.empty()) options_.mode = arguments.mode;
  }

  absl::Status Run() {
    std::ofstream(arguments_.directory + "/secret") << "a secret of this test alone\n";
    ASSIGN_OR_RETURN(group_, Group::Make(options_));
    for (int i = 0; i < Group::kMembers; ++i) RETURN_IF_ERROR(group_->Start(i));
    for (cycle_ = 1; cycle_ <= cycles_; ++cycle_) {
      const absl::Status status = Cycle();
      if (!status.ok()) {
        return absl::Status(status.code(),
                            fmt::format("cycle {}: {}", cycle_, std::string(status.message())));
      }
      ++survived_;
      Progress(fmt::format("{} of {} cycles, served again after {:.2f} s", cycle_, cycles_,
                           failovers_.back()));
    }
    RETURN_IF_ERROR(PlannedStop());
    RETURN_IF_ERROR(CheckWhole());
    if (compared_ == 0) return absl::InternalError("no two logs were compared");
    return CheckTimes();
  }

  Result Summary() const {
    Result result{.bench = "replication",
                  .metric = "kill -9 of the master under load survived with nothing lost",
                  .value = static_cast<double>(survived_),
                  .unit = "cycles",
                  .bound = static_cast<double>(cycles_)};
    result.detail["sent"] = history_.sent();
    result.detail["acknowledged"] = history_.acknowledged();
    if (!failovers_.empty()) {
      result.detail["kill_to_first_ack_p50_s"] = Rounded(Quantile(failovers_, 0.5), 3);
      result.detail["kill_to_first_ack_max_s"] = Rounded(Quantile(failovers_, 1), 3);
    }
    result.detail["stop_to_first_ack_s"] = Rounded(planned_, 3);
    result.detail["compared_bytes"] = compared_;
    return result;
  }

 private:
  absl::Status Cycle() {
    ASSIGN_OR_RETURN(const int master, group_->AwaitMaster(kPatience));
    RETURN_IF_ERROR(group_->AwaitInSync(kPatience));
    RETURN_IF_ERROR(CheckSlavesRefuse(master));
    Load load({.address = group_->broker_address(master), .topic = kTopic}, history_);
    load.Start();
    load.Wait(
        milliseconds(std::uniform_int_distribution<int>(kShortestLifeMs, kLongestLifeMs)(random_)));
    RETURN_IF_ERROR(group_->CheckRunning());
    const auto killed = steady_clock::now();
    const Group::Half half = NextHalf();
    group_->Kill(master, half);
    const LoadResult result = load.Stop();
    if (result.acknowledged == 0) {
      return absl::InternalError("nothing was acknowledged: " + result.refusal);
    }
    RETURN_IF_ERROR(history_.Persist(arguments_.directory + "/acks.txt"));
    RETURN_IF_ERROR(AwaitFirstAckAnywhere());
    failovers_.push_back(std::chrono::duration<double>(steady_clock::now() - killed).count());
    ASSIGN_OR_RETURN(const int next, group_->AwaitMaster(kPatience));
    RETURN_IF_ERROR(ReadBack(group_->broker_address(next), kTopic, check_));
    RETURN_IF_ERROR(check_.CheckNothingMissing());
    RETURN_IF_ERROR(group_->Start(master));
    RETURN_IF_ERROR(group_->AwaitInSync(kPatience));
    return CheckLogs();
  }

  // A member that is taken down hands over first: nobody waits for its lease.
  absl::Status PlannedStop() {
    // On a machine that stands still another one may be elected just before.
    for (int attempt = 0; attempt < 3; ++attempt) {
      ASSIGN_OR_RETURN(const int master, group_->AwaitMaster(kPatience));
      RETURN_IF_ERROR(group_->AwaitInSync(kPatience));
      const auto begun = steady_clock::now();
      RETURN_IF_ERROR(group_->Stop(master));
      RETURN_IF_ERROR(AwaitFirstAckAnywhere());
      planned_ = std::chrono::duration<double>(steady_clock::now() - begun).count();
      if (HasHandedOver(master)) return absl::OkStatus();
      RETURN_IF_ERROR(group_->Start(master));
    }
    return absl::InternalError("a master that stops does not hand over");
  }

  // By its own words: that it let go of its lease, or that nobody could take over in time.
  bool HasHandedOver(int member) const {
    const std::string prefix = Group::NameOf(member) + "-";
    for (const auto& entry : std::filesystem::directory_iterator(arguments_.directory)) {
      const std::string name = entry.path().filename();
      if (!absl::StartsWith(name, prefix) || !absl::EndsWith(name, ".log")) continue;
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);) {
        if (absl::StrContains(line, "has let go of the lease") ||
            absl::StrContains(line, "nobody took over within")) {
          return true;
        }
      }
    }
    return false;
  }

  // First the whole member.
  Group::Half NextHalf() {
    if (group_->one_process()) return Group::Half::kBoth;
    constexpr std::array kHalves = {Group::Half::kBoth, Group::Half::kBroker,
                                    Group::Half::kReplicator};
    if (cycle_ <= static_cast<int>(kHalves.size())) return kHalves[static_cast<size_t>(cycle_ - 1)];
    return kHalves[std::uniform_int_distribution<size_t>(0, kHalves.size() - 1)(random_)];
  }

  absl::Status CheckSlavesRefuse(int master) {
    for (int i = 0; i < Group::kMembers; ++i) {
      if (i == master) continue;
      const auto deadline = steady_clock::now() + kPatience;
      V2Client client(group_->broker_address(i));
      absl::StatusOr<int64_t> sent;
      do {  // its port is taken anew when it has opened its log
        sent = client.Send(MessageOf(history_.Send(0), kTopic));
      } while (absl::IsUnavailable(sent.status()) && steady_clock::now() < deadline);
      if (absl::StrContains(sent.status().message(), "HA_NOT_AVAILABLE")) continue;
      return absl::InternalError(fmt::format("slave {} answers a send with {}", Group::NameOf(i),
                                             sent.status().ToString()));
    }
    return absl::OkStatus();
  }

  // Sends one message after the other to whoever may be the master, until one is acknowledged.
  absl::Status AwaitFirstAckAnywhere() {
    const auto deadline = steady_clock::now() + kPatience;
    std::string last;
    while (steady_clock::now() < deadline) {
      const absl::StatusOr<int> master = group_->AwaitMaster(kPatience);
      if (!master.ok()) return master.status();
      V2Client client(group_->broker_address(*master));
      const Identity identity = history_.Send(0);
      const absl::StatusOr<int64_t> offset = client.Send(MessageOf(identity, kTopic));
      if (offset.ok()) {
        history_.Acknowledge(identity, *offset);
        return absl::OkStatus();
      }
      last = offset.status().ToString();
    }
    return absl::DeadlineExceededError("nobody acknowledges: " + last);
  }

  absl::Status CheckLogs() {
    uint64_t confirm = UINT64_MAX;
    for (int i = 0; i < Group::kMembers; ++i) {
      ASSIGN_OR_RETURN(const replication::v1::GetMemberResponse member, group_->Ask(i));
      confirm = std::min({confirm, member.confirm(), member.end()});
    }
    for (int i = 1; i < Group::kMembers; ++i) {
      RETURN_IF_ERROR(CompareLogs(group_->store(0), group_->store(i), confirm, compared_));
    }
    return absl::OkStatus();
  }

  // How long it takes is a question to a machine that does nothing else, and to many cycles.
  absl::Status CheckTimes() const {
    if (cycles_ < kCycles) return absl::OkStatus();
    if (Quantile(failovers_, 1) > kFailoverBoundSeconds) {
      return absl::DeadlineExceededError(fmt::format("a failover took {:.2f} s, more than {} s",
                                                     Quantile(failovers_, 1),
                                                     kFailoverBoundSeconds));
    }
    return absl::OkStatus();
  }

  // Everything read anew, from whoever is master in the end.
  absl::Status CheckWhole() {
    ASSIGN_OR_RETURN(const int master, group_->AwaitMaster(kPatience));
    HistoryCheck anew(history_, kQueues);
    RETURN_IF_ERROR(ReadBack(group_->broker_address(master), kTopic, anew));
    RETURN_IF_ERROR(anew.CheckNothingMissing());
    return check_.CheckAgreesWith(anew);
  }

  const Arguments& arguments_;
  const int cycles_;
  std::mt19937_64 random_;
  GroupOptions options_;
  std::unique_ptr<Group> group_;
  History history_{kProducers};
  HistoryCheck check_{history_, kQueues};
  std::vector<double> failovers_;
  double planned_ = 0;
  uint64_t compared_ = 0;
  int cycle_ = 0;
  int survived_ = 0;
};

}  // namespace
}  // namespace dunlin::e2e

int main(int argc, char** argv) { return dunlin::e2e::RunBench<dunlin::e2e::Bench>(argc, argv); }
