#include "services/broker/rpc/pull_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/broker/admission/receive_rules.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/rpc/buffers.h"
#include "services/broker/rpc/message_encoder.h"
#include "services/broker/rpc/offset_calls.h"
#include "services/broker/rpc/resources.h"
#include "services/broker/rpc/status_map.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;
using std::chrono::milliseconds;

// An answer leaves this long before the caller gives up.
constexpr milliseconds kReserve{250};
// Pulls compete with nobody for their messages.
constexpr GroupId kNoGroup{0};

}  // namespace

PullCall::PullCall(ServiceContext& services, const grpc::CallbackServerContext& context)
    : services_(services), call_(ReadCallContext(services.access, context)) {}

grpc::ServerWriteReactor<grpc::ByteBuffer>* PullCall::Start(
    ServiceContext& services, const grpc::CallbackServerContext& context,
    const grpc::ByteBuffer& request) {
  auto call = std::shared_ptr<PullCall>(new PullCall(services, context));
  call->self_ = call;
  call->Run(request);
  return call.get();
}

void PullCall::Run(const grpc::ByteBuffer& request) {
  absl::Status status = CheckRequestSize(request);
  if (!status.ok()) return Answer(status, {});
  status = Parse(request, request_);
  if (!status.ok()) {
    if (Claim()) {
      Finish(grpc::Status(grpc::StatusCode::INTERNAL, std::string(status.message())));
    }
    return;
  }
  status = Check();
  if (!status.ok()) return Answer(status, {});
  permit_ = PermitFor(services_, call_, *reading_.topic, kToSub, reading_.group.get());
  const absl::Status entered =
      services_.waiting_room.Enter(self_, reading_.topic->id, kNoGroup, deadline_);
  if (!entered.ok()) Answer(entered, {});
}

absl::Status PullCall::Check() {
  RETURN_IF_ERROR(CheckCaller(call_));
  RETURN_IF_ERROR(CheckGroup(services_, call_, request_.group()));
  reading_.group =
      services_.topics.FindGroup(NamespaceOf(call_, request_.group()), request_.group().name());
  ASSIGN_OR_RETURN(const QueueKey queue, FindQueue(services_, call_, request_.message_queue()));
  reading_.queue = queue.queue;
  ASSIGN_OR_RETURN(reading_.topic,
                   FindTopic(services_, call_, request_.message_queue().topic(), kToSub));
  if (!reading_.topic->readable()) {
    return PublicError(PublicCode::kForbidden,
                       fmt::format("topic {} may not be read from", reading_.topic->name));
  }
  ASSIGN_OR_RETURN(reading_.filter, FindFilter(services_, request_.filter_expression()));
  if (request_.offset() < 0) {
    return PublicError(PublicCode::kIllegalOffset,
                       fmt::format("offset {}: offsets begin at 0", request_.offset()));
  }
  reading_.offset = QueueOffset(static_cast<uint64_t>(request_.offset()));
  RETURN_IF_ERROR(CheckBatchSize(request_.batch_size()));
  reading_.batch = std::min<size_t>(static_cast<size_t>(request_.batch_size()),
                                    services_.config.max_receive_batch());
  services_.clients.Touch(call_.client_id);
  const google::protobuf::Duration& asked = request_.long_polling_timeout();
  const milliseconds polling =
      std::chrono::seconds(asked.seconds()) + milliseconds(asked.nanos() / 1'000'000);
  const auto now = std::chrono::system_clock::now();
  const milliseconds remaining =
      call_.deadline - now > std::chrono::hours(1)
          ? std::chrono::hours(1)
          : std::chrono::duration_cast<milliseconds>(call_.deadline - now);
  if (remaining <= milliseconds(0) || polling < milliseconds(0)) {
    return PublicError(PublicCode::kIllegalPollingTime,
                       fmt::format("a polling time of {} ms with {} ms left until the deadline",
                                   polling.count(), remaining.count()));
  }
  deadline_ =
      services_.clock.Now() + std::clamp(std::min(polling, remaining - kReserve), milliseconds(0),
                                         milliseconds(services_.config.max_long_polling_ms()));
  return absl::OkStatus();
}

