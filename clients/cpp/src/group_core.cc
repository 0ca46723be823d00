#include "clients/cpp/src/group_core.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace dunlin::internal {
namespace {

namespace v1 = dunlin::broker::v1;
namespace v2 = apache::rocketmq::v2;

constexpr size_t kMostErrors = 1000;  // that wait to be told

uint32_t Millis(std::chrono::milliseconds duration) {
  return static_cast<uint32_t>(std::clamp<int64_t>(duration.count(), 0, UINT32_MAX));
}

absl::Status Closed() { return absl::FailedPreconditionError("the consumer is closed"); }

}  // namespace

GroupCore::GroupCore(const std::shared_ptr<Connection>& connection, const GroupOptions& options)
    : options_(options),
      stream_(std::make_unique<SubscribeStream>(connection, options.group,
                                                options.max_buffered_bytes, *this)) {}

GroupCore::~GroupCore() { Close(); }

v1::Attach GroupCore::MakeAttach(const Subscription& subscription) const {
  v1::Attach attach;
  attach.set_binding(subscription.binding);
  stream_->connection().Fill(subscription.source->topic, *attach.mutable_topic());
  FillFilter(subscription.filter, *attach.mutable_filter());
  attach.mutable_group()->set_invisible_ms(Millis(options_.invisible_duration));
  attach.mutable_group()->set_max_unsettled(options_.max_unsettled);
  return attach;
}

GroupCore::Subscription* GroupCore::Find(uint32_t binding) {
  for (auto& [topic, subscription] : subscriptions_) {
    if (subscription.binding == binding) return &subscription;
  }
  return nullptr;
}

void GroupCore::Remove(uint32_t binding) {
  std::erase_if(frames_, [&](const Buffered& buffered) {
    if (buffered.frame->binding() != binding) return false;
    stream_->ReturnCredit(buffered.frame->bytes());
    return true;
  });
  std::erase_if(subscriptions_,
                [binding](const auto& entry) { return entry.second.binding == binding; });
  changed_.SignalAll();
}

absl::Status GroupCore::Subscribe(std::string_view topic, const Filter& filter) {
  stream_->Start();
  MutexLock lock(mutex_);
  const std::string name(topic);
  if (subscriptions_.contains(name)) {
    return absl::AlreadyExistsError(fmt::format("{} is subscribed to", topic));
  }
  Subscription& subscription = subscriptions_[name];
  subscription.filter = filter;
  subscription.binding = ++last_binding_;
  subscription.source = std::make_shared<FrameSource>();
  subscription.source->topic = name;
  stream_->Attach(MakeAttach(subscription));
  return Await(name, subscription.binding);
}

absl::Status GroupCore::Await(const std::string& topic, uint32_t binding) {
  const SteadyTime deadline = steady_clock::now() + options_.request_timeout;
  for (;;) {
    if (stopped_) return Closed();
    if (!rejected_.ok()) return rejected_;
    const auto found = subscriptions_.find(topic);
    if (found == subscriptions_.end() || found->second.binding != binding) {
      return absl::AbortedError("the topic was unsubscribed from meanwhile");
    }
    if (found->second.answered) {
      const absl::Status status = found->second.status;
      if (!status.ok()) Remove(binding);
      return status;
    }
    if (!changed_.WaitUntil(mutex_, deadline)) {
      stream_->Detach(binding);
      Remove(binding);
      return absl::DeadlineExceededError("the broker does not answer");
    }
  }
}

absl::Status GroupCore::Unsubscribe(std::string_view topic) {
  MutexLock lock(mutex_);
  const auto found = subscriptions_.find(std::string(topic));
  if (found == subscriptions_.end()) {
    return absl::NotFoundError(fmt::format("{} is not subscribed to", topic));
  }
  const uint32_t binding = found->second.binding;
  stream_->Detach(binding);
  Remove(binding);
  return absl::OkStatus();
}

void GroupCore::TakeBuffered(size_t max, std::vector<ReceivedMessage>& messages) {
  const SteadyTime now = steady_clock::now();
  while (messages.size() < max && !frames_.empty()) {
    Buffered& buffered = frames_.front();
    const std::vector<RecordRef>& records = buffered.frame->records();
    // Messages whose lease is over are somebody else's by now.
    if (buffered.leased_until <= now) buffered.next = records.size();
    for (; buffered.next < records.size() && messages.size() < max; ++buffered.next) {
      messages.emplace_back(buffered.frame, records[buffered.next]);
    }
    if (buffered.next < records.size()) return;
    stream_->ReturnCredit(buffered.frame->bytes());
    frames_.pop_front();
  }
}

absl::StatusOr<std::vector<ReceivedMessage>> GroupCore::Take(size_t max,
                                                             std::chrono::milliseconds timeout) {
  const SteadyTime deadline = steady_clock::now() + timeout;
  std::vector<ReceivedMessage> messages;
  MutexLock lock(mutex_);
  for (bool in_time = true; in_time;) {
    if (stopped_) return Closed();
    TakeBuffered(max, messages);
    // There may be more for another thread that waits.
    if (!frames_.empty()) changed_.SignalAll();
    if (!messages.empty()) return messages;
    if (!errors_.empty()) {
      const absl::Status error = std::move(errors_.front());
      errors_.pop_front();
      return error;
    }
    if (!rejected_.ok()) return rejected_;
    in_time = changed_.WaitUntil(mutex_, deadline);
  }
  return messages;
}

