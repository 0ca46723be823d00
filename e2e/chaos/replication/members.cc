// members: a group of three becomes one of five and one of three again while producers send, with
// `dunlinctl replica add` and `remove` and a kill -9 of the master in between. Nothing that was
// acknowledged is lost, changed or moved; what is needed is not removed; who was removed says so,
// and is not elected; name services show who is who throughout.

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"

#include "e2e/chaos/replication/group.h"
#include "e2e/chaos/replication/log_files.h"
#include "e2e/chaos/replication/prober.h"
#include "e2e/harness/broker.h"
#include "e2e/harness/client.h"
#include "e2e/harness/history.h"
#include "e2e/harness/load.h"
#include "e2e/harness/program.h"
#include "e2e/harness/report.h"
#include "services/base/file.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

namespace v1 = replication::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr uint32_t kProducers = 16;
constexpr char kTopic[] = "members";
constexpr int kSpares = 2;
constexpr seconds kPatience{30};

class Bench {
 public:
  explicit Bench(const Arguments& arguments) : arguments_(arguments) {
    options_.broker = arguments.broker;
    options_.replicator = arguments.replicator;
    options_.directory = arguments.directory;
    options_.spares = kSpares;
    if (!arguments.mode.empty()) options_.mode = arguments.mode;
  }

  absl::Status Run() {
    std::ofstream(arguments_.directory + "/secret") << "a secret of this test alone\n";
    RETURN_IF_ERROR(StartNames());
    ASSIGN_OR_RETURN(group_, Group::Make(options_));
    for (int i = 0; i < Group::kMembers; ++i) RETURN_IF_ERROR(group_->Start(i));
    const std::pair<const char*, std::function<absl::Status()>> steps[] = {
        {"three become five", [this] { return Grow(); }},
        {"the master dies", [this] { return KillMaster(); }},
        {"a dead member is removed", [this] { return RemoveTheDead(); }},
        {"the old master is removed", [this] { return RemoveTheMaster(); }},
        {"the three that are left lose their master", [this] { return KillMaster(); }},
        {"who was removed is taken in again", [this] { return TakeInAgain(); }}};
    ASSIGN_OR_RETURN(master_, group_->AwaitMaster(kPatience));
    RETURN_IF_ERROR(Await(Group::kMembers));
    for (const auto& [name, step] : steps) {
      StartLoad();
      const absl::Status status = step();
      const absl::Status sent = StopLoad();
      if (!status.ok()) return Named(name, status);
      if (!sent.ok()) return Named(name, sent);
      ++steps_;
      Progress(fmt::format("{}: {} acknowledged so far", name, history_.acknowledged()));
    }
    return CheckWhole();
  }

  Result Summary() const {
    Result result{.bench = "members",
                  .metric = "changes of the members under load survived with nothing lost",
                  .value = static_cast<double>(steps_),
                  .unit = "steps",
                  .bound = 6};
    result.detail["mode"] = options_.mode;
    result.detail["sent"] = history_.sent();
    result.detail["acknowledged"] = history_.acknowledged();
    result.detail["compared_bytes"] = compared_;
    return result;
  }

 private:
  static absl::Status Named(const char* step, const absl::Status& status) {
    return {status.code(), fmt::format("{}: {}", step, std::string(status.message()))};
  }

  absl::Status StartNames() {
    const std::vector<std::string> command = {arguments_.names,
                                              "--data-dir",
                                              arguments_.directory + "/names",
                                              "--set",
                                              "server.listen_address=127.0.0.1:0",
                                              "--set",
                                              "metrics.listen_address=",
                                              "--set",
                                              "registry.start_grace_ms=0"};
    ASSIGN_OR_RETURN(names_, Program::Start(command, arguments_.directory + "/names.log"));
    options_.settings.push_back("broker.name_services=" + names_->address());
    return absl::OkStatus();
  }

  // ---- what an operator does ----