Waiter::Outcome PullCall::TryServe() {
  {
    MutexLock lock(mutex_);
    if (claimed_) return Outcome::kServed;
  }
  if (const absl::Status allowed = permit_.Check(); !allowed.ok()) {
    Answer(allowed, {});
    return Outcome::kServed;
  }
  if (reading_.group != nullptr) {
    // As it is now: it may have been paused, or have got other limits.
    const GroupId id = reading_.group->id;
    if (auto now = services_.topics.FindGroup(id); now != nullptr) reading_.group = std::move(now);
  }
  absl::StatusOr<Taker::Pulled> pulled = services_.taker.Pull(reading_);
  // Messages that the filter passed over move the offset: worth an answer too.
  if (pulled.ok() && pulled->messages.empty() && pulled->next == reading_.offset) {
    return pulled->throttled ? Outcome::kNotYet : Outcome::kNothing;
  }
  if (!pulled.ok()) {
    Answer(pulled.status(), {});
  } else if (pulled->messages.empty()) {
    Answer(PublicError(PublicCode::kMessageNotFound,
                       "none of the messages passed over matches the filter; go on behind them"),
           *std::move(pulled));
  } else {
    Answer(absl::OkStatus(), *std::move(pulled));
  }
  return Outcome::kServed;
}

void PullCall::OnTimeout() {
  Taker::Pulled nothing;
  nothing.next = reading_.offset;
  Answer(PublicError(PublicCode::kMessageNotFound, "no message came while the pull waited"),
         std::move(nothing));
}

bool PullCall::Claim() {
  MutexLock lock(mutex_);
  if (claimed_) return false;
  claimed_ = true;
  return true;
}

void PullCall::Answer(const absl::Status& status, Taker::Pulled pulled) {
  if (!Claim()) return;  // the caller has gone
  status_ = ToWire(status);
  next_offset_ = pulled.next;
  for (const Delivered& message : pulled.messages) {
    absl::StatusOr<grpc::ByteBuffer> encoded =
        EncodeDelivered(services_, request_.message_queue().topic(), message, /*lease=*/false);
    if (encoded.ok()) {
      messages_.push_back(*std::move(encoded));
    } else {
      log::Error("a message is passed over: {}", encoded.status().ToString());
    }
  }
  WriteNext();
}

grpc::ByteBuffer PullCall::Element(size_t index) {
  if (index >= 1 && index <= messages_.size()) return messages_[index - 1];
  v2::PullMessageResponse element;
  if (index == 0) {
    *element.mutable_status() = status_;
  } else {
    element.set_next_offset(static_cast<int64_t>(next_offset_.value()));
  }
  return Serialize(element);
}

void PullCall::WriteNext() {
  element_ = Element(next_);
  if (next_ > messages_.size()) {
    MutexLock lock(mutex_);
    if (finished_) return;
    finished_ = true;
    StartWriteAndFinish(&element_, grpc::WriteOptions(), grpc::Status::OK);
    return;
  }
  // As in ReceiveCall: the first element, with the headers, is not held back.
  grpc::WriteOptions options;
  if (next_ > 0) options.set_buffer_hint();
  ++next_;
  StartWrite(&element_, options);
}

void PullCall::OnWriteDone(bool ok) {
  if (ok) return WriteNext();
  MutexLock lock(mutex_);
  if (finished_) return;
  finished_ = true;
  Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the caller has gone"));
}

void PullCall::OnCancel() {
  {
    MutexLock lock(mutex_);
    if (claimed_) return;  // the write under way fails, and ends it
    claimed_ = true;
    finished_ = true;
  }
  Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the caller has gone"));
  services_.waiting_room.Leave(*this);
}

}  // namespace dunlin::broker
