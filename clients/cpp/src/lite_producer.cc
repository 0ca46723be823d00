#include "dunlin/lite_producer.h"

#include <algorithm>
#include <utility>

#include "clients/cpp/src/control_message.h"
#include "clients/cpp/src/lite_producer_core.h"
#include "clients/cpp/src/unary_call.h"
#include "proto/apache/rocketmq/v2/service.pb.h"

namespace dunlin {
namespace internal {
namespace {

namespace v2 = apache::rocketmq::v2;
using std::chrono::milliseconds;

constexpr char kSend[] = "/apache.rocketmq.v2.MessagingService/SendMessage";
constexpr milliseconds kFirstPause{50};

absl::Status CheckMessage(const Message& message) {
  if (message.topic.empty()) return absl::InvalidArgumentError("the message has no topic");
  if (message.lite_topic.empty()) {
    return absl::InvalidArgumentError("the message has no lite_topic");
  }
  if (message.queue.has_value() || !message.ordering_key.empty() ||
      !message.message_group.empty()) {
    return absl::InvalidArgumentError(
        "the lightweight topic is the queue of its messages, in order: name neither an ordering "
        "key, nor a queue, nor a message group");
  }
  if (message.deliver_at.has_value() || message.priority.has_value()) {
    return absl::InvalidArgumentError(
        "a message of a lightweight topic has neither a delivery time nor a priority");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<LiteReceipt>> LiteProducerCore::Send(std::span<const Message> messages) {
  if (messages.empty()) return absl::InvalidArgumentError("no message");
  v2::SendMessageRequest request;
  for (const Message& message : messages) {
    absl::Status status = CheckMessage(message);
    if (!status.ok()) return status;
    v2::Message& sent = *request.add_messages();
    FillContent(*connection_, message, sent);
    v2::SystemProperties& system = *sent.mutable_system_properties();
    system.set_message_id(ids_.Next());
    system.set_message_type(v2::LITE);
    system.set_lite_topic(message.lite_topic);
  }
  v2::SendMessageResponse response;
  absl::Status status = SendRequest(request, response);
  if (!status.ok()) return status;
  if (response.entries_size() != request.messages_size()) {
    return absl::InternalError("the broker answers for another number of messages");
  }
  std::vector<LiteReceipt> receipts;
  receipts.reserve(messages.size());
  for (const v2::SendResultEntry& entry : response.entries()) {
    receipts.push_back({entry.message_id(), static_cast<uint64_t>(entry.offset())});
  }
  return receipts;
}

absl::Status LiteProducerCore::SendRequest(const v2::SendMessageRequest& request,
                                           v2::SendMessageResponse& response) {
  const SteadyTime deadline = steady_clock::now() + options_.request_timeout;
  for (int failures = 0;; ++failures) {
    if (Pause({})) return absl::FailedPreconditionError("the producer is closed");
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    const absl::Status status =
        StatusOf(Call(*connection_, kSend, request, left, response), response);
    const milliseconds pause = Backoff(failures, kFirstPause);
    if (!MayBeTriedAgain(status) || steady_clock::now() + pause >= deadline) return status;
    Pause(pause);
  }
}

bool LiteProducerCore::Pause(milliseconds pause) {
  const SteadyTime until = steady_clock::now() + pause;
  MutexLock lock(mutex_);
  while (!closed_ && changed_.WaitUntil(mutex_, until)) {
  }
  return closed_;
}

void LiteProducerCore::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  changed_.SignalAll();
}

}  // namespace internal

LiteProducer::LiteProducer(std::shared_ptr<internal::LiteProducerCore> core)
    : core_(std::move(core)) {}

absl::StatusOr<LiteReceipt> LiteProducer::Send(const Message& message) const {
  absl::StatusOr<std::vector<LiteReceipt>> receipts = core_->Send({&message, 1});
  if (!receipts.ok()) return receipts.status();
  return std::move(receipts->front());
}

absl::StatusOr<std::vector<LiteReceipt>> LiteProducer::SendAll(
    std::span<const Message> messages) const {
  return core_->Send(messages);
}

void LiteProducer::Close() { core_->Close(); }

}  // namespace dunlin
