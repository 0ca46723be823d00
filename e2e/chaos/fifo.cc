// fifo: messages of many groups through consumers that fail, forget and repeat, while the broker is
// killed again and again. Per message group, the first successful processing of each message must
// come in the order in which they were sent, and all of them must come.

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "e2e/harness/broker.h"
#include "e2e/harness/client.h"
#include "e2e/harness/program.h"
#include "e2e/harness/report.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/mutex.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr int kItems = 100'000;
constexpr int kQuickItems = 5'000;
constexpr int kPerGroup = 50;
constexpr int kProducers = 2;
constexpr int kConsumers = 4;
constexpr int kSentAtOnce = 32;
constexpr milliseconds kLease{1000};
constexpr int kShortestLifeMs = 300;
constexpr int kLongestLifeMs = 2500;
// Nothing gets done for so long: a message is lost, or a group is stuck.
constexpr seconds kPatience{60};
constexpr char kTopic[] = "fifo";
constexpr char kGroup[] = "ordered";

// What was processed, of each message group up to where.
class Ledger {
 public:
  Ledger(int groups, int per_group)
      : next_(static_cast<size_t>(groups)), left_(int64_t{groups} * per_group) {}

  // DATA_LOSS when the message overtakes another one.
  absl::Status Process(size_t group, int number) {
    MutexLock lock(mutex_);
    int& next = next_.at(group);
    if (number > next) {
      return absl::DataLossError(
          fmt::format("message {} of group {} was delivered before message {} was processed",
                      number, group, next));
    }
    if (number < next) {
      ++repeated_;
      return absl::OkStatus();
    }
    ++next;
    --left_;
    last_ = steady_clock::now();
    return absl::OkStatus();
  }
  bool IsComplete() {
    MutexLock lock(mutex_);
    return left_ == 0;
  }
  int64_t left() {
    MutexLock lock(mutex_);
    return left_;
  }
  int64_t repeated() {
    MutexLock lock(mutex_);
    return repeated_;
  }
  absl::Status CheckProgress() {
    MutexLock lock(mutex_);
    if (left_ == 0 || steady_clock::now() - last_ < kPatience) return absl::OkStatus();
    for (size_t group = 0; group < next_.size(); ++group) {
      if (next_[group] == kPerGroup) continue;
      return absl::DataLossError(fmt::format("{} messages do not come, among them {} of group {}",
                                             left_, next_[group], group));
    }
    return absl::InternalError("the ledger disagrees with itself");
  }

 private:
  Mutex mutex_;
  std::vector<int> next_ ABSL_GUARDED_BY(mutex_);
  int64_t left_ ABSL_GUARDED_BY(mutex_);
  int64_t repeated_ ABSL_GUARDED_BY(mutex_) = 0;
  steady_clock::time_point last_ ABSL_GUARDED_BY(mutex_) = steady_clock::now();
};

// Where the broker is now: each start has a port of its own.
class Address {
 public:
  void Set(const std::string& address) {
    MutexLock lock(mutex_);
    address_ = address;
    changed_.SignalAll();
  }
  std::string Get() {
    MutexLock lock(mutex_);
    return address_;
  }
  // Another one than `old`, or `old` after a while.
  std::string AwaitOther(const std::string& old) {
    MutexLock lock(mutex_);
    if (address_ == old) changed_.WaitUntil(mutex_, steady_clock::now() + milliseconds(100));
    return address_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::string address_ ABSL_GUARDED_BY(mutex_);
};

// A connection that follows the broker.
class Link {
 public:
  Link(Address& address, int number) : address_(address), number_(number) {
    Connect(address.Get());
  }

  v2::MessagingService::Stub& stub() { return *stub_; }
  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    AddHeaders(*context);
    context->set_deadline(std::chrono::system_clock::now() + seconds(5));
    return context;
  }
  // The call failed.
  void Renew() { Connect(address_.AwaitOther(connected_)); }

 private:
  void Connect(const std::string& address) {
    connected_ = address;
    stub_ = v2::MessagingService::NewStub(MakeChannel(address, number_));
  }

  Address& address_;
  const int number_;
  std::string connected_;
  std::unique_ptr<v2::MessagingService::Stub> stub_;
};

class Bench {
 public:
  explicit Bench(const Arguments& arguments)
      : items_(arguments.count > 0 ? arguments.count
               : arguments.quick   ? kQuickItems
                                   : kItems),
        groups_(std::max(1, items_ / kPerGroup)),
        random_(arguments.seed),
        ledger_(groups_, kPerGroup),
        broker_{.program = arguments.dunlin,
                .data_dir = arguments.directory + "/data",
                .stderr_file = arguments.directory + "/dunlin.log",
                .settings = {fmt::format("broker.min_invisible_duration_ms={}", kLease.count())}} {}

