#include "clients/cpp/src/lite_core.h"

#include <pthread.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "clients/cpp/src/control_message.h"
#include "clients/cpp/src/unary_call.h"

namespace dunlin::internal {
namespace {

namespace v2 = apache::rocketmq::v2;
using std::chrono::milliseconds;

constexpr char kTelemetry[] = "/apache.rocketmq.v2.MessagingService/Telemetry";
constexpr char kSync[] = "/apache.rocketmq.v2.MessagingService/SyncLiteSubscription";
constexpr char kAck[] = "/apache.rocketmq.v2.MessagingService/AckMessage";
constexpr char kChange[] = "/apache.rocketmq.v2.MessagingService/ChangeInvisibleDuration";
constexpr char kGoodBye[] = "/apache.rocketmq.v2.MessagingService/NotifyClientTermination";
constexpr size_t kLargestBatch = 32;
constexpr milliseconds kLongestWait{15000};  // of one receive
constexpr milliseconds kFirstPause{50};
// The broker forgets a client of which it has heard nothing for 35 s, if its stream is broken.
constexpr milliseconds kTellInterval{20000};
constexpr milliseconds kTellAgain{1000};
constexpr milliseconds kGoodByeTimeout{1000};
// Until the broker has told its policy.
constexpr milliseconds kRetryDelay{1000};

absl::Status Closed() { return absl::FailedPreconditionError("the consumer is closed"); }

void SetDuration(milliseconds from, google::protobuf::Duration* to) {
  to->set_seconds(from.count() / 1000);
  to->set_nanos(static_cast<int32_t>(from.count() % 1000) * 1'000'000);
}

milliseconds ToMillis(const google::protobuf::Duration& from) {
  return milliseconds(from.seconds() * 1000 + from.nanos() / 1'000'000);
}

int64_t NowMillis() {
  return std::chrono::duration_cast<milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

absl::Status SetStart(const StartAt& start, v2::OffsetOption& option) {
  switch (start.kind()) {
    case StartAt::Kind::kFirst:
      option.set_policy(v2::OffsetOption::MIN);
      break;
    case StartAt::Kind::kLast:
      option.set_policy(v2::OffsetOption::MAX);
      break;
    case StartAt::Kind::kCommitted:
      option.set_policy(v2::OffsetOption::LAST);
      break;
    case StartAt::Kind::kOffset:
      option.set_offset(start.value());
      break;
    case StartAt::Kind::kTime:
      option.set_timestamp(start.value());
      break;
  }
  if (option.has_offset() && option.offset() < 0) {
    return absl::InvalidArgumentError("start: an offset below 2^63");
  }
  return absl::OkStatus();
}

}  // namespace

LiteCore::LiteCore(std::shared_ptr<Connection> connection, const LiteOptions& options,
                   std::optional<milliseconds> invisible)
    : connection_(std::move(connection)), options_(options), invisible_(invisible) {
  Tick(steady_clock::now());
  thread_ = std::thread([this] { Keep(); });
  pthread_setname_np(thread_.native_handle(), "dunlin-lite");
}

LiteCore::~LiteCore() { Close(); }

void LiteCore::Stop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  for (ReceiveCall* call : receives_) call->Cancel();
  if (stream_ != nullptr) stream_->Cancel();
  changed_.SignalAll();
}

void LiteCore::Close() {
  Stop();
  {
    MutexLock lock(mutex_);
    if (std::exchange(closed_, true)) return;
  }
  connection_->ticker()->Forget(this);
  thread_.join();
  {
    MutexLock lock(mutex_);
    while (stream_ != nullptr || !receives_.empty()) changed_.Wait(mutex_);
  }
  v2::NotifyClientTerminationRequest request;
  connection_->Fill(options_.group, *request.mutable_group());
  v2::NotifyClientTerminationResponse response;
  // One that does not arrive is made good by the broker's patience with silent clients.
  Call(*connection_, kGoodBye, request, std::min(kGoodByeTimeout, options_.request_timeout),
       response);
}

void LiteCore::Report(const absl::Status& status) const {
  if (options_.on_error) options_.on_error(status);
}

bool LiteCore::Pause(milliseconds pause) {
  const SteadyTime until = steady_clock::now() + pause;
  MutexLock lock(mutex_);
  while (!stopping_ && changed_.WaitUntil(mutex_, until)) {
  }
  return stopping_;
}

// Subscriptions.

void LiteCore::BeginSync() {
  MutexLock lock(mutex_);
  while (syncing_) changed_.Wait(mutex_);
  syncing_ = true;
}

void LiteCore::EndSync() {
  MutexLock lock(mutex_);
  syncing_ = false;
  changed_.SignalAll();
}

absl::Status LiteCore::Sync(SyncRequest& request) {
  connection_->Fill(options_.topic, *request.mutable_topic());
  connection_->Fill(options_.group, *request.mutable_group());
  {
    MutexLock lock(mutex_);
    if (stopping_) return Closed();
    version_ = std::max(version_ + 1, NowMillis());
    request.set_version(version_);
  }
  v2::SyncLiteSubscriptionResponse response;
  return StatusOf(Call(*connection_, kSync, request, options_.request_timeout, response), response);
}

absl::Status LiteCore::Subscribe(std::string_view lite_topic, const std::optional<StartAt>& start) {
  SyncRequest request;
  request.set_action(v2::PARTIAL_ADD);
  request.add_lite_topic_set(std::string(lite_topic));
  if (start.has_value()) {
    absl::Status status = SetStart(*start, *request.mutable_offset_option());
    if (!status.ok()) return status;
  }
  BeginSync();
  const absl::Status status = Sync(request);
  if (status.ok()) {
    MutexLock lock(mutex_);
    names_.emplace(lite_topic);
    tell_at_ = std::min(tell_at_, steady_clock::now() + kTellInterval);
    changed_.SignalAll();
  }
  EndSync();
  return status;
}

absl::Status LiteCore::Unsubscribe(std::string_view lite_topic) {
  BeginSync();
  {
    // Whether the broker hears of it now or not: it is not told again.
    MutexLock lock(mutex_);
    if (const auto found = names_.find(lite_topic); found != names_.end()) names_.erase(found);
  }
  SyncRequest request;
  request.set_action(v2::PARTIAL_REMOVE);
  request.add_lite_topic_set(std::string(lite_topic));
  const absl::Status status = Sync(request);
  EndSync();
  return status;
}

std::vector<std::string> LiteCore::Subscriptions() const {
  MutexLock lock(mutex_);
  return {names_.begin(), names_.end()};
}

void LiteCore::TellAll() {
  BeginSync();
  SyncRequest request;
  request.set_action(v2::COMPLETE_ADD);
  {
    MutexLock lock(mutex_);
    for (const std::string& name : names_) request.add_lite_topic_set(name);
  }
  const absl::Status status = Sync(request);
  const bool transient = MayBeTriedAgain(status);
  if (!status.ok() && !transient && !absl::IsFailedPrecondition(status)) Report(status);
  {
    MutexLock lock(mutex_);
    tell_at_ = steady_clock::now() + (transient ? kTellAgain : kTellInterval);
  }
  EndSync();
}

void LiteCore::Keep() {
  for (;;) {
    std::deque<std::string> lost;
    bool due = false;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && lost_.empty() && steady_clock::now() < tell_at_) {
        changed_.WaitUntil(mutex_, tell_at_);
      }
      if (stopping_) return;
      lost.swap(lost_);
      due = steady_clock::now() >= tell_at_;
    }
    for (const std::string& name : lost) {
      if (options_.on_lost) options_.on_lost(name);
    }
    if (due) TellAll();
  }
}

