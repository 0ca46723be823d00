#include "services/broker/rpc/telemetry_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/admission/client_properties.h"
#include "services/broker/rpc/buffers.h"
#include "services/broker/rpc/resources.h"
#include "services/broker/rpc/settings.h"
#include "services/broker/rpc/status_map.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

// Answers and commands a client does not read pile up to here, then the stream ends.
constexpr size_t kMaxUnsent = 1024;
constexpr size_t kMaxUnsentBytes = 2u << 20;
// Questions up to here; more are not taken for now.
constexpr size_t kMaxOffers = 256;
constexpr size_t kMaxOfferedBytes = 1u << 20;
// Topics that one client publishes or subscribes to.
constexpr int kMaxTopics = 1024;

}  // namespace

// Outlives the call, for those who have it from the table of sessions.
class TelemetryCall::Session final : public ProducerSession {
 public:
  explicit Session(TelemetryCall* call) : call_(call) {}

  bool Offer(const std::string& command) override {
    MutexLock lock(mutex_);
    return call_ != nullptr && call_->Offer(command);
  }
  void End() {
    MutexLock lock(mutex_);
    call_ = nullptr;
  }

 private:
  Mutex mutex_;
  TelemetryCall* call_ ABSL_GUARDED_BY(mutex_);
};

TelemetryCall::TelemetryCall(ServiceContext& services, const grpc::CallbackServerContext& context)
    : services_(services), call_(ReadCallContext(services.access, context)) {
  StartSendInitialMetadata();
  if (const absl::Status known = CheckCaller(call_); !known.ok()) {
    Command answer;
    *answer.mutable_status() = ToWire(known);
    Send(answer);
    FinishWhenWritten(grpc::Status::OK);
    return;
  }
  services_.clients.StreamOpened(call_.client_id);
  services_.command_streams.Add(call_.client_id, *this);
  opened_ = true;
  StartRead(&received_);
}

void TelemetryCall::OnReadDone(bool ok) {
  if (!ok) return FinishWhenWritten(grpc::Status::OK);  // half-closed by the client
  // Who is nobody any more keeps no leases by talking on.
  if (const absl::Status known = services_.access.CheckIdentity(call_.caller); !known.ok()) {
    Command answer;
    *answer.mutable_status() = ToWire(known);
    Send(answer);
    return FinishWhenWritten(grpc::Status::OK);
  }
  services_.clients.Touch(call_.client_id);
  if (const absl::Status status = Take(received_); !status.ok()) {
    return FinishWhenWritten(
        grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, std::string(status.message())));
  }
  StartRead(&received_);
}

absl::Status TelemetryCall::Take(const grpc::ByteBuffer& bytes) {
  RETURN_IF_ERROR(CheckRequestSize(bytes));
  Command command;
  RETURN_IF_ERROR(Parse(bytes, command));
  // Other commands answer questions that this server does not ask.
  if (!command.has_settings()) return absl::OkStatus();
  Command answer;
  RETURN_IF_ERROR(ReadSettings(command.settings(), answer));
  Send(answer);
  // Behind the answer: SDKs wait for that first.
  if (publishes_.empty()) return absl::OkStatus();
  if (session_ == nullptr) session_ = std::make_shared<Session>(this);
  services_.producer_sessions.Put(session_, publishes_);
  return absl::OkStatus();
}

