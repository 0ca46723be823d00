// faults: a broker group of three on machines of its own, under load, with one fault after the
// other: its master killed or cut off while clients on its side go on, ways that are broken in one
// direction or come and go, the coordinator out of reach, members that stand still, and the power
// of all at once. Nothing that was acknowledged is lost, changed or moved; no two members serve in
// one epoch; what all have confirmed is the same byte by byte.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"

#include "e2e/chaos/replication/group.h"
#include "e2e/chaos/replication/log_files.h"
#include "e2e/chaos/replication/masters.h"
#include "e2e/chaos/replication/prober.h"
#include "e2e/harness/broker.h"
#include "e2e/harness/cut_disk.h"
#include "e2e/harness/history.h"
#include "e2e/harness/load.h"
#include "e2e/harness/report.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr char kTopic[] = "faults";
// Producers of the history: those that send to the master of before the fault, those that look for
// the next one, those that send to it.
constexpr uint32_t kNear = 24;
constexpr uint32_t kProbers = Group::kMembers;
constexpr uint32_t kFar = 8;
constexpr double kMedianBoundSeconds = 3;
constexpr double kSwitchoverBoundSeconds = 0.3;
constexpr double kLongestBoundSeconds = 8;  // p99
constexpr double kPauseBoundSeconds = 1.5;  // p90, while the coordinator is away
constexpr int kEnoughForQuantiles = 20;
constexpr size_t kEnoughPauses = 5;
constexpr seconds kPatience{120};
constexpr uint64_t kDiskBytes = uint64_t{16} << 30;  // a sparse file: takes what is written
constexpr char kAll[] = "kill,partition,one-way,flapping,coordinator,pause,power";

class Faults {
 public:
  explicit Faults(const Arguments& arguments)
      : arguments_(arguments),
        scenarios_(absl::StrSplit(arguments.scenario.empty() ? kAll : arguments.scenario, ',')),
        cycles_(std::max(1, arguments.count) * static_cast<int>(scenarios_.size())),
        random_(arguments.seed) {
    options_.broker = arguments.broker;
    options_.replicator = arguments.replicator;
    options_.directory = arguments.directory;
    options_.network = true;
    options_.sync_flush = arguments.flush != "async";
    if (!arguments.mode.empty()) options_.mode = arguments.mode;
  }

  absl::Status Run() {
    std::ofstream(arguments_.directory + "/secret") << "a secret of this test alone\n";
    if (Has("power")) options_.stores = arguments_.directory + "/disk";
    // Before the disk, which gives this process a view of its own of what is mounted.
    ASSIGN_OR_RETURN(group_, Group::Make(options_));
    if (Has("power")) {
      ASSIGN_OR_RETURN(disk_, CutDisk::Make(arguments_.directory, kDiskBytes));
    }
    RETURN_IF_ERROR(StartAll());
    for (int cycle = 0; cycle < cycles_; ++cycle) {
      const std::string& scenario = scenarios_[static_cast<size_t>(cycle) % scenarios_.size()];
      const absl::Status status = Cycle(scenario);
      if (!status.ok()) {
        violations_ += absl::IsDataLoss(status) ? 1 : 0;
        return absl::Status(status.code(), fmt::format("cycle {}, {}: {}", cycle + 1, scenario,
                                                       std::string(status.message())));
      }
      ++survived_;
      ++done_[scenario];
      Progress(
          fmt::format("{} of {}: {} {}, {}", cycle + 1, cycles_, options_.mode, scenario, told_));
    }
    RETURN_IF_ERROR(CheckWhole());
    if (compared_ == 0) return absl::InternalError("no two logs were compared");
    return CheckTimes();
  }

  Result Summary() const {
    Result result{.bench = "faults",
                  .metric = "faults of a broker group under load survived with nothing lost",
                  .value = static_cast<double>(survived_),
                  .unit = "faults",
                  .bound = static_cast<double>(cycles_)};
    result.detail["mode"] = options_.mode;
    result.detail["flush"] = options_.sync_flush ? "sync" : "async";
    result.detail["done"] = done_;
    result.detail["sent"] = history_.sent();
    result.detail["acknowledged"] = history_.acknowledged();
    result.detail["lost"] = lost_;
    result.detail["violations"] = violations_;
    result.detail["masters"] = masters_.size();
    result.detail["compared_bytes"] = compared_;
    for (const auto& [scenario, times] : times_) {
      nlohmann::ordered_json& line = result.detail["fault_to_first_ack_s"][scenario];
      line["p50"] = Rounded(Quantile(times, 0.5), 3);
      line["p99"] = Rounded(Quantile(times, 0.99), 3);
      line["max"] = Rounded(Quantile(times, 1), 3);
    }
    if (!pauses_without_coordinator_.empty()) {
      result.detail["longest_pause_without_coordinator_s"] =
          Rounded(Quantile(pauses_without_coordinator_, 1), 3);
    }
    return result;
  }