// Messages.

LiteCore::ReceiveRequest LiteCore::RequestOf(size_t max) {
  ReceiveRequest request;
  connection_->Fill(options_.group, *request.mutable_group());
  connection_->Fill(options_.topic, *request.mutable_message_queue()->mutable_topic());
  request.mutable_message_queue()->set_id(-1);
  request.set_batch_size(static_cast<int32_t>(std::min(max, kLargestBatch)));
  request.set_auto_renew(!invisible_.has_value());
  if (invisible_.has_value()) SetDuration(*invisible_, request.mutable_invisible_duration());
  // If the answer gets lost, the same messages come again, at once.
  request.set_attempt_id(attempt_ids_.Next());
  return request;
}

absl::StatusOr<std::vector<ReceivedLiteMessage>> LiteCore::Receive(size_t max,
                                                                   milliseconds timeout) {
  std::vector<ReceivedLiteMessage> messages;
  if (max == 0) return messages;
  const SteadyTime deadline = steady_clock::now() + timeout;
  ReceiveRequest request = RequestOf(max);
  for (int failures = 0;;) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    const absl::Status status =
        ReceiveOnce(request, std::clamp(left, milliseconds(0), kLongestWait), messages);
    if (!messages.empty()) return messages;
    if (status.ok()) {
      if (left <= kLongestWait) return messages;
      failures = 0;
      request.set_attempt_id(attempt_ids_.Next());
      continue;
    }
    const milliseconds pause = Backoff(failures++, kFirstPause);
    if (!MayBeTriedAgain(status) || steady_clock::now() + pause >= deadline) return status;
    if (Pause(pause)) return Closed();
  }
}

