#include "clients/cpp/src/transaction_core.h"

#include <pthread.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "clients/cpp/src/control_message.h"
#include "clients/cpp/src/public_message.h"
#include "clients/cpp/src/unary_call.h"

namespace dunlin::internal {
namespace {

namespace v2 = apache::rocketmq::v2;
using std::chrono::milliseconds;

constexpr char kSend[] = "/apache.rocketmq.v2.MessagingService/SendMessage";
constexpr char kEnd[] = "/apache.rocketmq.v2.MessagingService/EndTransaction";
// Questions that wait for the checker; the broker asks again what is dropped.
constexpr size_t kMostQuestions = 1024;
constexpr milliseconds kFirstPause{50};

absl::Status CheckMessage(const Message& message) {
  if (message.topic.empty()) return absl::InvalidArgumentError("the message has no topic");
  if (!message.message_group.empty() || message.deliver_at.has_value()) {
    return absl::InvalidArgumentError(
        "a message of a transaction has neither a message group nor a delivery time");
  }
  if (!message.lite_topic.empty()) {
    return absl::InvalidArgumentError("a message of a transaction has no lightweight topic");
  }
  if (!message.ordering_key.empty() || message.queue.has_value()) {
    return absl::InvalidArgumentError(
        "the broker chooses the queue of a message of a transaction: name neither an ordering key "
        "nor a queue");
  }
  return absl::OkStatus();
}

OrphanedTransaction OrphanOf(const v2::RecoverOrphanedTransactionCommand& question) {
  const v2::Message& asked = question.message();
  const v2::SystemProperties& system = asked.system_properties();
  OrphanedTransaction orphan;
  orphan.transaction_id = question.transaction_id();
  orphan.message_id = system.message_id();
  orphan.message.topic = asked.topic().name();
  orphan.message.body = asked.body();
  orphan.message.tag = system.tag();
  orphan.message.keys.assign(system.keys().begin(), system.keys().end());
  for (const auto& [name, value] : asked.user_properties()) {
    orphan.message.properties.emplace_back(name, value);
  }
  return orphan;
}

}  // namespace

TransactionCore::TransactionCore(std::shared_ptr<Connection> connection,
                                 const TransactionProducerOptions& options)
    : connection_(std::move(connection)),
      options_(options),
      topics_(options.topics.begin(), options.topics.end()),
      routes_(connection_, [this](const BrokerAt& broker) { Listen(broker); }) {
  for (const std::string& topic : options.topics) routes_.Follow(topic);
  thread_ = std::thread([this] { AnswerQuestions(); });
  pthread_setname_np(thread_.native_handle(), "dunlin-checks");
}

TransactionCore::~TransactionCore() { Close(); }

void TransactionCore::Close() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
    changed_.SignalAll();
  }
  routes_.Close();
  std::vector<TelemetryStream*> streams;
  {
    MutexLock lock(mutex_);
    for (const auto& [broker, stream] : streams_) streams.push_back(stream.get());
  }
  for (TelemetryStream* stream : streams) stream->Close();
  if (thread_.joinable()) thread_.join();
}

bool TransactionCore::IsClosed() const {
  MutexLock lock(mutex_);
  return closing_;
}

absl::StatusOr<TransactionCore::Prepared> TransactionCore::Prepare(const Message& message) {
  if (IsClosed()) return absl::FailedPreconditionError("the producer is closed");
  absl::Status status = CheckMessage(message);
  if (!status.ok()) return status;
  const SteadyTime deadline = steady_clock::now() + options_.request_timeout;
  Announce(message.topic);
  const absl::StatusOr<BrokerAt> broker = routes_.Choose(message.topic, deadline);
  if (!broker.ok()) return broker.status();
  Prepared prepared;
  prepared.topic = message.topic;
  prepared.broker = broker->broker;
  prepared.message_id = ids_.Next();
  v2::SendMessageRequest request;
  v2::Message& sent = *request.add_messages();
  FillContent(*connection_, message, sent);
  v2::SystemProperties& system = *sent.mutable_system_properties();
  system.set_message_id(prepared.message_id);
  system.set_message_type(v2::TRANSACTION);
  if (options_.first_check.has_value()) {
    auto& first = *system.mutable_orphaned_transaction_recovery_duration();
    const milliseconds after = *options_.first_check;
    first.set_seconds(after.count() / 1000);
    first.set_nanos(static_cast<int32_t>(after.count() % 1000) * 1'000'000);
  }
  v2::SendMessageResponse response;
  const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
  status = StatusOf(Call(*broker->connection, kSend, request, left, response), response);
  if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) {
    routes_.Avoid(broker->broker);
  }
  if (!status.ok()) return status;
  if (response.entries_size() != 1 || response.entries(0).transaction_id().empty()) {
    return absl::UnimplementedError("the broker answers without a transaction id");
  }
  prepared.transaction_id = response.entries(0).transaction_id();
  return prepared;
}