 private:
  bool Has(const std::string& scenario) const {
    return std::find(scenarios_.begin(), scenarios_.end(), scenario) != scenarios_.end();
  }

  int Random(int least, int most) {
    return std::uniform_int_distribution<int>(least, most)(random_);
  }
  milliseconds RandomMs(int least, int most) { return milliseconds(Random(least, most)); }

  absl::Status StartAll() {
    for (int i = 0; i < Group::kMembers; ++i) RETURN_IF_ERROR(group_->Start(i));
    return absl::OkStatus();
  }

  absl::Status Cycle(const std::string& scenario) {
    told_ = "";
    ASSIGN_OR_RETURN(const int master, group_->AwaitMaster(kPatience));
    RETURN_IF_ERROR(group_->AwaitInSync(kPatience));
    Load near({.address = group_->broker_address(master),
               .topic = kTopic,
               .producers = kNear,
               .pause = milliseconds(20),
               .goes_on = true,
               .deadline = seconds(5)},
              history_);
    near.Start();
    near.Wait(RandomMs(200, 1000));
    RETURN_IF_ERROR(Break(scenario, master, near));
    RETURN_IF_ERROR(group_->network().Heal());
    const LoadResult result = near.Stop();
    if (result.acknowledged == 0) {
      return absl::InternalError("nothing was acknowledged before: " + result.refusal);
    }
    return CheckAfter();
  }

  absl::Status Break(const std::string& scenario, int master, Load& near) {
    if (scenario == "kill") return KillMaster(master);
    if (scenario == "partition") return PartitionMaster(master, near);
    if (scenario == "one-way") return OneWay(master, near);
    if (scenario == "flapping") return Flapping(near);
    if (scenario == "coordinator") return CutCoordinator(master, near);
    if (scenario == "pause") return Pause(master, near);
    if (scenario == "power") return PowerCut();
    if (scenario == "switchover") return SwitchOver(master);
    return absl::InvalidArgumentError(
        fmt::format("no scenario {}; there are {},switchover", scenario, kAll));
  }

  // ---- the faults ----

  absl::Status KillMaster(int master) {
    const auto killed = steady_clock::now();
    group_->Kill(master, Group::Half::kBoth);
    RETURN_IF_ERROR(AwaitAck("kill", killed, master));
    RETURN_IF_ERROR(SendToNext(master));
    return group_->Start(master);
  }

  // Clients go on sending to it, and others to the next one meanwhile. In one of four cases they do
  // not get to it either.
  absl::Status PartitionMaster(int master, Load& near) {
    const auto cut = steady_clock::now();
    if (Random(0, 3) == 0) {
      RETURN_IF_ERROR(group_->network().CutBothWays(master, Network::kHost));
    }
    for (int other = 0; other <= Group::kEtcd; ++other) {
      if (other != master) RETURN_IF_ERROR(group_->network().CutBothWays(master, other));
    }
    RETURN_IF_ERROR(AwaitAck("partition", cut, master));
    RETURN_IF_ERROR(SendToNext(master));
    near.Wait(RandomMs(0, 2000));
    return absl::OkStatus();
  }

  // Of what one member sends, or of what is sent to it, some or all is lost: by or to the
  // coordinator, one other member, both.
  absl::Status OneWay(int master, Load& near) {
    const int member = Random(0, 2) == 0 ? Random(0, Group::kMembers - 1) : master;
    const bool sends = Random(0, 1) == 0;
    int lost = Random(1, (1 << Group::kEtcd) - 1);  // a bit for each other machine, not none
    std::string names;
    for (int other = 0; other <= Group::kEtcd; ++other) {
      if (other == member) continue;
      const bool cut = lost % 2 != 0;
      lost /= 2;
      if (!cut) continue;
      RETURN_IF_ERROR(sends ? group_->network().Cut(member, other)
                            : group_->network().Cut(other, member));
      names += fmt::format(" {}", other == Group::kEtcd ? "etcd" : Group::NameOf(other));
    }
    told_ =
        fmt::format("{} ({}) {}{}; ", Group::NameOf(member), member == master ? "master" : "slave",
                    sends ? "does not reach" : "does not hear", names);
    near.Wait(RandomMs(500, 6000));
    return HealAndAwaitAck("one-way");
  }