absl::Status LiteCore::ReceiveOnce(ReceiveRequest& request, milliseconds wait,
                                   std::vector<ReceivedLiteMessage>& messages) {
  SetDuration(wait, request.mutable_long_polling_timeout());
  ReceiveCall call(*connection_, request);
  {
    MutexLock lock(mutex_);
    receives_.insert(&call);
    if (stopping_) call.Cancel();
  }
  const absl::Status status = call.Wait(steady_clock::now() + wait + options_.request_timeout);
  bool stopped = false;
  {
    MutexLock lock(mutex_);
    receives_.erase(&call);
    stopped = stopping_;
    changed_.SignalAll();
  }
  Decode(call.TakeMessages(), messages);
  return stopped && messages.empty() ? Closed() : status;
}

void LiteCore::Decode(std::vector<v2::Message> from, std::vector<ReceivedLiteMessage>& to) {
  std::set<std::string> held_up;
  for (v2::Message& message : from) {
    const v2::SystemProperties& system = message.system_properties();
    ReceivedLiteMessage unread;
    unread.lite_topic = system.lite_topic();
    unread.message_id = system.message_id();
    unread.attempt = static_cast<uint32_t>(system.delivery_attempt());
    unread.receipt_handle = system.receipt_handle();
    const bool is_behind = held_up.contains(unread.lite_topic);
    if (!is_behind) {
      absl::StatusOr<ReceivedLiteMessage> received =
          FromPublicMessage(std::move(message), options_.max_body_bytes);
      if (received.ok()) {
        to.push_back(*std::move(received));
        continue;
      }
      Report(received.status());
      held_up.insert(unread.lite_topic);
    }
    // Not left to the end of its lease, which the broker may extend.
    const absl::Status status = PutOff(unread, RetryDelay(unread.attempt), /*suspend=*/is_behind);
    if (!status.ok()) Report(status);
  }
}

absl::Status LiteCore::Ack(std::span<const ReceivedLiteMessage> messages) {
  if (messages.empty()) return absl::OkStatus();
  v2::AckMessageRequest request;
  connection_->Fill(options_.group, *request.mutable_group());
  connection_->Fill(options_.topic, *request.mutable_topic());
  for (const ReceivedLiteMessage& message : messages) {
    v2::AckMessageEntry& entry = *request.add_entries();
    entry.set_message_id(message.message_id);
    entry.set_receipt_handle(message.receipt_handle);
    entry.set_lite_topic(message.lite_topic);
  }
  v2::AckMessageResponse response;
  const grpc::Status called = Call(*connection_, kAck, request, options_.request_timeout, response);
  absl::Status status = FromGrpc(called);
  for (const v2::AckMessageResultEntry& entry : response.entries()) {
    status.Update(FromPublic(entry.status()));
  }
  if (response.entries().empty() && called.ok()) status = FromPublic(response.status());
  return status;
}