  absl::Status Run() {
    ASSIGN_OR_RETURN(std::unique_ptr<Program> program, StartBroker(broker_));
    address_.Set(program->address());
    RETURN_IF_ERROR(Prepare(program->address()));
    std::vector<std::thread> threads;
    for (int i = 0; i < kProducers; ++i) threads.emplace_back([this, i] { Produce(i); });
    for (int i = 0; i < kConsumers; ++i) {
      threads.emplace_back([this, i, seed = random_()] { Consume(kProducers + i, seed); });
    }
    const absl::Status status = Kill(program);
    stop_.store(true);
    for (std::thread& thread : threads) thread.join();
    MutexLock lock(mutex_);
    return violation_.ok() ? status : violation_;
  }

  Result Summary() {
    Result result{.bench = "fifo",
                  .metric = "messages first processed in the order of their group",
                  .value = static_cast<double>(groups_ * kPerGroup - ledger_.left()),
                  .unit = "messages",
                  .bound = static_cast<double>(groups_ * kPerGroup)};
    result.detail["message_groups"] = groups_;
    result.detail["kills"] = kills_;
    result.detail["failed_on_purpose"] = failed_.load();
    result.detail["forgotten_on_purpose"] = forgotten_.load();
    result.detail["attempts_repeated"] = repeats_.load();
    result.detail["processed_again"] = ledger_.repeated();
    return result;
  }