  absl::Status Flapping(Load& near) {
    const auto until = steady_clock::now() + RandomMs(3000, 8000);
    int changes = 0;
    while (steady_clock::now() < until) {
      const int one = Random(0, Group::kMembers - 1);
      const int other = (one + Random(1, Group::kEtcd)) % (Group::kEtcd + 1);
      Network& network = group_->network();
      if (Random(0, 1) == 0) {
        RETURN_IF_ERROR(network.CutBothWays(one, other));
      } else {
        RETURN_IF_ERROR(network.Heal());
      }
      ++changes;
      near.Wait(RandomMs(50, 1000));
    }
    told_ = fmt::format("{} changes; ", changes);
    return HealAndAwaitAck("flapping");
  }

  // From all members, or from the master alone: its peers pledge, and it goes on.
  absl::Status CutCoordinator(int master, Load& near) {
    const bool all = Random(0, 1) == 0;
    for (int i = 0; i < Group::kMembers; ++i) {
      if (all || i == master) {
        RETURN_IF_ERROR(group_->network().CutBothWays(i, Group::kEtcd));
      }
    }
    double pause = LongestPause(near, RandomMs(4000, 8000));
    RETURN_IF_ERROR(HealAndAwaitAck("coordinator"));
    // The lease has to be taken again, and nobody else may be quicker.
    pause = std::max(pause, LongestPause(near, seconds(3)));
    pauses_without_coordinator_.push_back(pause);
    told_ += fmt::format(", {}, longest pause {:.2f} s",
                         all ? "away from all members" : "away from the master", pause);
    return absl::OkStatus();
  }

  // For how long nobody was told that anything is stored, within `time`.
  double LongestPause(Load& load, milliseconds time) {
    constexpr milliseconds kStep{20};
    const auto end = steady_clock::now() + time;
    auto last = steady_clock::now();
    uint64_t acknowledged = history_.acknowledged();
    steady_clock::duration longest{};
    while (steady_clock::now() < end) {
      load.Wait(kStep);
      const uint64_t count = history_.acknowledged();
      longest = std::max(longest, steady_clock::now() - last);
      if (count == acknowledged) continue;
      acknowledged = count;
      last = steady_clock::now();
    }
    return std::chrono::duration<double>(longest).count();
  }

  // A member stands still and goes on: more often a slave. Others acknowledge without it.
  absl::Status Pause(int master, Load& near) {
    constexpr int kSeconds[] = {1, 4, 10, 30, 300};
    const int longest = arguments_.quick ? 1 : 4;
    const int length = kSeconds[std::min(longest, pauses_++ % 5)];
    const bool slave = Random(0, 3) != 0;
    const int member = slave ? (master + Random(1, 2)) % Group::kMembers : master;
    const auto paused = steady_clock::now();
    RETURN_IF_ERROR(group_->Freeze(member));
    told_ = fmt::format("{} ({}) for {} s; ", Group::NameOf(member), slave ? "slave" : "master",
                        length);
    if (length >= 10) RETURN_IF_ERROR(AwaitAck("pause", paused, member));
    near.Wait(
        std::chrono::duration_cast<milliseconds>(paused + seconds(length) - steady_clock::now()));
    RETURN_IF_ERROR(group_->Thaw(member));
    return HealAndAwaitAck("pause");
  }

  // All stores are on one file system: processors and disks of all members stop together.
  absl::Status PowerCut() {
    RETURN_IF_ERROR(group_->CheckRunning());
    for (int i = 0; i < Group::kMembers; ++i) RETURN_IF_ERROR(group_->Freeze(i));
    RETURN_IF_ERROR(disk_->Cut());
    for (int i = 0; i < Group::kMembers; ++i) group_->Kill(i, Group::Half::kBoth);
    RETURN_IF_ERROR(disk_->Restore());
    const auto restored = steady_clock::now();
    RETURN_IF_ERROR(StartAll());
    return AwaitAck("power", restored, std::nullopt);
  }

  // No fault: an operator makes another one the master. The pause counts from when that is asked.
  absl::Status SwitchOver(int master) {
    const int next = (master + Random(1, 2)) % Group::kMembers;
    const auto asked = steady_clock::now();
    RETURN_IF_ERROR(group_->SwitchOver(master, next));
    return AwaitAck("switchover", asked, master);
  }

  // ---- what is expected then ----

  absl::Status HealAndAwaitAck(const std::string& scenario) {
    const auto healed = steady_clock::now();
    RETURN_IF_ERROR(group_->network().Heal());
    return AwaitAck(scenario, healed, std::nullopt);
  }

