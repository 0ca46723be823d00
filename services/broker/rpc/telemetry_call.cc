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
// Topics that one client publishes or subscribes to.
constexpr int kMaxTopics = 1024;

}  // namespace

TelemetryCall::TelemetryCall(ServiceContext& services, const grpc::CallbackServerContext& context)
    : services_(services), call_(ReadCallContext(context)) {
  StartSendInitialMetadata();
  if (const absl::Status known = CheckClientId(call_); !known.ok()) {
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
  if (const absl::Status properties = CheckClientProperties(sent.client_properties());
      !properties.ok()) {
    *answer.mutable_status() = ToWire(properties);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(*answer.mutable_settings(),
                   MergeSettings(sent, group.get(), services_.config, call_.language));
  services_.clients.Update(info);
  // Clients drop settings that come without an OK.
  *answer.mutable_status() = OkOnWire();
  return absl::OkStatus();
}

void TelemetryCall::Send(const Command& command) {
  grpc::ByteBuffer bytes = Serialize(command);
  MutexLock lock(mutex_);
  if (finishing_) return;
  const bool too_many_bytes = !unsent_.empty() && unsent_bytes_ + bytes.Length() > kMaxUnsentBytes;
  if (unsent_.size() >= kMaxUnsent || too_many_bytes) {
    finishing_ = true;
    result_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                           "the client does not read what it is sent on this stream");
    return;
  }
  unsent_bytes_ += bytes.Length();
  unsent_.push_back(std::move(bytes));
  WriteOrFinish();
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
    StartWrite(&unsent_.front());
  } else if (finishing_) {
    finished_ = true;
    Finish(result_);
  }
}

void TelemetryCall::OnWriteDone(bool ok) {
  MutexLock lock(mutex_);
  writing_ = false;
  unsent_bytes_ -= unsent_.front().Length();
  unsent_.pop_front();
  if (!ok) {
    unsent_.clear();
    unsent_bytes_ = 0;
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
  if (opened_) {
    services_.command_streams.Remove(call_.client_id, *this);
    services_.clients.StreamClosed(call_.client_id);
  }
  delete this;
}

}  // namespace dunlin::broker
