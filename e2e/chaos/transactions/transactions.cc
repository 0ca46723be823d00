// transactions: half messages of producers that are killed at every step, through a broker that is
// killed again and again. Whoever is still there says how they ended. A reader holds everything
// that becomes visible against what was decided: no half message, nothing that was rolled back, and
// in the end everything that was committed, once. Then the same from a view that is rebuilt from
// the log.

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "e2e/chaos/transactions/ledger.h"
#include "e2e/chaos/transactions/member.h"
#include "e2e/harness/broker.h"
#include "e2e/harness/client.h"
#include "e2e/harness/program.h"
#include "e2e/harness/report.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/status_macros.h"
#include "services/base/testing/free_ports.h"

namespace dunlin::e2e::transactions {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr int kItems = 100'000;
constexpr int kQuickItems = 10'000;
constexpr size_t kMembers = 3;
constexpr uint32_t kTopicQueues = 4;
// How long one of them lives, in milliseconds.
struct Life {
  int shortest;
  int longest;
};
constexpr Life kBrokerLife{200, 2000};
constexpr Life kMemberLife{100, 2000};
// Nothing gets done for so long: a transaction is lost, or stuck.
constexpr seconds kPatience{60};
// Within so long the broker has taken what a killed producer has sent.
constexpr int kLateMs = 200;

std::string OwnPath() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  return size > 0 ? std::string(path, static_cast<size_t>(size)) : "";
}

// Everything that is visible, held against the ledger.
class Reader {
 public:
  explicit Reader(const Ledger& ledger)
      : ledger_(ledger), seen_(static_cast<size_t>(ledger.items())), contents_(kTopicQueues) {}

  // What is there now. UNAVAILABLE: the broker is away.
  absl::Status Read(V2Client& client) {
    for (uint32_t queue = 0; queue < kTopicQueues; ++queue) {
      std::vector<int32_t>& contents = contents_[queue];
      for (size_t before = SIZE_MAX; before != contents.size();) {
        before = contents.size();
        RETURN_IF_ERROR(
            client
                .Pull({kTopic, queue}, static_cast<int64_t>(before),
                      [&](const v2::Message& message) { return Take(message, contents); })
                .status());
      }
    }
    return absl::OkStatus();
  }

  // DATA_LOSS unless all that was committed was read.
  absl::Status CheckNothingMissing() const {
    for (int32_t item = 0; item < ledger_.items(); ++item) {
      if (ledger_.Get(item) == State::kCommitted && !seen_[static_cast<size_t>(item)]) {
        return absl::DataLossError(fmt::format("transaction {} was committed, and is lost", item));
      }
    }
    return absl::OkStatus();
  }
  int64_t Count() const { return read_; }

 private:
  // The next message of a queue that holds `contents` so far.
  absl::Status Take(const v2::Message& message, std::vector<int32_t>& contents) {
    const std::optional<int32_t> item = ItemOf(message.body());
    if (!item.has_value() || *item >= ledger_.items()) {
      return absl::DataLossError(fmt::format("'{}' was never sent", message.body()));
    }
    if (ledger_.Get(*item) != State::kCommitted) {
      return absl::DataLossError(
          fmt::format("transaction {} is seen, and was {}", *item,
                      ledger_.Get(*item) == State::kRolledBack ? "rolled back" : "not committed"));
    }
    if (seen_[static_cast<size_t>(*item)]) {
      return absl::DataLossError(fmt::format("transaction {} is seen twice", *item));
    }
    if (message.system_properties().queue_offset() != static_cast<int64_t>(contents.size())) {
      return absl::DataLossError(fmt::format("transaction {} stands at {}, not at {}", *item,
                                             message.system_properties().queue_offset(),
                                             contents.size()));
    }
    contents.push_back(*item);
    seen_[static_cast<size_t>(*item)] = true;
    ++read_;
    return absl::OkStatus();
  }

  const Ledger& ledger_;
  std::vector<bool> seen_;
  std::vector<std::vector<int32_t>> contents_;  // by queue and offset
  int64_t read_ = 0;
};