  struct Said {
    bool ok = false;
    std::string words;
  };
  // At a member, or at the name service (-1).
  Said Ctl(int member, std::vector<std::string> words) {
    const std::string output = fmt::format("{}/ctl-{}.txt", arguments_.directory, ++commands_);
    std::vector<std::string> command = {
        arguments_.cli, "--endpoint",
        member < 0 ? names_->address() : group_->replicator_address(member), "replica"};
    const bool changes = words.front() != "list";
    command.insert(command.end(), words.begin(), words.end());
    if (changes) {
      command.insert(command.end(), {"--secret-file", arguments_.directory + "/secret"});
    }
    const absl::Status run = RunTool(command, output);
    absl::StatusOr<std::string> text = ReadWholeFile(RealFiles(), output);
    return {run.ok(), text.ok() ? *text : std::string(text.status().message())};
  }
  absl::Status Succeeds(const Said& said, const std::string& with) {
    if (said.ok && absl::StrContains(said.words, with)) return absl::OkStatus();
    return absl::InternalError("dunlinctl says: " + said.words);
  }
  static absl::Status IsRefused(const Said& said, const std::string& with) {
    if (!said.ok && absl::StrContains(said.words, with)) return absl::OkStatus();
    return absl::InternalError(fmt::format("not refused with \"{}\", but: {}", with, said.words));
  }

  absl::Status Grow() {
    for (int i = Group::kMembers; i < group_->size(); ++i) {
      RETURN_IF_ERROR(group_->Start(i));
      ASSIGN_OR_RETURN(const v1::GetMemberResponse before, group_->Ask(i));
      if (!before.members().empty() && !before.outside()) {
        return absl::InternalError("it takes part before it was added: " + before.state());
      }
      // Whoever is asked, the master does it.
      RETURN_IF_ERROR(
          Succeeds(Ctl((master_ + 1) % Group::kMembers, {"add", MemberOf(i)}), "is in sync"));
    }
    RETURN_IF_ERROR(Await(group_->size()));
    // The name service is all that one has to know.
    const Said seen = Ctl(-1, {"list"});
    for (int i = 0; i < group_->size(); ++i) {
      RETURN_IF_ERROR(Succeeds(seen, Group::NameOf(i) + "  "));
    }
    return IsRefused(Ctl(master_, {"remove", Group::NameOf(master_)}), "hand over first");
  }

  absl::Status KillMaster() {
    Pass();
    const int killed = master_;
    group_->Kill(killed, Group::Half::kBoth);
    RETURN_IF_ERROR(StopLoad());
    ASSIGN_OR_RETURN(master_, group_->AwaitMaster(kPatience));
    StartLoad();
    Pass();
    ASSIGN_OR_RETURN(const v1::GetMemberResponse member, group_->Ask(master_));
    if (member.outside()) return absl::InternalError("who was removed is master");
    RETURN_IF_ERROR(group_->Start(killed));
    return Await(members_);
  }

  absl::Status RemoveTheDead() {
    const int dead = AnyBut(master_);
    group_->Kill(dead, Group::Half::kBoth);
    RETURN_IF_ERROR(Succeeds(Ctl(master_, {"remove", Group::NameOf(dead)}), "no member any more"));
    RETURN_IF_ERROR(group_->Start(dead));
    removed_.push_back(dead);
    RETURN_IF_ERROR(Await(4));
    return AwaitOutside(dead);
  }

  absl::Status RemoveTheMaster() {
    const int old = master_;
    const int next = AnyBut(old);
    RETURN_IF_ERROR(Succeeds(Ctl(next, {"switchover", Group::NameOf(next)}), "hands over"));
    const auto deadline = steady_clock::now() + kPatience;
    while (master_ != next) {
      if (steady_clock::now() > deadline) return absl::DeadlineExceededError("no switchover");
      ASSIGN_OR_RETURN(master_, group_->AwaitMaster(kPatience));
    }
    RETURN_IF_ERROR(StopLoad());
    StartLoad();
    // Until the old one has caught up with the epoch there may be nobody to spare.
    RETURN_IF_ERROR(Await(4));
    RETURN_IF_ERROR(Succeeds(Ctl(old, {"remove", Group::NameOf(old)}), "no member any more"));
    removed_.push_back(old);
    RETURN_IF_ERROR(Await(3));
    Pass();
    return AwaitOutside(old);
  }

  // Its log is a part of the group's, or what nobody confirmed is cut off.
  absl::Status TakeInAgain() {
    const int again = removed_.back();
    RETURN_IF_ERROR(Succeeds(Ctl(master_, {"add", MemberOf(again), "--learner"}), "caught up"));
    RETURN_IF_ERROR(Succeeds(Ctl(master_, {"add", MemberOf(again)}), "is in sync"));
    removed_.pop_back();
    return Await(4);
  }

