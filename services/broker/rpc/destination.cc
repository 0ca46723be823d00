#include "services/broker/rpc/destination.h"

#include <algorithm>
#include <array>
#include <type_traits>

#include "services/base/status_macros.h"
#include "services/broker/progress/receipt_handle.h"
#include "services/broker/rpc/buffers.h"
#include "services/broker/timers/recall_handle.h"
#include "services/broker/transactions/transaction_id.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;

BrokerMark MarkIn(const std::string& receipt_handle) {
  const absl::StatusOr<ReceiptHandle> handle = DecodeReceiptHandle(receipt_handle);
  return handle.ok() ? handle->broker : kNoMark;
}

Destination AtQueue(const v2::MessageQueue& queue) {
  return {.topic = queue.topic(), .broker = queue.broker().name()};
}

template <typename Request>
absl::StatusOr<Destination> Read(const grpc::ByteBuffer& bytes) {
  if constexpr (!std::is_same_v<Request, v2::SendMessageRequest>) {
    RETURN_IF_ERROR(CheckRequestSize(bytes));
  }
  Request request;
  RETURN_IF_ERROR(Parse(bytes, request));
  return DestinationOf(request);
}

constexpr std::array<PassedOnMethod, 11> kMethods = {{
    {"SendMessage", Read<v2::SendMessageRequest>},
    {"AckMessage", Read<v2::AckMessageRequest>},
    {"ChangeInvisibleDuration", Read<v2::ChangeInvisibleDurationRequest>},
    {"ForwardMessageToDeadLetterQueue", Read<v2::ForwardMessageToDeadLetterQueueRequest>},
    {"EndTransaction", Read<v2::EndTransactionRequest>},
    {"RecallMessage", Read<v2::RecallMessageRequest>},
    {"ReceiveMessage", Read<v2::ReceiveMessageRequest>, true},
    {"PullMessage", Read<v2::PullMessageRequest>, true},
    {"UpdateOffset", Read<v2::UpdateOffsetRequest>},
    {"GetOffset", Read<v2::GetOffsetRequest>},
    {"QueryOffset", Read<v2::QueryOffsetRequest>},
}};

}  // namespace

Destination DestinationOf(const v2::SendMessageRequest& request) {
  Destination to;
  if (!request.messages().empty()) to.topic = request.messages(0).topic();
  return to;
}

Destination DestinationOf(const v2::AckMessageRequest& request) {
  Destination to{.topic = request.topic()};
  for (const v2::AckMessageEntry& entry : request.entries()) {
    const BrokerMark mark = MarkIn(entry.receipt_handle());
    if (&entry != &request.entries(0) && mark != to.mark) return {.topic = request.topic()};
    to.mark = mark;
  }
  return to;
}

Destination DestinationOf(const v2::ChangeInvisibleDurationRequest& request) {
  return {.topic = request.topic(), .mark = MarkIn(request.receipt_handle())};
}

Destination DestinationOf(const v2::ForwardMessageToDeadLetterQueueRequest& request) {
  return {.topic = request.topic(), .mark = MarkIn(request.receipt_handle())};
}

Destination DestinationOf(const v2::EndTransactionRequest& request) {
  const absl::StatusOr<TransactionId> id = DecodeTransactionId(request.transaction_id());
  return {.topic = request.topic(), .mark = id.ok() ? id->broker : kNoMark};
}

Destination DestinationOf(const v2::RecallMessageRequest& request) {
  const absl::StatusOr<RecallHandle> handle = DecodeRecallHandle(request.recall_handle());
  return {.topic = request.topic(), .broker = handle.ok() ? handle->broker : ""};
}

Destination DestinationOf(const v2::ReceiveMessageRequest& request) {
  return AtQueue(request.message_queue());
}

Destination DestinationOf(const v2::PullMessageRequest& request) {
  return AtQueue(request.message_queue());
}

Destination DestinationOf(const v2::UpdateOffsetRequest& request) {
  return AtQueue(request.message_queue());
}

Destination DestinationOf(const v2::GetOffsetRequest& request) {
  return AtQueue(request.message_queue());
}

Destination DestinationOf(const v2::QueryOffsetRequest& request) {
  return AtQueue(request.message_queue());
}

const PassedOnMethod* FindPassedOnMethod(std::string_view name) {
  const auto* const found =
      std::find_if(kMethods.begin(), kMethods.end(),
                   [&](const PassedOnMethod& candidate) { return candidate.name == name; });
  return found == kMethods.end() ? nullptr : found;
}

}  // namespace dunlin::broker
