#include "e2e/chaos/transactions/member.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <thread>

#include "dunlin/client.h"
#include "dunlin/transaction_producer.h"

#include "e2e/chaos/transactions/ledger.h"

namespace dunlin::e2e::transactions {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view kMark = "--member";
constexpr int kThreads = 12;
// In a hundred transactions so many are left alone at one step or the other, and so many are ended
// once more, the same way or the other.
constexpr uint64_t kLeftUndecided = 4;
constexpr uint64_t kLeftDecided = 4;
constexpr uint64_t kRepeated = 2;
constexpr uint64_t kContrary = 2;
// In a hundred questions so many are not answered.
constexpr uint64_t kPutOff = 20;
// After a half message that was not stored: the broker is away.
constexpr int kPauseMs = 200;

class Worker {
 public:
  Worker(Ledger& ledger, TransactionProducer& producer, unsigned seed)
      : ledger_(ledger), producer_(producer), random_(seed) {}

  void Run(const std::atomic<bool>& stop) {
    while (!stop.load()) {
      const int32_t item = ledger_.Begin();
      if (item >= ledger_.items()) return;
      One(item);
    }
  }

 private:
  void One(int32_t item) {
    Message message;
    message.topic = kTopic;
    message.body = BodyOf(item);
    absl::StatusOr<Transaction> transaction = producer_.Prepare(message);
    if (!transaction.ok()) {
      ledger_.deeds().unanswered.fetch_add(1);
      poll(nullptr, 0, kPauseMs);
      return;
    }
    ledger_.deeds().prepared.fetch_add(1);
    uint64_t dice = random_() % 100;
    if (dice < kLeftUndecided) {
      ledger_.deeds().left_undecided.fetch_add(1);
      return;
    }
    // Somebody may have been asked meanwhile, and have given it up.
    const bool commit = ledger_.Decide(item, random_() % 2 == 0) == State::kCommitted;
    dice = random_() % 100;
    if (dice < kLeftDecided) {
      ledger_.deeds().left_decided.fetch_add(1);
      return;
    }
    if (!End(*transaction, commit).ok()) return;  // the broker asks
    ledger_.deeds().ended.fetch_add(1);
    dice = random_() % 100;
    if (dice < kRepeated) {
      End(*transaction, commit).IgnoreError();
    } else if (dice < kRepeated + kContrary) {
      const absl::Status contrary = End(*transaction, !commit);
      if (contrary.ok()) ledger_.Violate(item);
      if (absl::IsFailedPrecondition(contrary)) ledger_.deeds().contrary.fetch_add(1);
    }
  }

  static absl::Status End(Transaction& transaction, bool commit) {
    return commit ? transaction.Commit() : transaction.Rollback();
  }

  Ledger& ledger_;
  TransactionProducer& producer_;
  std::mt19937_64 random_;
};

TransactionProducerOptions OptionsFor(Ledger& ledger, unsigned number) {
  TransactionProducerOptions options;
  options.topics = {kTopic};
  options.request_timeout = milliseconds(3000);
  options.checker = [&ledger, dice = std::make_shared<std::mt19937_64>(number)](
                        const OrphanedTransaction& orphan) {
    ledger.deeds().asked.fetch_add(1);
    const std::optional<int32_t> item = ItemOf(orphan.message.body);
    if (!item.has_value() || *item >= ledger.items() || (*dice)() % 100 < kPutOff) {
      ledger.deeds().put_off.fetch_add(1);
      return Resolution::kUnknown;
    }
    // What its producer has not decided it never will.
    return ledger.Decide(*item, /*commit=*/false) == State::kCommitted ? Resolution::kCommit
                                                                       : Resolution::kRollback;
  };
  return options;
}

}  // namespace

std::string BodyOf(int32_t item) { return std::to_string(item); }

std::optional<int32_t> ItemOf(std::string_view body) {
  int32_t item = 0;
  const char* const end = body.data() + body.size();
  const auto [last, error] = std::from_chars(body.data(), end, item);
  if (error != std::errc() || last != end || item < 0) return std::nullopt;
  return item;
}

std::vector<std::string> CommandLine(const std::string& program, const MemberOptions& options) {
  return {program, std::string(kMark), options.address, options.ledger,
          std::to_string(options.number)};
}

bool ParseMember(int argc, char** argv, MemberOptions& options) {
  if (argc != 5 || kMark != argv[1]) return false;
  options.address = argv[2];
  options.ledger = argv[3];
  options.number = static_cast<unsigned>(std::strtoul(argv[4], nullptr, 10));
  return true;
}

int RunMember(const MemberOptions& options) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);  // of all threads to come
  const absl::StatusOr<std::unique_ptr<Ledger>> ledger = Ledger::Open(options.ledger);
  if (!ledger.ok()) {
    std::fprintf(stderr, "%s\n", ledger.status().ToString().c_str());
    return 1;
  }
  ClientOptions client_options;
  client_options.endpoint = options.address;
  client_options.connect_timeout = milliseconds(0);  // the broker may be away just now
  const absl::StatusOr<Client> client = Client::Connect(client_options);
  if (!client.ok()) return 1;
  absl::StatusOr<TransactionProducer> producer =
      client->MakeTransactionProducer(OptionsFor(**ledger, options.number));
  if (!producer.ok()) {
    std::fprintf(stderr, "%s\n", producer.status().ToString().c_str());
    return 1;
  }
  std::printf("ready on %s\n", options.address.c_str());
  std::fflush(stdout);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i) {
    threads.emplace_back(
        [&, i] { Worker(**ledger, *producer, options.number * kThreads + i).Run(stop); });
  }
  int signal = 0;
  sigwait(&set, &signal);
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  producer->Close();
  return 0;
}

}  // namespace dunlin::e2e::transactions