absl::Status LiteCore::PutOff(const ReceivedLiteMessage& message, milliseconds delay,
                              bool suspend) {
  v2::ChangeInvisibleDurationRequest request;
  connection_->Fill(options_.group, *request.mutable_group());
  connection_->Fill(options_.topic, *request.mutable_topic());
  request.set_receipt_handle(message.receipt_handle);
  request.set_message_id(message.message_id);
  request.set_lite_topic(message.lite_topic);
  request.set_suspend(suspend);
  SetDuration(delay, request.mutable_invisible_duration());
  v2::ChangeInvisibleDurationResponse response;
  return StatusOf(Call(*connection_, kChange, request, options_.request_timeout, response),
                  response);
}

milliseconds LiteCore::RetryDelay(uint32_t attempt) const {
  MutexLock lock(mutex_);
  const int behind = static_cast<int>(std::max<uint32_t>(attempt, 1)) - 1;
  if (retry_policy_.has_customized_backoff()) {
    const auto& delays = retry_policy_.customized_backoff().next();
    if (!delays.empty()) return ToMillis(delays[std::min(behind, delays.size() - 1)]);
  } else if (retry_policy_.has_exponential_backoff()) {
    const v2::ExponentialBackoff& backoff = retry_policy_.exponential_backoff();
    const double delay = static_cast<double>(ToMillis(backoff.initial()).count()) *
                         std::pow(static_cast<double>(backoff.multiplier()), behind);
    const auto longest = static_cast<double>(ToMillis(backoff.max()).count());
    return milliseconds(static_cast<int64_t>(std::min(delay, longest)));
  }
  return kRetryDelay;
}

// The Telemetry stream.

void LiteCore::Tick(SteadyTime now) {
  v2::TelemetryCommand command;
  v2::Settings& settings = *command.mutable_settings();
  settings.set_client_type(invisible_.has_value() ? v2::LITE_SIMPLE_CONSUMER
                                                  : v2::LITE_PUSH_CONSUMER);
  settings.mutable_user_agent()->set_language(v2::CPP);
  v2::Subscription& subscription = *settings.mutable_subscription();
  connection_->Fill(options_.group, *subscription.mutable_group());
  connection_->Fill(options_.topic, *subscription.add_subscriptions()->mutable_topic());
  std::shared_ptr<ByteStream> stream;
  {
    MutexLock lock(mutex_);
    if (stopping_ || stream_ != nullptr || now < reconnect_at_) return;
    greeted_ = false;
    stream_ = ByteStream::Start(*connection_, kTelemetry, *this);
    stream = stream_;
  }
  stream->Write(ToBytes(command));
}

void LiteCore::OnRead(grpc::ByteBuffer& bytes) {
  v2::TelemetryCommand command;
  const bool parsed = FromBytes(bytes, command);
  MutexLock lock(mutex_);
  if (!parsed) return stream_->Cancel();
  refused_ = command.has_status() && IsRefusal(FromPublic(command.status()));
  if (command.has_settings()) Heed(command.settings());
  if (!command.has_notify_unsubscribe_lite_command()) return;
  const auto found = names_.find(command.notify_unsubscribe_lite_command().lite_topic());
  if (found == names_.end()) return;
  lost_.push_back(*found);
  names_.erase(found);
  changed_.SignalAll();
}

void LiteCore::Heed(const v2::Settings& settings) {
  if (settings.has_backoff_policy()) retry_policy_ = settings.backoff_policy();
  if (std::exchange(greeted_, true)) return;
  failures_ = 0;
  if (names_.empty()) return;
  // The broker may have been away, and knows of no subscription then.
  tell_at_ = steady_clock::now();
  changed_.SignalAll();
}

void LiteCore::OnEnd(const grpc::Status& status) {
  MutexLock lock(mutex_);
  stream_.reset();  // at once: who waits for it may let go of the channel then
  if (!stopping_) {
    const bool refused = std::exchange(refused_, false) || IsFatal(status);
    const milliseconds pause = refused ? kRefusedPause : Backoff(failures_++, kFirstPause);
    reconnect_at_ = steady_clock::now() + pause;
    connection_->ticker()->WakeAt(reconnect_at_, this);
  }
  changed_.SignalAll();
}

}  // namespace dunlin::internal