  // ---- what is looked at ----

  std::string MemberOf(int member) const {
    return Group::NameOf(member) + "=" + group_->replicator_address(member);
  }

  bool IsRemoved(int member) const {
    return std::find(removed_.begin(), removed_.end(), member) != removed_.end();
  }

  int AnyBut(int member) const {
    for (int i = 0; i < group_->size(); ++i) {
      if (i != member && !IsRemoved(i)) return i;
    }
    return member;
  }

  // So many members, all of them in sync.
  absl::Status Await(int members) {
    members_ = members;
    const auto deadline = steady_clock::now() + kPatience;
    std::string heard;
    while (steady_clock::now() < deadline) {
      ASSIGN_OR_RETURN(master_, group_->AwaitMaster(kPatience));
      const absl::StatusOr<v1::GetMemberResponse> member = group_->Ask(master_);
      if (member.ok()) {
        const int in_sync =
            static_cast<int>(std::count_if(member->slaves().begin(), member->slaves().end(),
                                           [](const auto& slave) { return slave.in_sync(); }));
        if (member->members_size() == members && member->in_sync_size() == members &&
            in_sync == members - 1) {
          return absl::OkStatus();
        }
        heard = member->ShortDebugString();
      }
      Pause();
    }
    return absl::DeadlineExceededError(fmt::format("not {} members in sync: {}", members, heard));
  }

  absl::Status AwaitOutside(int member) {
    const auto deadline = steady_clock::now() + kPatience;
    std::string heard;
    while (steady_clock::now() < deadline) {
      const absl::StatusOr<v1::GetMemberResponse> said = group_->Ask(member);
      if (said.ok() && said->outside() && said->role() == v1::NONE) return absl::OkStatus();
      heard = said.ok() ? said->ShortDebugString() : said.status().ToString();
      Pause();
    }
    return absl::DeadlineExceededError("it does not know that it was removed: " + heard);
  }

  // ---- the load ----

  void StartLoad() {
    load_ = std::make_unique<Load>(
        LoadOptions{
            .address = group_->broker_address(master_), .topic = kTopic, .pause = milliseconds(20)},
        history_);
    load_->Start();
  }

  absl::Status StopLoad() {
    if (load_ == nullptr) return absl::OkStatus();
    const LoadResult result = load_->Stop();
    load_.reset();
    if (result.acknowledged > 0) return absl::OkStatus();
    return absl::InternalError("nothing was acknowledged: " + result.refusal);
  }

  void Pass() { load_->Wait(milliseconds(700)); }
  static void Pause() { poll(nullptr, 0, 50); }

  // Everything, from whoever is master in the end; and the logs are the same.
  absl::Status CheckWhole() {
    RETURN_IF_ERROR(history_.Persist(arguments_.directory + "/acks.txt"));
    HistoryCheck check(history_, kQueues);
    RETURN_IF_ERROR(ReadBack(group_->broker_address(master_), kTopic, check));
    RETURN_IF_ERROR(check.CheckNothingMissing());
    uint64_t confirm = UINT64_MAX;
    for (int i = 0; i < group_->size(); ++i) {
      if (IsRemoved(i)) continue;
      ASSIGN_OR_RETURN(const v1::GetMemberResponse member, group_->Ask(i));
      confirm = std::min({confirm, member.confirm(), member.end()});
    }
    for (int i = 0; i < group_->size(); ++i) {
      if (IsRemoved(i) || i == master_) continue;
      RETURN_IF_ERROR(CompareLogs(group_->store(master_), group_->store(i), confirm, compared_));
    }
    return absl::OkStatus();
  }

  const Arguments& arguments_;
  GroupOptions options_;
  std::unique_ptr<Program> names_;
  std::unique_ptr<Group> group_;
  History history_{kProducers};
  std::unique_ptr<Load> load_;
  std::vector<int> removed_;
  int master_ = 0;
  int members_ = Group::kMembers;
  int commands_ = 0;
  int steps_ = 0;
  uint64_t compared_ = 0;
};

}  // namespace
}  // namespace dunlin::e2e

int main(int argc, char** argv) { return dunlin::e2e::RunBench<dunlin::e2e::Bench>(argc, argv); }
