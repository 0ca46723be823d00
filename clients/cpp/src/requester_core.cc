#include "clients/cpp/src/requester_core.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <random>
#include <string_view>
#include <vector>

namespace dunlin {
namespace {

// Properties of requests and replies: docs/request-reply.md.
constexpr std::string_view kReplyTopic = "reply-topic";
constexpr std::string_view kReplyTag = "reply-tag";
constexpr std::string_view kReplyBy = "reply-by";
constexpr std::string_view kCorrelation = "correlation-id";

// How long the thread sleeps at most: a bound for requests that begin to wait meanwhile.
constexpr std::chrono::milliseconds kIdleNap{50};
// Before the next try to read replies, after the topic was deleted.
constexpr std::chrono::seconds kAttachInterval{1};
constexpr std::chrono::milliseconds kNap{20};

template <typename Number>
std::optional<Number> ToNumber(std::optional<std::string_view> text) {
  Number number = 0;
  if (!text.has_value()) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return number;
}

bool IsOurs(std::string_view property) {
  return property == kReplyTopic || property == kReplyTag || property == kReplyBy ||
         property == kCorrelation;
}

std::string NewInbox() {
  std::random_device random;
  const uint64_t high = random();
  return fmt::format("{:016x}", high << 32 | random());
}

}  // namespace

absl::StatusOr<Message> ReplyTo(const MessageView& request) {
  const std::optional<std::string_view> topic = request.property(kReplyTopic);
  const std::optional<std::string_view> tag = request.property(kReplyTag);
  const std::optional<std::string_view> correlation = request.property(kCorrelation);
  if (!topic.has_value() || !tag.has_value() || !correlation.has_value()) {
    return absl::InvalidArgumentError("the message asks for no reply");
  }
  Message reply;
  reply.topic = std::string(*topic);
  reply.tag = std::string(*tag);
  reply.properties.emplace_back(kCorrelation, *correlation);
  return reply;
}

std::optional<Timestamp> ReplyDeadline(const MessageView& request) {
  const std::optional<int64_t> millis = ToNumber<int64_t>(request.property(kReplyBy));
  if (!millis.has_value()) return std::nullopt;
  return Timestamp(std::chrono::milliseconds(*millis));
}

namespace internal {

absl::StatusOr<std::shared_ptr<RequesterCore>> RequesterCore::Start(const RequesterOptions& options,
                                                                    Producer producer,
                                                                    PullConsumer consumer) {
  auto core = std::shared_ptr<RequesterCore>(
      new RequesterCore(options, std::move(producer), std::move(consumer)));
  const absl::Status attached = core->Attach();
  if (!attached.ok()) return attached;
  core->thread_ = std::thread([core = core.get()] { core->Loop(); });
  pthread_setname_np(core->thread_.native_handle(), "requester");
  return core;
}

RequesterCore::RequesterCore(const RequesterOptions& options, Producer producer,
                             PullConsumer consumer)
    : options_(options),
      inbox_(NewInbox()),
      producer_(std::move(producer)),
      consumer_(std::move(consumer)) {}

absl::Status RequesterCore::Attach() {
  return consumer_.AssignAll(options_.reply_topic, StartAt::Last(), Filter::Tags(inbox_)).status();
}

void RequesterCore::AttachAgain() {
  const SteadyTime now = std::chrono::steady_clock::now();
  if (now < attach_at_) return;
  attach_at_ = now + kAttachInterval;
  absl::Status attached = Attach();
  if (absl::IsAlreadyExists(attached)) attached = absl::OkStatus();
  MutexLock lock(mutex_);
  readable_ = attached;
}

absl::Status RequesterCore::RequestAsync(const Message& request, std::chrono::milliseconds timeout,
                                         Requester::Callback callback) {
  if (timeout.count() <= 0) return absl::InvalidArgumentError("a timeout above 0");
  for (const auto& [name, value] : request.properties) {
    if (IsOurs(name)) {
      return absl::InvalidArgumentError(fmt::format("the property {} is the requester's", name));
    }
  }
  uint64_t number = 0;
  {
    MutexLock lock(mutex_);
    if (closed_) return absl::CancelledError("the requester is closed");
    if (!readable_.ok()) return readable_;
    if (waiting_.size() >= options_.max_waiting) {
      return absl::ResourceExhaustedError("max_waiting requests have no reply yet");
    }
    number = next_++;
    const auto deadline = deadlines_.emplace(std::chrono::steady_clock::now() + timeout, number);
    waiting_.emplace(number, Waiting{std::move(callback), deadline});
  }
  Message asking = request;
  const auto until =
      std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now() + timeout);
  asking.properties.emplace_back(kReplyTopic, options_.reply_topic);
  asking.properties.emplace_back(kReplyTag, inbox_);
  asking.properties.emplace_back(kReplyBy, std::to_string(until.time_since_epoch().count()));
  asking.properties.emplace_back(kCorrelation, std::to_string(number));
  const absl::Status sent =
      producer_.SendAsync(asking, [this, number](const absl::StatusOr<Receipt>& receipt) {
        if (!receipt.ok()) Finish(number, receipt.status());
      });
  if (sent.ok()) return sent;
  MutexLock lock(mutex_);
  const auto waiting = waiting_.find(number);
  if (waiting == waiting_.end()) return absl::OkStatus();  // it has ended, and was told
  deadlines_.erase(waiting->second.deadline);
  waiting_.erase(waiting);
  return sent;
}

void RequesterCore::Finish(uint64_t number, const absl::StatusOr<ReceivedMessage>& reply) {
  Requester::Callback callback;
  {
    MutexLock lock(mutex_);
    const auto waiting = waiting_.find(number);
    if (waiting == waiting_.end()) return;  // a second reply, or one that is late
    callback = std::move(waiting->second.callback);
    deadlines_.erase(waiting->second.deadline);
    waiting_.erase(waiting);
  }
  callback(reply);
}

void RequesterCore::TakeReplies(const MessageBatch& batch) {
  for (const MessageView& message : batch) {
    // The broker filters by a hash of the tag first, and then by the tag: all are ours.
    const std::optional<uint64_t> number = ToNumber<uint64_t>(message.property(kCorrelation));
    if (number.has_value()) Finish(*number, batch.Keep(message));
  }
}

void RequesterCore::TimeOut() {
  const SteadyTime now = std::chrono::steady_clock::now();
  for (;;) {
    uint64_t number = 0;
    {
      MutexLock lock(mutex_);
      if (deadlines_.empty() || deadlines_.begin()->first > now) return;
      number = deadlines_.begin()->second;
    }
    Finish(number, absl::DeadlineExceededError("no reply came in time"));
  }
}

bool RequesterCore::IsReadable() {
  MutexLock lock(mutex_);
  return readable_.ok();
}

std::chrono::milliseconds RequesterCore::UntilNext() {
  MutexLock lock(mutex_);
  if (deadlines_.empty()) return kIdleNap;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadlines_.begin()->first -
                                                                 std::chrono::steady_clock::now());
  return std::clamp(left, std::chrono::milliseconds(0), kNap);
}

void RequesterCore::Loop() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      if (closed_) return;
    }
    const absl::StatusOr<MessageBatch> batch = consumer_.Poll(UntilNext());
    if (batch.ok()) {
      TakeReplies(*batch);
    } else if (absl::IsNotFound(batch.status()) || absl::IsOutOfRange(batch.status())) {
      MutexLock lock(mutex_);
      readable_ = batch.status();
    }
    if (!IsReadable()) AttachAgain();
    TimeOut();
  }
}

void RequesterCore::Close() {
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    closed_ = true;
  }
  consumer_.Close();
  if (thread_.joinable()) thread_.join();
  // Those whose sending fails are told by the producer.
  producer_.Close(std::chrono::milliseconds(0)).IgnoreError();
  std::vector<uint64_t> left;
  {
    MutexLock lock(mutex_);
    for (const auto& [deadline, number] : deadlines_) left.push_back(number);
  }
  for (const uint64_t number : left) {
    Finish(number, absl::CancelledError("the requester was closed"));
  }
}

}  // namespace internal
}  // namespace dunlin
