// fifo: ordered messages of many groups through consumers, each a process, that join, leave, are
// killed, fail, forget and repeat, while the broker is killed again and again. Per message group,
// the first successful processing of each message must come in the order in which they were sent,
// and all of them must come. Then, with everything alive: message groups that are stuck must not
// hold up the others of their queue.

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "dunlin/client.h"
#include "dunlin/producer.h"

#include "e2e/chaos/fifo/calls.h"
#include "e2e/chaos/fifo/ledger.h"
#include "e2e/chaos/fifo/member.h"
#include "e2e/chaos/fifo/stuck.h"
#include "e2e/harness/broker.h"
#include "e2e/harness/program.h"
#include "e2e/harness/report.h"
#include "services/base/mutex.h"
#include "services/base/status_macros.h"
#include "services/base/testing/free_ports.h"

namespace dunlin::e2e::fifo {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr int kItems = 1'000'000;
constexpr int kQuickItems = 100'000;
constexpr int kMostGroups = 10'000;
constexpr int kLeastPerGroup = 20;
constexpr int kMembers = 4;
constexpr int kSentAtOnce = 64;
// How long one of them lives, in milliseconds.
struct Life {
  int shortest;
  int longest;
};
constexpr Life kBrokerLife{300, 3000};
constexpr Life kMemberLife{100, 1500};
// Nothing gets done for so long: a message is lost, or a group is stuck.
constexpr seconds kPatience{60};
constexpr StuckRun kStuckRun{.messages = 20'000, .stuck = 16};
constexpr int kStuckPairs = 3;  // with and without, in turn

std::string OwnPath() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  return size > 0 ? std::string(path, static_cast<size_t>(size)) : "";
}

class Bench {
 public:
  explicit Bench(const Arguments& arguments)
      : arguments_(arguments),
        items_(arguments.count > 0 ? arguments.count
               : arguments.quick   ? kQuickItems
                                   : kItems),
        groups_(std::clamp(items_ / kLeastPerGroup, 1, kMostGroups)),
        random_(arguments.seed),
        broker_{.program = arguments.dunlin,
                .data_dir = arguments.directory + "/data",
                .stderr_file = arguments.directory + "/dunlin.log",
                .settings = {
                    fmt::format("broker.min_invisible_duration_ms={}", kLeaseSeconds * 1000)}} {}

  absl::Status Run() {
    address_ = FreeAddress();
    broker_.settings.push_back("server.listen_address=" + address_);
    ASSIGN_OR_RETURN(ledger_, Ledger::Create(arguments_.directory + "/ledger", groups_,
                                             std::max(1, items_ / groups_)));
    ASSIGN_OR_RETURN(program_, StartBroker(broker_));
    RETURN_IF_ERROR(CreateTopic(address_, kTopic, kQueues));
    RETURN_IF_ERROR(CreateOrderedGroup(address_, kGroup));
    const auto begun = steady_clock::now();
    std::thread calls([this] { ProduceByCalls(); });
    std::thread stream([this] { ProduceByStream(); });
    absl::Status status = Disturb();
    stop_.store(true);
    calls.join();
    stream.join();
    seconds_ = std::chrono::duration<double>(steady_clock::now() - begun).count();
    RETURN_IF_ERROR(ledger_->Verdict());
    RETURN_IF_ERROR(Violation());
    RETURN_IF_ERROR(status);
    return MeasureStuck();
  }