 private:
  static absl::Status Prepare(const std::string& address) {
    const auto admin = admin::v1::AdminService::NewStub(
        grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
    admin::v1::CreateTopicRequest topic;
    topic.mutable_topic()->set_name(kTopic);
    topic.mutable_topic()->set_queues(kQueues);
    topic.mutable_topic()->add_kinds(admin::v1::FIFO);
    admin::v1::Topic created;
    grpc::ClientContext topic_context;
    grpc::Status status = admin->CreateTopic(&topic_context, topic, &created);
    if (!status.ok()) return absl::InternalError(status.error_message());
    admin::v1::CreateGroupRequest group;
    group.mutable_group()->set_name(kGroup);
    group.mutable_group()->set_delivery_order(admin::v1::IN_ORDER);
    group.mutable_group()->set_max_attempts(1'000'000);  // no dead letters
    admin::v1::Group created_group;
    grpc::ClientContext group_context;
    status = admin->CreateGroup(&group_context, group, &created_group);
    return status.ok() ? absl::OkStatus() : absl::InternalError(status.error_message());
  }

  // Kills and restarts until everything is processed.
  absl::Status Kill(std::unique_ptr<Program>& program) {
    steady_clock::time_point told = steady_clock::now();
    while (!ledger_.IsComplete() && !HasViolation()) {
      Pause(milliseconds(
          std::uniform_int_distribution<int>(kShortestLifeMs, kLongestLifeMs)(random_)));
      RETURN_IF_ERROR(ledger_.CheckProgress());
      RETURN_IF_ERROR(program->CheckRunning());
      program->Kill();
      ++kills_;
      ASSIGN_OR_RETURN(program, StartBroker(broker_));
      address_.Set(program->address());
      if (steady_clock::now() - told < seconds(10)) continue;
      told = steady_clock::now();
      Progress(fmt::format("{} messages left after {} kills", ledger_.left(), kills_));
    }
    return absl::OkStatus();
  }

  // Each message group is sent by one thread, one message after the other was answered. One whose
  // answer is lost is sent again: it may be there twice, in its place.
  void Produce(int number) {
    Link link(address_, number);
    for (int first = number * kSentAtOnce; first < groups_; first += kProducers * kSentAtOnce) {
      for (int i = 0; i < kPerGroup && !stop_.load(); ++i) {
        v2::SendMessageRequest request;
        for (int group = first; group < std::min(first + kSentAtOnce, groups_); ++group) {
          v2::Message& message = *request.add_messages();
          message.mutable_topic()->set_name(kTopic);
          message.set_body(fmt::format("{} {}", group, i));
          v2::SystemProperties& system = *message.mutable_system_properties();
          system.set_message_id(fmt::format("{}-{}", group, i));
          system.set_message_type(v2::FIFO);
          system.set_message_group(fmt::format("group-{}", group));
        }
        while (!stop_.load()) {
          v2::SendMessageResponse response;
          const grpc::Status status =
              link.stub().SendMessage(Link::Context().get(), request, &response);
          if (status.ok() && response.status().code() == v2::OK) break;
          link.Renew();
        }
      }
    }
  }

  void Consume(int number, uint64_t seed) {
    std::mt19937_64 random(seed);
    Link link(address_, number);
    for (uint64_t poll = 0; !stop_.load() && !ledger_.IsComplete(); ++poll) {
      v2::ReceiveMessageRequest request;
      request.mutable_group()->set_name(kGroup);
      request.mutable_message_queue()->mutable_topic()->set_name(kTopic);
      request.mutable_message_queue()->set_id(-1);
      request.mutable_filter_expression()->set_type(v2::TAG);
      request.mutable_filter_expression()->set_expression("*");
      request.set_batch_size(static_cast<int32_t>(1 + random() % 32));
      request.mutable_invisible_duration()->set_seconds(kLease.count() / 1000);
      request.mutable_long_polling_timeout()->set_seconds(1);
      request.set_attempt_id(fmt::format("{}-{}", number, poll));
      std::vector<v2::Message> messages;
      bool answered = Receive(link, request, messages);
      if (!answered || random() % 20 == 0) {
        // As a client whose answer was lost.
        repeats_.fetch_add(1);
        answered = Receive(link, request, messages);
      }
      if (answered) Work(link, messages, random);
    }
  }

  static bool Receive(Link& link, const v2::ReceiveMessageRequest& request,
                      std::vector<v2::Message>& messages) {
    messages.clear();
    const auto context = Link::Context();
    const auto stream = link.stub().ReceiveMessage(context.get(), request);
    v2::ReceiveMessageResponse element;
    while (stream->Read(&element)) {
      if (element.has_message()) messages.push_back(element.message());
    }
    if (stream->Finish().ok()) return true;
    link.Renew();
    return false;
  }

  void Work(Link& link, const std::vector<v2::Message>& messages, std::mt19937_64& random) {
    std::set<std::string> given_up;  // message groups whose batch ended with a failure
    for (const v2::Message& message : messages) {
      const std::string& name = message.system_properties().message_group();
      if (given_up.contains(name)) continue;
      const uint64_t dice = random() % 100;
      if (dice < 2) {
        forgotten_.fetch_add(1);  // until its lease ends
        given_up.insert(name);
        continue;
      }
      if (dice < 12) {
        failed_.fetch_add(1);
        given_up.insert(name);
        Nack(link, message, milliseconds(random() % 100));
        continue;
      }
      size_t number_at = 0;
      const size_t group = std::stoul(message.body(), &number_at);
      const absl::Status status =
          ledger_.Process(group, std::stoi(message.body().substr(number_at)));
      if (!status.ok()) {
        MutexLock lock(mutex_);
        if (violation_.ok()) violation_ = status;
        return;
      }
      Ack(link, message);
    }
  }

  // Whatever comes of the next two, the message is processed, or comes again.
  static void Ack(Link& link, const v2::Message& message) {
    v2::AckMessageRequest request;
    request.mutable_topic()->set_name(kTopic);
    request.mutable_group()->set_name(kGroup);
    v2::AckMessageEntry& entry = *request.add_entries();
    entry.set_message_id(message.system_properties().message_id());
    entry.set_receipt_handle(message.system_properties().receipt_handle());
    v2::AckMessageResponse response;
    if (!link.stub().AckMessage(Link::Context().get(), request, &response).ok()) link.Renew();
  }
  static void Nack(Link& link, const v2::Message& message, milliseconds delay) {
    v2::ChangeInvisibleDurationRequest request;
    request.mutable_topic()->set_name(kTopic);
    request.mutable_group()->set_name(kGroup);
    request.set_receipt_handle(message.system_properties().receipt_handle());
    request.mutable_invisible_duration()->set_nanos(
        static_cast<int32_t>(std::chrono::nanoseconds(delay).count()));
    v2::ChangeInvisibleDurationResponse response;
    if (!link.stub().ChangeInvisibleDuration(Link::Context().get(), request, &response).ok()) {
      link.Renew();
    }
  }

  bool HasViolation() {
    MutexLock lock(mutex_);
    return !violation_.ok();
  }
  // Less when all is processed.
  void Pause(milliseconds time) {
    const auto until = steady_clock::now() + time;
    while (steady_clock::now() < until && !ledger_.IsComplete() && !HasViolation()) {
      address_.AwaitOther(address_.Get());
    }
  }

  const int items_;
  const int groups_;
  std::mt19937_64 random_;
  Ledger ledger_;
  const BrokerOptions broker_;
  Address address_;
  std::atomic<bool> stop_{false};
  int kills_ = 0;
  std::atomic<int64_t> failed_{0};
  std::atomic<int64_t> forgotten_{0};
  std::atomic<int64_t> repeats_{0};

  Mutex mutex_;
  absl::Status violation_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace
}  // namespace dunlin::e2e

int main(int argc, char** argv) {
  const dunlin::e2e::Arguments arguments = dunlin::e2e::ParseArguments(argc, argv);
  dunlin::e2e::Bench bench(arguments);
  const absl::Status status = bench.Run();
  return dunlin::e2e::Report(arguments, bench.Summary(), status);
}
