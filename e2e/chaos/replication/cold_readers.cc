#include "e2e/chaos/replication/cold_readers.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <poll.h>

#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "dunlin/client.h"
#include "dunlin/producer.h"
#include "dunlin/pull_consumer.h"

#include "e2e/harness/client.h"
#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/status_macros.h"

namespace dunlin::e2e {
namespace {

using std::chrono::seconds;

constexpr char kTopic[] = "cold";
constexpr char kGroup[] = "cold-readers";
constexpr int kMessages = 6000;
constexpr size_t kBodyBytes = 8 << 10;
constexpr seconds kPatience{60};
// The reader takes its time until a slave serves it: the log must not be over before.
constexpr int kPauseMs = 10;

// What comes, checked against what was sent.
class Reader {
 public:
  explicit Reader(PullConsumer consumer) : consumer_(std::move(consumer)) {}

  absl::Status AssignAll() { return consumer_.AssignAll(kTopic, StartAt::First()).status(); }

  // Takes one batch, and commits what was taken.
  absl::Status PollOnce() {
    ASSIGN_OR_RETURN(const MessageBatch batch, consumer_.Poll(kPatience));
    if (batch.empty()) {
      return absl::DataLossError(fmt::format("{} of {} messages came", seen_.size(), kMessages));
    }
    for (const MessageView& message : batch) RETURN_IF_ERROR(Take(message));
    return consumer_.Commit(kTopic, batch.queue(), batch.next_offset());
  }
  bool HasAll() const { return seen_.size() == kMessages; }