  Result Summary() {
    const double all = ledger_ == nullptr ? 1 : double{1} * groups_ * ledger_->per_group();
    Result result{.bench = "fifo",
                  .metric = "messages first processed in the order of their group",
                  .value = ledger_ == nullptr ? 0 : all - static_cast<double>(ledger_->left()),
                  .unit = "messages",
                  .bound = all};
    result.detail["message_groups"] = groups_;
    result.detail["seconds"] = Rounded(seconds_, 1);
    result.detail["broker_kills"] = kills_;
    result.detail["members_joined"] = joined_;
    result.detail["members_killed"] = members_killed_;
    result.detail["members_left"] = members_left_;
    if (ledger_ != nullptr) {
      const Ledger::Deeds& deeds = ledger_->deeds();
      result.detail["processed_by_streams"] = deeds.by_streams.load();
      result.detail["processed_again"] = deeds.processed_again.load();
      result.detail["refused_on_purpose"] = deeds.refused.load();
      result.detail["forgotten_on_purpose"] = deeds.forgotten.load();
      result.detail["receives_repeated"] = deeds.repeated.load();
    }
    result.detail["stuck_groups"] = kStuckRun.stuck;
    result.detail["others_per_second"] = Rounded(rate_alone_, 0);
    result.detail["others_per_second_beside_stuck_groups"] = Rounded(rate_beside_stuck_, 0);
    return result;
  }

 private:
  struct Member {
    std::unique_ptr<Program> program;
    steady_clock::time_point end;
  };

  milliseconds Draw(const Life& life) {
    return milliseconds(std::uniform_int_distribution<int>(life.shortest, life.longest)(random_));
  }

  // Kills and restarts until everything is processed.
  absl::Status Disturb() {
    std::vector<Member> members(kMembers);
    auto broker_end = steady_clock::now() + Draw(kBrokerLife);
    auto told = steady_clock::now();
    while (ledger_->left() > 0 && ledger_->Verdict().ok() && Violation().ok()) {
      poll(nullptr, 0, 10);
      const auto now = steady_clock::now();
      RETURN_IF_ERROR(CheckProgress(now));
      RETURN_IF_ERROR(program_->CheckRunning());
      for (Member& member : members) {
        if (member.program != nullptr) RETURN_IF_ERROR(member.program->CheckRunning());
        if (now >= member.end) RETURN_IF_ERROR(Replace(member));
      }
      if (now >= broker_end) {
        program_->Kill();
        ++kills_;
        ASSIGN_OR_RETURN(program_, StartBroker(broker_));
        broker_end = steady_clock::now() + Draw(kBrokerLife);
      }
      if (now - told < seconds(10)) continue;
      told = now;
      Progress(fmt::format("{} messages left; {} kills of the broker, {} of members",
                           ledger_->left(), kills_, members_killed_));
    }
    for (Member& member : members) {
      if (member.program != nullptr) RETURN_IF_ERROR(member.program->Stop());
    }
    return absl::OkStatus();
  }

  absl::Status CheckProgress(steady_clock::time_point now) {
    const int64_t left = ledger_->left();
    if (left != last_left_) {
      last_left_ = left;
      last_change_ = now;
    }
    if (now - last_change_ < kPatience) return absl::OkStatus();
    for (int32_t group = 0; group < groups_; ++group) {
      if (ledger_->processed(group) == ledger_->per_group()) continue;
      return absl::DataLossError(fmt::format("{} messages do not come, among them {} of group {}",
                                             left, ledger_->processed(group), group));
    }
    return absl::InternalError("the ledger disagrees with itself");
  }

  // One leaves, in good order or not, and another joins.
  absl::Status Replace(Member& member) {
    if (member.program != nullptr && random_() % 2 == 0) {
      RETURN_IF_ERROR(member.program->Stop());
      ++members_left_;
    } else if (member.program != nullptr) {
      member.program->Kill();
      ++members_killed_;
    }
    MemberOptions options;
    options.streams = joined_ % 3 == 2;  // they are the faster ones
    options.address = address_;
    options.ledger = arguments_.directory + "/ledger";
    options.number = static_cast<unsigned>(++joined_);
    ASSIGN_OR_RETURN(member.program, Program::Start(CommandLine(OwnPath(), options),
                                                    arguments_.directory + "/members.log"));
    member.end = steady_clock::now() + Draw(kMemberLife);
    return absl::OkStatus();
  }