absl::Status TelemetryCall::ReadSettings(const v2::Settings& sent, Command& answer) {
  ClientInfo info;
  info.client_id = call_.client_id;
  info.language = call_.language;
  info.version = call_.version;
  info.peer = call_.peer;
  info.client_type = sent.client_type();
  std::shared_ptr<const Group> group;
  const int topics =
      std::max(sent.publishing().topics_size(), sent.subscription().subscriptions_size());
  if (topics > kMaxTopics) {
    return absl::InvalidArgumentError(
        fmt::format("the settings name {} topics; at most {} are allowed", topics, kMaxTopics));
  }
  for (const v2::Resource& topic : sent.publishing().topics()) {
    RETURN_IF_ERROR(CheckTopicName(call_, topic));
    info.topics.push_back(QualifiedName(NamespaceOf(call_, topic), topic.name()));
  }
  std::vector<std::string> publishes = info.topics;
  for (const v2::SubscriptionEntry& entry : sent.subscription().subscriptions()) {
    RETURN_IF_ERROR(CheckTopicName(call_, entry.topic()));
    info.topics.push_back(QualifiedName(NamespaceOf(call_, entry.topic()), entry.topic().name()));
  }
  if (sent.has_subscription()) {
    const v2::Resource& resource = sent.subscription().group();
    RETURN_IF_ERROR(CheckGroupName(call_, resource));
    info.group = QualifiedName(NamespaceOf(call_, resource), resource.name());
    group = services_.topics.FindGroup(NamespaceOf(call_, resource), resource.name());
  }
  absl::Status refusal = CheckClientProperties(sent.client_properties());
  if (refusal.ok()) refusal = CheckAccess(sent);
  if (!refusal.ok()) {
    StopAsking();
    *answer.mutable_status() = ToWire(refusal);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(*answer.mutable_settings(),
                   MergeSettings(sent, group.get(), services_.config, call_.language));
  services_.clients.Update(info);
  publishes_ = std::move(publishes);
  AskWhilePermitted(sent);
  // Clients drop settings that come without an OK.
  *answer.mutable_status() = OkOnWire();
  return absl::OkStatus();
}

void TelemetryCall::StopAsking() {
  publishes_.clear();
  if (session_ != nullptr) services_.producer_sessions.Remove(session_);
}

void TelemetryCall::AskWhilePermitted(const v2::Settings& sent) {
  Permit permit(services_.access, call_.caller);
  for (const v2::Resource& topic : sent.publishing().topics()) {
    permit.Add(TopicNeed(kToPub, NamespaceOf(call_, topic), topic.name()));
  }
  MutexLock lock(mutex_);
  permit_ = std::move(permit);
}

absl::Status TelemetryCall::CheckAccess(const v2::Settings& sent) const {
  for (const v2::Resource& topic : sent.publishing().topics()) {
    RETURN_IF_ERROR(CheckTopic(services_, call_, topic, kToPub));
  }
  if (!sent.has_subscription()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckGroup(services_, call_, sent.subscription().group()));
  for (const v2::SubscriptionEntry& entry : sent.subscription().subscriptions()) {
    RETURN_IF_ERROR(CheckTopic(services_, call_, entry.topic(), kToSub));
  }
  return absl::OkStatus();
}

void TelemetryCall::Send(const Command& command) {
  const grpc::ByteBuffer bytes = Serialize(command);
  MutexLock lock(mutex_);
  if (finishing_) return;
  const bool too_many_bytes =
      answers_.count > 0 && answers_.bytes + bytes.Length() > kMaxUnsentBytes;
  if (answers_.count >= kMaxUnsent || too_many_bytes) {
    finishing_ = true;
    result_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                           "the client does not read what it is sent on this stream");
    return;
  }
  ++answers_.count;
  answers_.bytes += bytes.Length();
  unsent_.push_back({bytes, false});
  WriteOrFinish();
}

bool TelemetryCall::Offer(const std::string& command) {
  MutexLock lock(mutex_);
  const bool too_many_bytes = offers_.bytes + command.size() > kMaxOfferedBytes;
  if (finishing_ || offers_.count >= kMaxOffers || (offers_.count > 0 && too_many_bytes)) {
    return false;
  }
  // A question holds another producer's message.
  if (!permit_.Check().ok()) return false;
  const grpc::Slice slice = CopiedSlice(command);
  ++offers_.count;
  offers_.bytes += command.size();
  unsent_.push_back({grpc::ByteBuffer(&slice, 1), true});
  WriteOrFinish();
  return true;
}

void TelemetryCall::FinishWhenWritten(const grpc::Status& status) {
  MutexLock lock(mutex_);
  if (finishing_) return;
  finishing_ = true;
  result_ = status;
  WriteOrFinish();
}

void TelemetryCall::WriteOrFinish() {
  if (writing_ || finished_) return;
  if (!unsent_.empty()) {
    writing_ = true;
    StartWrite(&unsent_.front().bytes);
  } else if (finishing_) {
    finished_ = true;
    Finish(result_);
  }
}

void TelemetryCall::OnWriteDone(bool ok) {
  MutexLock lock(mutex_);
  writing_ = false;
  Waiting& waiting = unsent_.front().offered ? offers_ : answers_;
  --waiting.count;
  waiting.bytes -= unsent_.front().bytes.Length();
  unsent_.pop_front();
  if (!ok) {
    unsent_.clear();
    answers_ = {};
    offers_ = {};
    if (!finishing_) {
      finishing_ = true;
      result_ = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the client has gone");
    }
  }
  WriteOrFinish();
}

void TelemetryCall::OnCancel() {
  FinishWhenWritten(grpc::Status(grpc::StatusCode::CANCELLED, "the stream broke"));
}

void TelemetryCall::OnDone() {
  if (session_ != nullptr) {
    services_.producer_sessions.Remove(session_);
    session_->End();
  }
  if (opened_) {
    services_.command_streams.Remove(call_.client_id, *this);
    services_.clients.StreamClosed(call_.client_id);
  }
  delete this;
}

}  // namespace dunlin::broker