  // Waits until the broker has all the commits.
  absl::Status AwaitCommitted(const std::string& address) const {
    V2Client broker(address);
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    for (const auto& [queue, offset] : last_) {
      const auto expected = static_cast<int64_t>(offset) + 1;
      for (;;) {
        const absl::StatusOr<int64_t> committed = broker.GetOffset(kGroup, {kTopic, queue});
        if (committed.ok() && *committed == expected) break;
        if (std::chrono::steady_clock::now() >= deadline) {
          RETURN_IF_ERROR(committed.status());
          return absl::DataLossError(fmt::format(
              "{} of queue {} is committed at the master, not {}", *committed, queue, expected));
        }
        poll(nullptr, 0, kPauseMs);
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckNothingMore() {
    ASSIGN_OR_RETURN(const MessageBatch batch, consumer_.Poll(seconds(1)));
    return batch.empty() ? absl::OkStatus() : absl::DataLossError("a message came again");
  }

 private:
  absl::Status Take(const MessageView& message) {
    int number = 0;
    const std::string_view body = message.body();
    if (!absl::SimpleAtoi(std::string(body.substr(0, body.find(' '))), &number)) {
      return absl::DataLossError("a body that was not sent");
    }
    if (!seen_.insert(number).second) {
      return absl::DataLossError(fmt::format("message {} came again", number));
    }
    const auto last = last_.find(message.queue());
    const uint64_t expected = last == last_.end() ? 0 : last->second + 1;
    if (message.offset() != expected) {
      return absl::DataLossError(fmt::format("offset {} of queue {} came, not {}", message.offset(),
                                             message.queue(), expected));
    }
    last_[message.queue()] = message.offset();
    return absl::OkStatus();
  }

  PullConsumer consumer_;
  std::set<int> seen_;
  std::map<uint32_t, uint64_t> last_;  // offset, by queue
};

std::unique_ptr<admin::v1::AdminService::Stub> MakeStub(const std::string& address) {
  return admin::v1::AdminService::NewStub(
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
}

absl::Status CreateTopic(const std::string& address) {
  grpc::ClientContext context;
  AddHeaders(context);
  context.set_deadline(std::chrono::system_clock::now() + seconds(10));
  admin::v1::CreateTopicRequest request;
  request.mutable_topic()->set_name(kTopic);
  request.mutable_topic()->set_queues(4);
  request.mutable_topic()->add_kinds(admin::v1::NORMAL);
  admin::v1::Topic created;
  const grpc::Status status = MakeStub(address)->CreateTopic(&context, request, &created);
  return status.ok() ? absl::OkStatus() : absl::UnavailableError(status.error_message());
}

Message MessageOf(int number) {
  Message message;
  message.topic = kTopic;
  message.body = fmt::format("{} ", number);
  message.body.resize(kBodyBytes, 'x');
  return message;
}

// Sends the first message; again while the name service has yet to hear of the topic.
absl::Status SendFirst(Producer& producer) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    const absl::Status status = producer.Send(MessageOf(0)).status();
    if (!absl::IsNotFound(status) || std::chrono::steady_clock::now() >= deadline) return status;
    poll(nullptr, 0, kPauseMs);
  }
}

absl::Status Fill(const Client& client) {
  ASSIGN_OR_RETURN(Producer producer, client.MakeProducer(ProducerOptions()));
  RETURN_IF_ERROR(SendFirst(producer));
  for (int i = 1; i < kMessages; ++i) {
    const Message message = MessageOf(i);
    RETURN_IF_ERROR(producer.SendAsync(message, [](const absl::StatusOr<Receipt>&) {}));
  }
  return producer.Flush(kPatience);
}

absl::StatusOr<admin::v1::Broker> AskBroker(const std::string& address) {
  grpc::ClientContext context;
  AddHeaders(context);
  context.set_deadline(std::chrono::system_clock::now() + seconds(10));
  admin::v1::Broker broker;
  const grpc::Status status = MakeStub(address)->GetBroker(&context, {}, &broker);
  if (!status.ok()) return absl::UnavailableError(status.error_message());
  return broker;
}

// What each member has sent to readers in offset mode.
absl::StatusOr<std::map<int, int64_t>> CountSent(const Group& group) {
  std::map<int, int64_t> sent;
  for (int i = 0; i < Group::kMembers; ++i) {
    ASSIGN_OR_RETURN(const admin::v1::Broker broker, AskBroker(group.broker_address(i)));
    sent[i] = broker.streamed_messages();
  }
  return sent;
}

}  // namespace

absl::StatusOr<uint64_t> ReadCold(const ColdReading& reading) {
  ClientOptions client_options;
  client_options.endpoint = reading.names;
  ASSIGN_OR_RETURN(const Client client, Client::Connect(client_options));
  RETURN_IF_ERROR(CreateTopic(reading.group.broker_address(reading.master)));
  RETURN_IF_ERROR(Fill(client));
  RETURN_IF_ERROR(reading.group.AwaitInSync(kPatience));
  ASSIGN_OR_RETURN(const auto before, CountSent(reading.group));
  PullConsumerOptions options;
  options.group = kGroup;
  options.max_buffered_bytes = 64 << 10;
  ASSIGN_OR_RETURN(PullConsumer consumer, client.MakePullConsumer(options));
  Reader reader(std::move(consumer));
  RETURN_IF_ERROR(reader.AssignAll());

  int slave = -1;
  uint64_t sent = 0;
  while (slave < 0 && !reader.HasAll()) {
    RETURN_IF_ERROR(reader.PollOnce());
    ASSIGN_OR_RETURN(const auto now, CountSent(reading.group));
    for (const auto& [member, count] : now) {
      if (member == reading.master || count == before.at(member)) continue;
      slave = member;
      sent = static_cast<uint64_t>(count - before.at(member));
    }
    poll(nullptr, 0, kPauseMs);
  }
  ASSIGN_OR_RETURN(const auto master, AskBroker(reading.group.broker_address(reading.master)));
  if (slave < 0 || master.cold_readers() == 0) {
    return absl::InternalError(
        fmt::format("no slave has served the reader; the master has sent {} of them away",
                    master.cold_readers()));
  }
  if (reader.HasAll()) return absl::InternalError("all was read before the slave is killed");
  // While the slave sends, the master is told what is done.
  RETURN_IF_ERROR(reader.AwaitCommitted(reading.group.broker_address(reading.master)));
  reading.group.Kill(slave, Group::Half::kBoth);
  while (!reader.HasAll()) RETURN_IF_ERROR(reader.PollOnce());
  RETURN_IF_ERROR(reader.CheckNothingMore());
  RETURN_IF_ERROR(reader.AwaitCommitted(reading.group.broker_address(reading.master)));
  RETURN_IF_ERROR(reading.group.Start(slave));
  RETURN_IF_ERROR(reading.group.AwaitInSync(kPatience));
  return sent;
}

}  // namespace dunlin::e2e