  // Even message groups, one message of each after the other was answered. What got no answer is
  // sent again: it may be there twice, in its place.
  void ProduceByCalls() {
    Link link(address_, 0);
    for (int number = 0; number < ledger_->per_group(); ++number) {
      for (int group = 0; group < groups_;) {
        v2::SendMessageRequest request;
        for (; group < groups_ && request.messages_size() < kSentAtOnce; group += 2) {
          AddMessage(request, kTopic, {group, number});
        }
        while (!link.Send(request)) {
          if (stop_.load()) return;
        }
      }
    }
  }

  // Odd message groups, by the C++ SDK, which sends again itself.
  void ProduceByStream() {
    ClientOptions client_options;
    client_options.endpoint = address_;
    client_options.connect_timeout = milliseconds(0);
    const absl::StatusOr<Client> client = Client::Connect(client_options);
    if (!client.ok()) return Violate(client.status());
    ProducerOptions options;
    options.max_pending_bytes = 4u << 20;
    options.on_delivery = [this](const DeliveryReport& report) {
      if (!report.status.ok() && !stop_.load()) Violate(report.status);
    };
    absl::StatusOr<Producer> producer = client->MakeProducer(options);
    if (!producer.ok()) return Violate(producer.status());
    Message message;
    message.topic = kTopic;
    for (int number = 0; number < ledger_->per_group(); ++number) {
      for (int group = 1; group < groups_ && !stop_.load(); group += 2) {
        message.body = BodyOf({group, number});
        message.message_group = MessageGroupOf(group);
        const absl::Status sent = producer->SendAsync(message);
        if (!sent.ok()) return Violate(sent);
      }
    }
    const absl::Status flushed = producer->Flush(kPatience);
    if (!flushed.ok() && !stop_.load()) Violate(flushed);
  }

  absl::Status MeasureStuck() {
    std::vector<double> alone;
    std::vector<double> beside;
    for (int pair = 0; pair < kStuckPairs; ++pair) {
      StuckRun run = kStuckRun;
      run.messages = std::min(run.messages, items_);
      ASSIGN_OR_RETURN(const double with,
                       ConsumePastStuck(address_, fmt::format("some-stuck-{}", pair), run));
      beside.push_back(with);
      run.stuck = 0;
      ASSIGN_OR_RETURN(const double without,
                       ConsumePastStuck(address_, fmt::format("none-stuck-{}", pair), run));
      alone.push_back(without);
    }
    rate_alone_ = Quantile(alone, 0.5);
    rate_beside_stuck_ = Quantile(beside, 0.5);
    return absl::OkStatus();
  }

  void Violate(const absl::Status& status) {
    MutexLock lock(mutex_);
    if (violation_.ok()) violation_ = status;
  }
  absl::Status Violation() {
    MutexLock lock(mutex_);
    return violation_;
  }

  const Arguments arguments_;
  const int items_;
  const int groups_;
  std::mt19937_64 random_;
  BrokerOptions broker_;
  std::string address_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Program> program_;
  std::atomic<bool> stop_{false};
  int kills_ = 0;
  int joined_ = 0;
  int members_killed_ = 0;
  int members_left_ = 0;
  int64_t last_left_ = -1;
  steady_clock::time_point last_change_;
  double seconds_ = 0;
  double rate_alone_ = 0;
  double rate_beside_stuck_ = 0;

  Mutex mutex_;
  absl::Status violation_ ABSL_GUARDED_BY(mutex_);  // of a producer
};

}  // namespace
}  // namespace dunlin::e2e::fifo

int main(int argc, char** argv) {
  namespace fifo = dunlin::e2e::fifo;
  fifo::MemberOptions member;
  if (fifo::ParseMember(argc, argv, member)) return fifo::RunMember(member);
  return dunlin::e2e::RunBench<fifo::Bench>(argc, argv);
}
