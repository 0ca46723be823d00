#include "clients/cpp/src/transaction_core.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "clients/cpp/src/control_message.h"
#include "clients/cpp/src/public_message.h"
#include "clients/cpp/src/unary_call.h"

namespace dunlin::internal {
namespace {

namespace v2 = apache::rocketmq::v2;
using std::chrono::milliseconds;

constexpr char kSend[] = "/apache.rocketmq.v2.MessagingService/SendMessage";
constexpr char kEnd[] = "/apache.rocketmq.v2.MessagingService/EndTransaction";
constexpr char kTelemetry[] = "/apache.rocketmq.v2.MessagingService/Telemetry";
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
      topics_(options.topics.begin(), options.topics.end()) {
  {
    MutexLock lock(mutex_);
    if (!topics_.empty()) Connect();
  }
  Pump();
  thread_ = std::thread([this] { AnswerQuestions(); });
  pthread_setname_np(thread_.native_handle(), "dunlin-checks");
}

TransactionCore::~TransactionCore() { Close(); }

void TransactionCore::Close() {
  {
    MutexLock lock(mutex_);
    closing_ = true;
    if (stream_ != nullptr) stream_->Cancel();
    changed_.SignalAll();
  }
  connection_->ticker()->Forget(this);
  if (thread_.joinable()) thread_.join();
  MutexLock lock(mutex_);
  while (stream_ != nullptr) changed_.Wait(mutex_);
}

bool TransactionCore::IsClosed() const {
  MutexLock lock(mutex_);
  return closing_;
}

absl::StatusOr<TransactionCore::Prepared> TransactionCore::Prepare(const Message& message) {
  if (IsClosed()) return absl::FailedPreconditionError("the producer is closed");
  absl::Status status = CheckMessage(message);
  if (!status.ok()) return status;
  Announce(message.topic);
  Prepared prepared;
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
  status =
      StatusOf(Call(*connection_, kSend, request, options_.request_timeout, response), response);
  if (!status.ok()) return status;
  if (response.entries_size() != 1 || response.entries(0).transaction_id().empty()) {
    return absl::UnimplementedError("the broker answers without a transaction id");
  }
  prepared.transaction_id = response.entries(0).transaction_id();
  return prepared;
}

absl::Status TransactionCore::End(const std::string& topic, const std::string& transaction_id,
                                  const std::string& message_id, bool commit) {
  EndRequest request;
  connection_->Fill(topic, *request.mutable_topic());
  request.set_transaction_id(transaction_id);
  request.set_message_id(message_id);
  request.set_resolution(commit ? v2::COMMIT : v2::ROLLBACK);
  request.set_source(v2::SOURCE_CLIENT);
  return SendEnd(request);
}

absl::Status TransactionCore::SendEnd(const EndRequest& request) {
  const SteadyTime deadline = steady_clock::now() + options_.request_timeout;
  for (int failures = 0;; ++failures) {
    if (IsClosed()) return absl::FailedPreconditionError("the producer is closed");
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    v2::EndTransactionResponse response;
    const absl::Status status =
        StatusOf(Call(*connection_, kEnd, request, left, response), response);
    const milliseconds pause = Backoff(failures, kFirstPause);
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
  {
    MutexLock lock(mutex_);
    if (!topics_.insert(topic).second) return;
    settings_due_ = true;
    if (stream_ == nullptr && reconnect_at_ == SteadyTime()) Connect();
  }
  Pump();
}

void TransactionCore::Connect() {
  settings_due_ = true;
  writing_ = false;
  stream_ = ByteStream::Start(*connection_, kTelemetry, *this);
}

void TransactionCore::Pump() {
  v2::TelemetryCommand command;
  std::shared_ptr<ByteStream> stream;
  {
    MutexLock lock(mutex_);
    if (stream_ == nullptr || writing_ || !settings_due_) return;
    writing_ = true;
    settings_due_ = false;
    stream = stream_;
    v2::Settings& settings = *command.mutable_settings();
    settings.set_client_type(v2::PRODUCER);
    settings.mutable_user_agent()->set_language(v2::CPP);
    for (const std::string& topic : topics_) {
      connection_->Fill(topic, *settings.mutable_publishing()->add_topics());
    }
  }
  stream->Write(ToBytes(command));
}

void TransactionCore::OnWritten() {
  {
    MutexLock lock(mutex_);
    writing_ = false;
  }
  Pump();
}

void TransactionCore::OnRead(grpc::ByteBuffer& bytes) {
  v2::TelemetryCommand command;
  const bool parsed = FromBytes(bytes, command);
  MutexLock lock(mutex_);
  if (!parsed) return stream_->Cancel();
  failures_ = 0;
  if (!command.has_recover_orphaned_transaction_command()) return;
  if (closing_ || questions_.size() >= kMostQuestions) return;
  questions_.push_back(std::move(*command.mutable_recover_orphaned_transaction_command()));
  changed_.SignalAll();
}

void TransactionCore::OnEnd(const grpc::Status& /*status*/) {
  MutexLock lock(mutex_);
  stream_.reset();  // at once: who waits for it may let go of the channel then
  if (!closing_) {
    reconnect_at_ = steady_clock::now() + Backoff(failures_++, kFirstPause);
    connection_->ticker()->WakeAt(reconnect_at_, this);
  }
  changed_.SignalAll();
}

void TransactionCore::Tick(SteadyTime now) {
  {
    MutexLock lock(mutex_);
    if (closing_ || stream_ != nullptr || now < reconnect_at_) return;
    Connect();
  }
  Pump();
}

void TransactionCore::AnswerQuestions() {
  for (;;) {
    Question question;
    {
      MutexLock lock(mutex_);
      while (!closing_ && questions_.empty()) changed_.Wait(mutex_);
      if (closing_) return;
      question = std::move(questions_.front());
      questions_.pop_front();
    }
    Answer(question);
  }
}

void TransactionCore::Answer(const Question& question) {
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
  SendEnd(request).IgnoreError();
}

}  // namespace dunlin::internal