class Bench {
 public:
  explicit Bench(const Arguments& arguments)
      : arguments_(arguments),
        items_(arguments.count > 0 ? arguments.count
               : arguments.quick   ? kQuickItems
                                   : kItems),
        random_(arguments.seed),
        broker_{.program = arguments.dunlin,
                .data_dir = arguments.directory + "/data",
                .stderr_file = arguments.directory + "/dunlin.log",
                .settings = {"broker.transactions.first_check_ms=400",
                             "broker.transactions.check_interval_ms=500",
                             "broker.transactions.max_checks=1000"}} {}

  absl::Status Run() {
    address_ = FreeAddress();
    broker_.settings.push_back("server.listen_address=" + address_);
    ASSIGN_OR_RETURN(ledger_, Ledger::Create(arguments_.directory + "/ledger", items_));
    ASSIGN_OR_RETURN(program_, StartBroker(broker_));
    RETURN_IF_ERROR(CreateTopic());
    Reader reader(*ledger_);
    const auto begun = steady_clock::now();
    RETURN_IF_ERROR(Disturb(reader));
    seconds_ = std::chrono::duration<double>(steady_clock::now() - begun).count();
    RETURN_IF_ERROR(reader.CheckNothingMissing());
    committed_ = reader.Count();
    RETURN_IF_ERROR(CheckRebuilt());
    checked_ = items_;
    return absl::OkStatus();
  }

