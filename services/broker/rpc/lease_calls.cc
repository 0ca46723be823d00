#include "services/broker/rpc/lease_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "services/base/status_macros.h"
#include "services/broker/admission/receive_rules.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/destination.h"
#include "services/broker/rpc/resources.h"
#include "services/broker/rpc/status_map.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

constexpr int kMaxAcknowledgements = 1024;

absl::Status CheckNames(const ServiceContext& services, const CallContext& call,
                        const v2::Resource& topic, const v2::Resource& group) {
  RETURN_IF_ERROR(CheckCaller(call));
  RETURN_IF_ERROR(CheckTopic(services, call, topic, kToSub));
  return CheckGroup(services, call, group);
}

void NoteSettled(ServiceContext& services, const CallContext& call, TraceStep step,
                 const ReceiptHandle& handle) {
  services.trace.Note(step, handle.queue, handle.offset, 1,
                      {services.trace.NumberOf(call.client_id), handle.group, handle.attempt});
}

absl::Status AckOne(ServiceContext& services, const CallContext& call,
                    const v2::AckMessageRequest& request, const v2::AckMessageEntry& entry) {
  ASSIGN_OR_RETURN(const ReceiptHandle handle,
                   FindLease(services, call, request.topic(), request.group(),
                             entry.receipt_handle(), entry.lite_topic()));
  RETURN_IF_ERROR(services.progress.Ack(handle));
  NoteSettled(services, call, TraceStep::kAcknowledged, handle);
  return absl::OkStatus();
}

// Node.js push consumers ask for a redelivery after a few milliseconds when a listener fails, and
// would burn all attempts of a message at once. They get the group's backoff instead.
std::chrono::milliseconds WithFloor(const ServiceContext& services, const CallContext& call,
                                    const ReceiptHandle& handle,
                                    std::chrono::milliseconds invisible) {
  if (!handle.auto_renew || (call.language != "HTTP" && call.language != "NODE_JS")) {
    return invisible;
  }
  const std::shared_ptr<const Group> group = services.topics.FindGroup(handle.group);
  if (group == nullptr) return invisible;
  return std::max(invisible, group->RetryDelay(handle.attempt));
}

absl::StatusOr<ReceiptHandle> Change(ServiceContext& services, const CallContext& call,
                                     const v2::ChangeInvisibleDurationRequest& request) {
  RETURN_IF_ERROR(CheckNames(services, call, request.topic(), request.group()));
  const google::protobuf::Duration& wire = request.invisible_duration();
  const std::chrono::milliseconds asked =
      std::chrono::seconds(wire.seconds()) + std::chrono::milliseconds(wire.nanos() / 1'000'000);
  RETURN_IF_ERROR(CheckChangedInvisible(asked, services.config.max_invisible_duration_ms()));
  ASSIGN_OR_RETURN(const ReceiptHandle handle,
                   FindLease(services, call, request.topic(), request.group(),
                             request.receipt_handle(), request.lite_topic()));
  const std::chrono::milliseconds invisible = WithFloor(services, call, handle, asked);
  ASSIGN_OR_RETURN(ReceiptHandle changed,
                   services.progress.ChangeInvisible(handle, invisible, request.suspend()));
  // The SDKs say both with the same call: that a message failed, and that work on it goes on.
  NoteSettled(services, call, TraceStep::kInvisibleChanged, handle);
  if (invisible.count() == 0) services.waiting_room.Nudge(handle.queue.topic, handle.group);
  return changed;
}

