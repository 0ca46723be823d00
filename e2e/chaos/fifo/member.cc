#include "e2e/chaos/fifo/member.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <set>
#include <string_view>
#include <thread>

#include "dunlin/client.h"
#include "dunlin/push_consumer.h"

#include "e2e/chaos/fifo/calls.h"
#include "e2e/chaos/fifo/ledger.h"
#include "services/base/mutex.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e::fifo {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::string_view kMark = "--member";
// In a hundred messages so many are refused, and so many left to their leases.
constexpr uint64_t kRefused = 5;
constexpr uint64_t kForgotten = 1;
constexpr uint64_t kLongestDelayMs = 100;
// One receive in so many is repeated as if its answer had been lost.
constexpr uint64_t kRepeatedIn = 20;
constexpr int kLargestBatch = 64;

class Poller {
 public:
  Poller(Ledger& ledger, const MemberOptions& options)
      : ledger_(ledger),
        number_(options.number),
        random_(options.number),
        link_(options.address, static_cast<int>(options.number)) {}

  void Run(const std::atomic<bool>& stop) {
    for (uint64_t poll = 0; !stop.load() && ledger_.left() > 0; ++poll) {
      const v2::ReceiveMessageRequest request =
          ReceiveRequest(kTopic, kGroup, static_cast<int>(1 + random_() % kLargestBatch),
                         seconds(kLeaseSeconds), fmt::format("{}-{}", number_, poll));
      std::vector<v2::Message> messages;
      bool answered = link_.Receive(request, messages);
      if (!answered || random_() % kRepeatedIn == 0) {
        ledger_.deeds().repeated.fetch_add(1);
        answered = link_.Receive(request, messages);
      }
      if (answered) Work(request, messages);
    }
  }

 private:
  void Work(const v2::ReceiveMessageRequest& request, const std::vector<v2::Message>& messages) {
    std::set<std::string_view> given_up;  // message groups whose batch ended with a failure
    std::vector<const v2::Message*> done;
    for (const v2::Message& message : messages) {
      const std::string& group = message.system_properties().message_group();
      if (given_up.contains(group)) continue;
      const uint64_t dice = random_() % 100;
      if (dice < kForgotten) {
        ledger_.deeds().forgotten.fetch_add(1);
        given_up.insert(group);
        continue;
      }
      if (dice < kForgotten + kRefused) {
        ledger_.deeds().refused.fetch_add(1);
        given_up.insert(group);
        link_.Refuse(request, message, milliseconds(random_() % kLongestDelayMs));
        continue;
      }
      const std::optional<Name> name = NameOf(message.body());
      if (!name.has_value() || !ledger_.Process(name->group, name->number).ok()) return;
      done.push_back(&message);
      if (random_() % 16 != 0) continue;
      link_.Acknowledge(request, done);
      done.clear();
    }
    link_.Acknowledge(request, done);
  }

  Ledger& ledger_;
  const unsigned number_;
  std::mt19937_64 random_;
  Link link_;
};

absl::StatusOr<PushConsumer> Subscribe(Ledger& ledger, const MemberOptions& options) {
  ClientOptions client_options;
  client_options.endpoint = options.address;
  client_options.connect_timeout = milliseconds(0);  // the broker may be away just now
  ASSIGN_OR_RETURN(const Client client, Client::Connect(client_options));
  PushConsumerOptions consumer;
  consumer.group = kGroup;
  consumer.subscriptions = {{kTopic}};
  consumer.invisible_duration = seconds(kLeaseSeconds);
  consumer.request_timeout = seconds(2);
  consumer.max_unsettled = 256;
  consumer.threads = 2;
  consumer.retry_delay = milliseconds(10);
  consumer.listener = [&ledger, dice = std::make_shared<std::atomic<uint64_t>>(options.number)](
                          const ReceivedMessage& message) {
    if (std::mt19937_64(dice->fetch_add(1))() % 100 < kRefused) {
      ledger.deeds().refused.fetch_add(1);
      return ConsumeResult::kRetry;
    }
    const std::optional<Name> name = NameOf(message.body());
    if (!name.has_value() || !ledger.Process(name->group, name->number).ok()) {
      return ConsumeResult::kRetry;
    }
    ledger.deeds().by_streams.fetch_add(1);
    return ConsumeResult::kAck;
  };
  return client.MakePushConsumer(consumer);
}

void AwaitTermination(const sigset_t& set) {
  int signal = 0;
  sigwait(&set, &signal);
}

}  // namespace

std::vector<std::string> CommandLine(const std::string& program, const MemberOptions& options) {
  return {program,         std::string(kMark), options.streams ? "streams" : "polls",
          options.address, options.ledger,     std::to_string(options.number)};
}

bool ParseMember(int argc, char** argv, MemberOptions& options) {
  if (argc != 6 || kMark != argv[1]) return false;
  options.streams = std::string_view(argv[2]) == "streams";
  options.address = argv[3];
  options.ledger = argv[4];
  options.number = static_cast<unsigned>(std::strtoul(argv[5], nullptr, 10));
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
  std::printf("ready on %s\n", options.address.c_str());
  std::fflush(stdout);
  if (!options.streams) {
    std::atomic<bool> stop{false};
    std::thread thread([&] { Poller(**ledger, options).Run(stop); });
    AwaitTermination(set);
    stop.store(true);
    thread.join();
    return 0;
  }
  absl::StatusOr<PushConsumer> consumer = Subscribe(**ledger, options);
  while (absl::IsUnavailable(consumer.status()) || absl::IsDeadlineExceeded(consumer.status())) {
    const timespec moment{.tv_sec = 0, .tv_nsec = 20'000'000};
    if (sigtimedwait(&set, nullptr, &moment) == SIGTERM) return 0;
    consumer = Subscribe(**ledger, options);
  }
  if (!consumer.ok()) {
    std::fprintf(stderr, "%s\n", consumer.status().ToString().c_str());
    return 1;
  }
  AwaitTermination(set);
  consumer->Close();
  return 0;
}

}  // namespace dunlin::e2e::fifo
