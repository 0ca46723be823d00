#include "services/broker/rpc/receive_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/broker/admission/receive_rules.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/lite/lite_binding.h"
#include "services/broker/rpc/buffers.h"
#include "services/broker/rpc/message_encoder.h"
#include "services/broker/rpc/resources.h"
#include "services/broker/rpc/status_map.h"

namespace dunlin::broker {
namespace {

namespace v2 = apache::rocketmq::v2;
using std::chrono::milliseconds;

// An answer leaves this long before the caller gives up: one that comes later is lost with its
// leases.
constexpr milliseconds kReserve{250};
// What a caller that names no polling time allows for the request itself, of its deadline.
constexpr milliseconds kUsualRequestTime{1500};
// Leases of a consumer that hung up while it was being answered end after this.
constexpr milliseconds kReleaseDelay{1000};

milliseconds ToMillis(const google::protobuf::Duration& duration) {
  return std::chrono::seconds(duration.seconds()) + milliseconds(duration.nanos() / 1'000'000);
}

absl::Status CheckReadable(const Topic& topic) {
  if (topic.readable()) return absl::OkStatus();
  return PublicError(PublicCode::kForbidden,
                     fmt::format("topic {} may not be read from", topic.name));
}

}  // namespace

ReceiveCall::ReceiveCall(ServiceContext& services, const grpc::CallbackServerContext& context)
    : services_(services), call_(ReadCallContext(services.access, context)) {}

grpc::ServerWriteReactor<grpc::ByteBuffer>* ReceiveCall::Start(
    ServiceContext& services, const grpc::CallbackServerContext& context,
    const grpc::ByteBuffer& request) {
  auto call = std::shared_ptr<ReceiveCall>(new ReceiveCall(services, context));
  call->self_ = call;
  call->Run(request);
  return call.get();
}

void ReceiveCall::Run(const grpc::ByteBuffer& request) {
  absl::Status status = CheckRequestSize(request);
  if (!status.ok()) return Answer(status, {});
  status = Parse(request, request_);
  if (!status.ok()) {
    if (Claim(State::kFinished)) {
      Finish(grpc::Status(grpc::StatusCode::INTERNAL, std::string(status.message())));
    }
    return;
  }
  status = Check();
  if (!status.ok()) return Answer(status, {});
  if (subscription_.topic->lite()) {
    std::shared_ptr<const Group> group =
        services_.topics.FindGroup(NamespaceOf(call_, request_.group()), request_.group().name());
    status = group == nullptr ? NoBoundGroup(request_.group().name(), *subscription_.topic)
                              : SetGroup(std::move(group));
    return status.ok() ? Wait() : Answer(status, {});
  }
  FindOrCreateGroup(services_, call_, request_.group(),
                    [call = self_](absl::StatusOr<std::shared_ptr<const Group>> group) {
                      absl::Status entered = group.status();
                      if (entered.ok()) entered = call->SetGroup(*std::move(group));
                      if (entered.ok()) entered = call->EnterSubscription();
                      if (!entered.ok()) return call->Answer(entered, {});
                      call->Wait();
                    });
}

absl::Status ReceiveCall::SetGroup(std::shared_ptr<const Group> group) {
  subscription_.group = std::move(group);
  return CheckBinding(*subscription_.group, *subscription_.topic);
}

absl::Status ReceiveCall::Check() {
  RETURN_IF_ERROR(CheckCaller(call_));
  RETURN_IF_ERROR(CheckGroup(services_, call_, request_.group()));
  ASSIGN_OR_RETURN(subscription_.topic,
                   FindTopic(services_, call_, request_.message_queue().topic(), kToSub));
  RETURN_IF_ERROR(CheckReadable(*subscription_.topic));
  ASSIGN_OR_RETURN(subscription_.filter, FindFilter(services_, request_.filter_expression()));
  if (subscription_.topic->lite() && !subscription_.filter.matches_all()) {
    return PublicError(PublicCode::kIllegalFilterExpression,
                       "consumers of lightweight topics get all messages of those they subscribe "
                       "to; leave the filter out, or use *");
  }
  subscription_.auto_renew = request_.auto_renew();
  if (!request_.auto_renew()) {
    subscription_.invisible = ToMillis(request_.invisible_duration());
    RETURN_IF_ERROR(CheckReceiveInvisible(subscription_.invisible,
                                          services_.config.min_invisible_duration_ms(),
                                          services_.config.max_invisible_duration_ms()));
  }
  RETURN_IF_ERROR(CheckBatchSize(request_.batch_size()));
  subscription_.batch = std::min<size_t>(static_cast<size_t>(request_.batch_size()),
                                         services_.config.max_receive_batch());
  subscription_.client_id = call_.client_id;
  RETURN_IF_ERROR(CheckAttemptId(request_.attempt_id()));
  subscription_.attempt_id = request_.attempt_id();
  // The push consumer of the SDK for Go goes on to the next message of a batch while one that
  // failed waits for its next try: it keeps the order of what it gets one by one.
  if ((request_.auto_renew() || subscription_.topic->lite()) && call_.language == "GO") {
    subscription_.message_group_batch = 1;
  }
  services_.clients.Touch(call_.client_id);
  ASSIGN_OR_RETURN(const milliseconds polling, PollingTime());
  deadline_ = services_.clock.Now() + polling;
  return absl::OkStatus();
}

absl::Status ReceiveCall::EnterSubscription() {
  const v2::FilterExpression& filter = request_.filter_expression();
  return services_.subscriptions.Enter({subscription_.group->id, subscription_.topic->id},
                                       {filter.type(), filter.expression()}, call_.client_id);
}

bool ReceiveCall::IsFilterInForce() const {
  const v2::FilterExpression& filter = request_.filter_expression();
  return services_.subscriptions.IsInForce({subscription_.group->id, subscription_.topic->id},
                                           {filter.type(), filter.expression()});
}

absl::StatusOr<milliseconds> ReceiveCall::PollingTime() const {
  const milliseconds longest(services_.config.max_long_polling_ms());
  const auto now = std::chrono::system_clock::now();
  // Without a deadline gRPC says "never".
  const milliseconds remaining =
      call_.deadline - now > std::chrono::hours(1)
          ? std::chrono::hours(1)
          : std::chrono::duration_cast<milliseconds>(call_.deadline - now);
  const milliseconds base = request_.has_long_polling_timeout()
                                ? ToMillis(request_.long_polling_timeout())
                                : remaining - kUsualRequestTime;
  if (remaining <= milliseconds(0) ||
      (request_.has_long_polling_timeout() && base < milliseconds(0))) {
    return PublicError(
        PublicCode::kIllegalPollingTime,
        fmt::format("a polling time of {} ms with {} ms left until the deadline of the call; "
                    "allow more time",
                    base.count(), remaining.count()));
  }
  return std::clamp(std::min(base, remaining - kReserve), milliseconds(0), longest);
}

void ReceiveCall::Wait() {
  permit_ = PermitFor(services_, call_, *subscription_.topic, kToSub, subscription_.group.get());
  WaitingRoom::Place place{subscription_.topic->id, subscription_.group->id};
  if (subscription_.topic->lite()) {
    place.client = PlaceOf(place.topic, place.group, call_.client_id).client;
  }
  const absl::Status entered = services_.waiting_room.Enter(self_, place, deadline_);
  if (!entered.ok()) Answer(entered, {});
}

absl::Status ReceiveCall::LookAgain() {
  std::shared_ptr<const Topic> topic_now = services_.topics.FindTopic(subscription_.topic->id);
  if (topic_now == nullptr) return NoTopic(subscription_.topic->name);
  subscription_.topic = std::move(topic_now);
  RETURN_IF_ERROR(CheckReadable(*subscription_.topic));
  RETURN_IF_ERROR(permit_.Check());
  std::shared_ptr<const Group> group_now = services_.topics.FindGroup(subscription_.group->id);
  if (group_now == nullptr) {
    return PublicError(PublicCode::kConsumerGroupNotFound,
                       fmt::format("group {} was deleted", subscription_.group->name));
  }
  RETURN_IF_ERROR(SetGroup(std::move(group_now)));
  if (IsFilterInForce()) return absl::OkStatus();
  return PublicError(PublicCode::kMessageNotFound,
                     "the group has changed over to another filter while the poll waited");
}

Waiter::Outcome ReceiveCall::TryServe() {
  {
    MutexLock lock(mutex_);
    if (state_ != State::kWaiting) return Outcome::kServed;
  }
  if (const absl::Status status = LookAgain(); !status.ok()) {
    Answer(status, {});
    return Outcome::kServed;
  }
  Taker::Taken taken = subscription_.topic->lite() ? services_.lite.Take(subscription_)
                                                   : services_.taker.Take(subscription_);
  if (taken.messages.empty() && taken.throttled) return Outcome::kNotYet;
  if (taken.messages.empty()) return taken.exhausted ? Outcome::kNothing : Outcome::kLookAgain;
  Answer(absl::OkStatus(), std::move(taken.messages));
  return Outcome::kServed;
}

void ReceiveCall::OnTimeout() {
  Answer(PublicError(PublicCode::kMessageNotFound, "no message came while the poll waited"), {});
}

bool ReceiveCall::Claim(State to) {
  MutexLock lock(mutex_);
  if (state_ != State::kWaiting) return false;
  state_ = to;
  return true;
}

void ReceiveCall::Answer(const absl::Status& status, std::vector<Delivered> messages) {
  if (!Claim(State::kWriting)) {
    // The caller has gone meanwhile: as if nothing had been taken.
    for (const Delivered& message : messages) {
      services_.progress.Return(message.handle, milliseconds(0), /*counts=*/false);
    }
    if (!messages.empty()) {
      services_.waiting_room.Nudge(subscription_.topic->id, subscription_.group->id);
    }
    return;
  }
  status_ = ToWire(status);
  for (Delivered& message : messages) {
    absl::StatusOr<grpc::ByteBuffer> encoded =
        EncodeDelivered(services_, request_.message_queue().topic(), message, /*lease=*/true);
    if (!encoded.ok()) {
      log::Error("a message is passed over: {}", encoded.status().ToString());
      services_.progress.Finish(message.handle);
      continue;
    }
    services_.trace.Note(
        TraceStep::kDelivered, message.handle.queue, message.handle.offset, 1,
        {services_.trace.NumberOf(call_.client_id), message.handle.group, message.handle.attempt});
    encoded_.push_back(*std::move(encoded));
    messages_.push_back(std::move(message));
  }
  if (status.ok() && messages_.empty()) {
    status_ = ToWire(PublicError(PublicCode::kMessageNotFound, "no message that can be read"));
  }
  WriteNext();
}

grpc::ByteBuffer ReceiveCall::Element(size_t index) {
  if (index >= 1 && index <= messages_.size()) return encoded_[index - 1];
  v2::ReceiveMessageResponse element;
  if (index == 0) {
    *element.mutable_status() = status_;
  } else {
    const int64_t now = ToUnixMillis(services_.clock.Now());
    element.mutable_delivery_timestamp()->set_seconds(now / 1000);
    element.mutable_delivery_timestamp()->set_nanos(static_cast<int32_t>(now % 1000) * 1'000'000);
  }
  return Serialize(element);
}

void ReceiveCall::WriteNext() {
  element_ = Element(next_);
  if (next_ > messages_.size()) {
    MutexLock lock(mutex_);
    if (state_ == State::kFinished) return;
    state_ = State::kFinished;
    StartWriteAndFinish(&element_, grpc::WriteOptions(), grpc::Status::OK);
    return;
  }
  // The messages leave in as few packets as fit. Not so the first element: it takes the headers
  // with it, and gRPC does not complete a held-back write of headers until something else on the
  // connection is written.
  grpc::WriteOptions options;
  if (next_ > 0) options.set_buffer_hint();
  ++next_;
  StartWrite(&element_, options);
}

void ReceiveCall::OnWriteDone(bool ok) {
  if (ok) {
    written_ = next_ - 1;  // the first element is the status
    return WriteNext();
  }
  MutexLock lock(mutex_);
  cancelled_ = true;
  if (state_ == State::kFinished) return;
  state_ = State::kFinished;
  Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the caller has gone"));
}

void ReceiveCall::OnCancel() {
  {
    MutexLock lock(mutex_);
    cancelled_ = true;
    if (state_ != State::kWaiting) return;  // the write under way fails, and ends it
    state_ = State::kFinished;
  }
  Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the caller has gone"));
  services_.waiting_room.Leave(*this);
}

void ReceiveCall::OnDone() {
  bool cancelled = false;
  {
    MutexLock lock(mutex_);
    cancelled = cancelled_;
  }
  if (cancelled) {
    for (size_t i = 0; i < messages_.size(); ++i) {
      services_.progress.Return(messages_[i].handle, kReleaseDelay, /*counts=*/i < written_);
    }
  }
  self_.reset();  // the waiting room may still hold the last reference
}

}  // namespace dunlin::broker