  Result Summary() {
    Result result{.bench = "transactions",
                  .metric = "transactions of which exactly what was decided is seen",
                  .value = static_cast<double>(checked_),
                  .unit = "transactions",
                  .bound = static_cast<double>(items_)};
    result.detail["committed"] = committed_;
    result.detail["seconds"] = Rounded(seconds_, 1);
    result.detail["broker_kills"] = broker_kills_;
    result.detail["producers_started"] = joined_;
    result.detail["producers_killed"] = members_killed_;
    if (ledger_ == nullptr) return result;
    const Ledger::Deeds& deeds = ledger_->deeds();
    result.detail["prepared"] = deeds.prepared.load();
    result.detail["half_messages_without_an_answer"] = deeds.unanswered.load();
    result.detail["left_undecided_on_purpose"] = deeds.left_undecided.load();
    result.detail["left_decided_on_purpose"] = deeds.left_decided.load();
    result.detail["ended_by_their_producer"] = deeds.ended.load();
    result.detail["checks_received"] = deeds.asked.load();
    result.detail["checks_not_answered_on_purpose"] = deeds.put_off.load();
    result.detail["contrary_ends_refused"] = deeds.contrary.load();
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

  // A connection of its own: one that failed is not tried again for a while.
  std::unique_ptr<admin::v1::AdminService::Stub> Admin() {
    return admin::v1::AdminService::NewStub(MakeChannel(address_, ++channels_));
  }

  absl::Status CreateTopic() {
    admin::v1::CreateTopicRequest request;
    request.mutable_topic()->set_name(kTopic);
    request.mutable_topic()->set_queues(kTopicQueues);
    request.mutable_topic()->add_kinds(admin::v1::TRANSACTION);
    admin::v1::Topic created;
    grpc::ClientContext context;
    const grpc::Status status = Admin()->CreateTopic(&context, request, &created);
    return status.ok() ? absl::OkStatus() : absl::InternalError(status.error_message());
  }

  // Whether nothing is open any more, and all that was stored can be read.
  bool IsSettled() {
    admin::v1::Broker broker;
    grpc::ClientContext context;
    if (!Admin()->GetBroker(&context, {}, &broker).ok()) return false;
    open_ = broker.open_transactions();
    return open_ == 0 && broker.appended() == broker.dispatched();
  }

  // Kills and restarts until everything has ended.
  absl::Status Disturb(Reader& reader) {
    std::vector<Member> members(kMembers);
    auto client = std::make_unique<V2Client>(address_);
    auto broker_end = steady_clock::now() + Draw(kBrokerLife);
    auto told = steady_clock::now();
    for (;;) {
      poll(nullptr, 0, 10);
      RETURN_IF_ERROR(ledger_->Verdict());
      RETURN_IF_ERROR(program_->CheckRunning());
      const bool all_begun = ledger_->begun() >= items_;
      bool done = false;
      if (all_begun && IsSettled()) {
        RETURN_IF_ERROR(StopMembers(members));  // what they were about to do is done now
        done = IsSettled();
      }
      const absl::Status read = reader.Read(*client);
      if (!read.ok() && !absl::IsUnavailable(read)) return read;
      if (done) return read;
      const auto now = steady_clock::now();
      RETURN_IF_ERROR(CheckProgress(reader, now));
      RETURN_IF_ERROR(ReplaceMembers(members, now));
      if (now >= broker_end) {
        program_->Kill();
        ++broker_kills_;
        ASSIGN_OR_RETURN(program_, StartBroker(broker_));
        client = std::make_unique<V2Client>(address_);
        // In the end it is left alone: checks need their time.
        broker_end = steady_clock::now() + (all_begun ? seconds(5) : Draw(kBrokerLife));
      }
      if (now - told < seconds(10)) continue;
      told = now;
      Progress(fmt::format(
          "{} of {} begun, {} open, {} read; {} kills of the broker, {} of "
          "producers",
          ledger_->begun(), items_, open_, reader.Count(), broker_kills_, members_killed_));
    }
  }

  absl::Status StopMembers(std::vector<Member>& members) {
    for (Member& member : members) {
      if (member.program != nullptr) RETURN_IF_ERROR(member.program->Stop());
      member = Member();
    }
    poll(nullptr, 0, kLateMs);
    return absl::OkStatus();
  }

  absl::Status CheckProgress(const Reader& reader, steady_clock::time_point now) {
    const int64_t mark = reader.Count() + ledger_->begun() - open_;
    if (mark != last_mark_) {
      last_mark_ = mark;
      last_change_ = now;
    }
    if (now - last_change_ < kPatience) return absl::OkStatus();
    return absl::DataLossError(fmt::format("{} transactions stay open", open_));
  }

  // Producers leave, in good order or not, and others come.
  absl::Status ReplaceMembers(std::vector<Member>& members, steady_clock::time_point now) {
    for (Member& member : members) {
      if (member.program != nullptr) RETURN_IF_ERROR(member.program->CheckRunning());
      if (now < member.end) continue;
      if (member.program != nullptr && random_() % 4 == 0) {
        RETURN_IF_ERROR(member.program->Stop());
      } else if (member.program != nullptr) {
        member.program->Kill();
        ++members_killed_;
      }
      MemberOptions options;
      options.address = address_;
      options.ledger = arguments_.directory + "/ledger";
      options.number = static_cast<unsigned>(++joined_);
      ASSIGN_OR_RETURN(member.program, Program::Start(CommandLine(OwnPath(), options),
                                                      arguments_.directory + "/members.log"));
      member.end = now + Draw(kMemberLife);
    }
    return absl::OkStatus();
  }

  // The same is seen when the view is made anew from the log.
  absl::Status CheckRebuilt() {
    program_->Kill();
    std::filesystem::remove_all(arguments_.directory + "/data/store/state");
    ASSIGN_OR_RETURN(program_, StartBroker(broker_));
    V2Client client(address_);
    Reader reader(*ledger_);
    RETURN_IF_ERROR(reader.Read(client));
    RETURN_IF_ERROR(reader.CheckNothingMissing());
    if (!IsSettled()) return absl::DataLossError(fmt::format("{} are open again", open_));
    return program_->Stop();
  }

  const Arguments arguments_;
  const int items_;
  std::mt19937_64 random_;
  BrokerOptions broker_;
  std::string address_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Program> program_;
  int broker_kills_ = 0;
  int joined_ = 0;
  int channels_ = 0;
  int members_killed_ = 0;
  int checked_ = 0;
  int64_t committed_ = 0;
  int64_t open_ = 0;
  int64_t last_mark_ = -1;
  steady_clock::time_point last_change_;
  double seconds_ = 0;
};

}  // namespace
}  // namespace dunlin::e2e::transactions

int main(int argc, char** argv) {
  namespace transactions = dunlin::e2e::transactions;
  transactions::MemberOptions member;
  if (transactions::ParseMember(argc, argv, member)) return transactions::RunMember(member);
  return dunlin::e2e::RunBench<transactions::Bench>(argc, argv);
}