v1::Verdict GroupCore::MakeVerdict(const MessageView& message, Outcome outcome,
                                   std::chrono::milliseconds delay) {
  const MessageLease lease(message);
  v1::Verdict verdict;
  verdict.set_queue(message.queue());
  verdict.set_queue_offset(message.offset());
  verdict.set_lease(lease.lease());
  verdict.set_outcome(outcome);
  verdict.set_delay_ms(Millis(delay));
  if (extended_.empty()) return verdict;
  const Place place{lease.binding(), message.queue(), message.offset()};
  const auto found = extended_.find({place, lease.lease()});
  if (found == extended_.end()) return verdict;
  verdict.set_lease(found->second);
  if (outcome != v1::Verdict::EXTEND) extended_.erase(found);
  return verdict;
}

absl::Status GroupCore::Settle(const ReceivedMessage& message, Outcome outcome,
                               std::chrono::milliseconds delay) {
  MutexLock lock(mutex_);
  if (closed_) return Closed();
  stream_->Settle(MessageLease(message).binding(), MakeVerdict(message, outcome, delay));
  return absl::OkStatus();
}

absl::Status GroupCore::Extend(const ReceivedMessage& message, std::chrono::milliseconds duration) {
  const SteadyTime deadline = steady_clock::now() + options_.request_timeout;
  const MessageLease lease(message);
  const Place place{lease.binding(), message.queue(), message.offset()};
  MutexLock lock(mutex_);
  if (closed_) return Closed();
  if (!extensions_.try_emplace(place, Extension{lease.lease(), false, {}}).second) {
    return absl::AbortedError("the lease is being extended by another thread");
  }
  stream_->Settle(lease.binding(), MakeVerdict(message, v1::Verdict::EXTEND, duration));
  Extension& extension = extensions_.at(place);
  bool in_time = true;
  while (!extension.answered && !closed_ && in_time) {
    in_time = changed_.WaitUntil(mutex_, deadline);
  }
  absl::Status status = extension.status;
  if (!extension.answered) status = absl::DeadlineExceededError("the broker does not answer");
  extensions_.erase(place);
  return status;
}

void GroupCore::OnSettled(const v1::Settled& settled) {
  MutexLock lock(mutex_);
  const Place place{settled.binding(), settled.queue(), settled.queue_offset()};
  const auto extension = extensions_.find(place);
  const bool ok = settled.status().code() == v2::OK;
  if (!ok) ++late_;
  if (extension == extensions_.end()) return;
  extension->second.answered = true;
  if (ok) {
    extended_[{place, extension->second.lease}] = settled.lease();
  } else {
    extension->second.status = absl::FailedPreconditionError("the lease had ended");
  }
  changed_.SignalAll();
}

bool GroupCore::rejected() {
  MutexLock lock(mutex_);
  return !rejected_.ok();
}

uint64_t GroupCore::late_settlements() {
  MutexLock lock(mutex_);
  return late_;
}

void GroupCore::OnAttached(const v1::Attached& attached) {
  MutexLock lock(mutex_);
  Subscription* subscription = Find(attached.binding());
  if (subscription == nullptr) return;
  const absl::Status status = FromPublic(attached.status());
  if (status.ok()) {
    subscription->source->topic_id = attached.topic_id();
  } else if (subscription->answered) {
    // It had been attached before the connection broke.
    if (errors_.size() < kMostErrors) errors_.push_back(status);
    Remove(attached.binding());
    return;
  }
  subscription->status = status;
  subscription->answered = true;
  changed_.SignalAll();
}

void GroupCore::OnDetached(const v1::Detached& detached) {
  MutexLock lock(mutex_);
  if (detached.status().code() == v2::OK || Find(detached.binding()) == nullptr) return;
  if (errors_.size() < kMostErrors) errors_.push_back(FromPublic(detached.status()));
  Remove(detached.binding());
}

void GroupCore::OnFrame(std::shared_ptr<ReceivedFrame> frame) {
  const SteadyTime leased_until = steady_clock::now() + options_.invisible_duration;
  // Damaged messages are left out; they come again when their leases are over.
  frame->Check(true, options_.max_body_bytes);
  MutexLock lock(mutex_);
  const Subscription* subscription = Find(frame->binding());
  if (subscription == nullptr || stopped_) {
    stream_->ReturnCredit(frame->bytes());
    return;
  }
  frame->set_source(subscription->source);
  frames_.push_back({std::move(frame), 0, leased_until});
  changed_.SignalAll();  // who waits for an answer waits here too
}

std::vector<v1::Attach> GroupCore::Attachments() {
  MutexLock lock(mutex_);
  std::vector<v1::Attach> attachments;
  if (stopped_) return attachments;
  for (const auto& [topic, subscription] : subscriptions_) {
    attachments.push_back(MakeAttach(subscription));
  }
  return attachments;
}

void GroupCore::OnRejected(const absl::Status& status) {
  MutexLock lock(mutex_);
  rejected_ = status;
  changed_.SignalAll();
}

void GroupCore::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  changed_.SignalAll();
}

void GroupCore::Close() {
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    stopped_ = closed_ = true;
    for (const Buffered& buffered : frames_) {
      const std::vector<RecordRef>& records = buffered.frame->records();
      for (size_t i = buffered.next; i < records.size(); ++i) {
        const MessageView message(buffered.frame.get(), records[i]);
        stream_->Settle(buffered.frame->binding(), MakeVerdict(message, v1::Verdict::RELEASE, {}));
      }
    }
    frames_.clear();
    changed_.SignalAll();
  }
  stream_->Shutdown(options_.request_timeout);
}

}  // namespace dunlin::internal