// The message id alone names no lease: a caller that leaves the handle out gets
// INVALID_RECEIPT_HANDLE, which ends its retries, and the message takes the way of all others.
absl::StatusOr<DeadLetters::Letter> FindLetter(
    ServiceContext& services, const CallContext& call,
    const v2::ForwardMessageToDeadLetterQueueRequest& request) {
  RETURN_IF_ERROR(CheckNames(services, call, request.topic(), request.group()));
  ASSIGN_OR_RETURN(const ReceiptHandle handle,
                   FindLease(services, call, request.topic(), request.group(),
                             request.receipt_handle(), request.lite_topic()));
  RETURN_IF_ERROR(services.progress.CheckLease(handle));
  std::vector<store::IndexEntry> entries;
  RETURN_IF_ERROR(services.dispatcher.queues().Read(handle.queue, handle.offset, 1, entries));
  if (entries.empty()) {
    return PublicError(PublicCode::kInvalidReceiptHandle, "the message has expired");
  }
  ASSIGN_OR_RETURN(const Delivered found, services.taker.ReadEntry(entries.front()));
  DeadLetters::Letter letter;
  letter.group = services.topics.FindGroup(handle.group);
  if (letter.group == nullptr) {
    return PublicError(PublicCode::kInvalidReceiptHandle, "the consumer group was just deleted");
  }
  letter.handle = handle;
  letter.message = found.message.header().log_offset;
  letter.attempts = std::max<uint32_t>(
      handle.attempt, static_cast<uint32_t>(std::max(request.delivery_attempt(), 0)));
  // Consumers of ordered groups count the attempts, and forward behind the last one.
  letter.forwarded = letter.attempts < letter.group->max_attempts;
  return letter;
}

void AddResult(const v2::AckMessageEntry& entry, const absl::Status& status,
               v2::AckMessageResponse& response) {
  v2::AckMessageResultEntry& result = *response.add_entries();
  result.set_message_id(entry.message_id());
  result.set_receipt_handle(entry.receipt_handle());
  *result.mutable_status() = ToWire(status);
}

}  // namespace

absl::Status AckMessages(ServiceContext& services, const CallContext& call,
                         const v2::AckMessageRequest& request, v2::AckMessageResponse& response) {
  if (request.entries_size() > kMaxAcknowledgements) {
    *response.mutable_status() = ToWire(PublicError(
        PublicCode::kBadRequest, fmt::format("the request acknowledges {} messages; at most {} are "
                                             "allowed, split it",
                                             request.entries_size(), kMaxAcknowledgements)));
    return absl::OkStatus();
  }
  const absl::Status names = CheckNames(services, call, request.topic(), request.group());
  for (const v2::AckMessageEntry& entry : request.entries()) {
    const absl::Status acked = names.ok() ? AckOne(services, call, request, entry) : names;
    // The others are of the same broker, then.
    if (!acked.ok() && response.entries().empty() &&
        IsForAnother(services, call, DestinationOf(request))) {
      return acked;
    }
    AddResult(entry, acked, response);
  }
  if (!names.ok() || response.entries().empty()) {
    *response.mutable_status() = ToWire(
        !names.ok() ? names
                    : PublicError(PublicCode::kBadRequest,
                                  "the request acknowledges nothing; give at least one entry"));
    return absl::OkStatus();
  }
  *response.mutable_status() = response.entries(0).status();
  for (const v2::AckMessageResultEntry& entry : response.entries()) {
    if (entry.status().code() != response.status().code()) {
      response.mutable_status()->set_code(v2::MULTIPLE_RESULTS);
      response.mutable_status()->set_message("entries differ: see the status of each");
      break;
    }
  }
  return absl::OkStatus();
}

void RefuseAcks(const absl::Status& status, const v2::AckMessageRequest& request,
                v2::AckMessageResponse& response) {
  for (const v2::AckMessageEntry& entry : request.entries()) AddResult(entry, status, response);
  *response.mutable_status() = response.entries(0).status();
}

absl::Status ChangeInvisible(ServiceContext& services, const CallContext& call,
                             const v2::ChangeInvisibleDurationRequest& request,
                             v2::ChangeInvisibleDurationResponse& response) {
  ASSIGN_OR_RETURN(ReceiptHandle changed, Change(services, call, request));
  changed.broker = services.mark;
  response.set_receipt_handle(Encode(changed));
  return absl::OkStatus();
}

void ForwardToDeadLetters(ServiceContext& services, const CallContext& call,
                          const v2::ForwardMessageToDeadLetterQueueRequest& request,
                          absl::AnyInvocable<void(const absl::Status&)> done) {
  absl::StatusOr<DeadLetters::Letter> letter = FindLetter(services, call, request);
  if (!letter.ok()) return done(letter.status());
  auto shared = std::make_shared<absl::AnyInvocable<void(const absl::Status&)>>(std::move(done));
  const absl::Status accepted = services.dead_letters.Submit(
      *std::move(letter), [shared](const absl::Status& status) { (*shared)(status); });
  if (!accepted.ok()) (*shared)(accepted);
}

}  // namespace dunlin::broker