absl::Status TransactionCore::End(const Prepared& prepared, bool commit) {
  EndRequest request;
  connection_->Fill(prepared.topic, *request.mutable_topic());
  request.set_transaction_id(prepared.transaction_id);
  request.set_message_id(prepared.message_id);
  request.set_resolution(commit ? v2::COMMIT : v2::ROLLBACK);
  request.set_source(v2::SOURCE_CLIENT);
  return SendEnd(prepared.broker, request);
}

absl::Status TransactionCore::SendEnd(const std::string& broker, const EndRequest& request) {
  const SteadyTime deadline = steady_clock::now() + options_.request_timeout;
  for (int failures = 0;; ++failures) {
    if (IsClosed()) return absl::FailedPreconditionError("the producer is closed");
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    v2::EndTransactionResponse response;
    // Each time anew: it may be served elsewhere meanwhile.
    const BrokerAt at = routes_.Find(broker);
    const absl::Status status =
        StatusOf(Call(*at.connection, kEnd, request, left, response), response);
    if (absl::IsUnavailable(status)) routes_.Avoid(broker);
    const milliseconds pause = Jittered(Backoff(failures, kFirstPause));
    if (!MayBeTriedAgain(status) || steady_clock::now() + pause >= deadline) return status;
    Pause(pause);
  }
}

void TransactionCore::Pause(milliseconds pause) {
  const SteadyTime until = steady_clock::now() + pause;
  MutexLock lock(mutex_);
  while (!closing_ && changed_.WaitUntil(mutex_, until)) {
  }
}

void TransactionCore::Announce(const std::string& topic) {
  std::vector<TelemetryStream*> streams;
  {
    MutexLock lock(mutex_);
    if (!topics_.insert(topic).second) return;
    for (const auto& [broker, stream] : streams_) streams.push_back(stream.get());
  }
  for (TelemetryStream* stream : streams) stream->Renew();
  routes_.Follow(topic);
}

void TransactionCore::Listen(const BrokerAt& broker) {
  TelemetryStream* made = nullptr;
  {
    MutexLock lock(mutex_);
    if (closing_) return;
    std::unique_ptr<TelemetryStream>& stream = streams_[broker.broker];
    if (stream != nullptr) return stream->MoveTo(broker.connection);
    stream = std::make_unique<TelemetryStream>(broker.broker, broker.connection, *this);
    made = stream.get();
  }
  made->Renew();
}

v2::Settings TransactionCore::MakeSettings() {
  v2::Settings settings;
  settings.set_client_type(v2::PRODUCER);
  settings.mutable_user_agent()->set_language(v2::CPP);
  MutexLock lock(mutex_);
  for (const std::string& topic : topics_) {
    connection_->Fill(topic, *settings.mutable_publishing()->add_topics());
  }
  return settings;
}

void TransactionCore::OnQuestion(const std::string& broker, Question question) {
  MutexLock lock(mutex_);
  if (closing_ || questions_.size() >= kMostQuestions) return;
  questions_.push_back({broker, std::move(question)});
  changed_.SignalAll();
}

void TransactionCore::AnswerQuestions() {
  for (;;) {
    Asked asked;
    {
      MutexLock lock(mutex_);
      while (!closing_ && questions_.empty()) changed_.Wait(mutex_);
      if (closing_) return;
      asked = std::move(questions_.front());
      questions_.pop_front();
    }
    Answer(asked);
  }
}

void TransactionCore::Answer(const Asked& asked) {
  const Question& question = asked.question;
  const OrphanedTransaction orphan = OrphanOf(question);
  const Resolution resolution = options_.checker(orphan);
  if (resolution == Resolution::kUnknown) return;
  EndRequest request;
  *request.mutable_topic() = question.message().topic();
  request.set_transaction_id(orphan.transaction_id);
  request.set_message_id(orphan.message_id);
  request.set_resolution(resolution == Resolution::kCommit ? v2::COMMIT : v2::ROLLBACK);
  request.set_source(v2::SOURCE_SERVER_CHECK);
  // What does not arrive is asked again.
  SendEnd(asked.broker, request).IgnoreError();
}

}  // namespace dunlin::internal