  // Any member but `but` acknowledges.
  absl::Status AwaitAck(const std::string& scenario, steady_clock::time_point since,
                        std::optional<int> but) {
    std::vector<Prober::Target> targets;
    for (int i = 0; i < Group::kMembers; ++i) {
      if (i != but)
        targets.push_back({group_->broker_address(i), kNear + static_cast<uint32_t>(i)});
    }
    Prober prober(std::move(targets), kTopic, history_);
    ASSIGN_OR_RETURN(const steady_clock::time_point at, prober.Await(kPatience));
    times_[scenario].push_back(std::chrono::duration<double>(at - since).count());
    told_ += fmt::format("served again after {:.2f} s", times_[scenario].back());
    return absl::OkStatus();
  }

  // Load at the next master, while the clients of the old one go on.
  absl::Status SendToNext(int old) {
    for (int i = 0; i < Group::kMembers; ++i) {
      if (i == old) continue;
      const absl::StatusOr<replication::v1::GetMemberResponse> member = group_->Ask(i);
      if (!member.ok() || member->role() != replication::v1::MASTER) continue;
      Load far({.address = group_->broker_address(i),
                .topic = kTopic,
                .first_producer = kNear + kProbers,
                .producers = kFar,
                .pause = milliseconds(20),
                .goes_on = true,
                .deadline = seconds(5)},
               history_);
      far.Start();
      far.Wait(RandomMs(100, 500));
      far.Stop();
    }
    return absl::OkStatus();
  }

  absl::Status CheckAfter() {
    RETURN_IF_ERROR(history_.Persist(arguments_.directory + "/acks.txt"));
    ASSIGN_OR_RETURN(const int master, group_->AwaitMaster(kPatience));
    RETURN_IF_ERROR(group_->AwaitInSync(kPatience));
    RETURN_IF_ERROR(group_->CheckRunning());
    const absl::Status read = ReadBack(group_->broker_address(master), kTopic, check_);
    lost_ = check_.Missing();
    RETURN_IF_ERROR(read);
    RETURN_IF_ERROR(check_.CheckNothingMissing());
    RETURN_IF_ERROR(FindMasters(arguments_.directory, masters_));
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

  // Everything read anew, from whoever is master in the end.
  absl::Status CheckWhole() {
    ASSIGN_OR_RETURN(const int master, group_->AwaitMaster(kPatience));
    HistoryCheck anew(history_, kQueues);
    RETURN_IF_ERROR(ReadBack(group_->broker_address(master), kTopic, anew));
    RETURN_IF_ERROR(anew.CheckNothingMissing());
    return check_.CheckAgreesWith(anew);
  }

  absl::Status CheckTimes() const {
    const double pause = Quantile(pauses_without_coordinator_, 0.9);
    if (pauses_without_coordinator_.size() >= kEnoughPauses && pause > kPauseBoundSeconds) {
      return absl::DeadlineExceededError(
          fmt::format("coordinator: sends paused for {:.2f} s while it was away, more than {} s",
                      pause, kPauseBoundSeconds));
    }
    for (const auto& [scenario, times] : times_) {
      // A few say more of the machine than of the group.
      if (times.size() < kEnoughForQuantiles) continue;
      if (scenario == "switchover" && Quantile(times, 0.5) > kSwitchoverBoundSeconds) {
        return absl::DeadlineExceededError(
            fmt::format("switchover: p50 is {:.3f} s, more than {} s", Quantile(times, 0.5),
                        kSwitchoverBoundSeconds));
      }
      if (scenario != "kill" && scenario != "partition") continue;
      const double longest = Quantile(times, 0.99);
      if (longest > kLongestBoundSeconds) {
        return absl::DeadlineExceededError(fmt::format("{}: p99 is {:.2f} s, more than {} s",
                                                       scenario, longest, kLongestBoundSeconds));
      }
      const double median = Quantile(times, 0.5);
      if (median > kMedianBoundSeconds) {
        return absl::DeadlineExceededError(fmt::format("{}: p50 is {:.2f} s, more than {} s",
                                                       scenario, median, kMedianBoundSeconds));
      }
    }
    return absl::OkStatus();
  }

  const Arguments& arguments_;
  const std::vector<std::string> scenarios_;
  const int cycles_;
  std::mt19937_64 random_;
  GroupOptions options_;
  std::unique_ptr<CutDisk> disk_;
  std::unique_ptr<Group> group_;
  History history_{kNear + kProbers + kFar};
  HistoryCheck check_{history_, kQueues};
  std::map<std::string, std::vector<double>> times_;
  std::vector<double> pauses_without_coordinator_;
  std::map<std::string, int> done_;
  std::map<uint32_t, std::string> masters_;
  std::string told_;
  uint64_t compared_ = 0;
  uint64_t lost_ = 0;
  int violations_ = 0;
  int pauses_ = 0;
  int survived_ = 0;
};

}  // namespace
}  // namespace dunlin::e2e

int main(int argc, char** argv) { return dunlin::e2e::RunBench<dunlin::e2e::Faults>(argc, argv); }
