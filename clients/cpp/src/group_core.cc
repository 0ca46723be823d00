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
      connection_(connection),
      streams_(connection, options.group, options.max_buffered_bytes, *this) {}

GroupCore::~GroupCore() { Close(); }

v1::Attach GroupCore::MakeAttach(const Subscription& subscription,
                                 const Attachment& attachment) const {
  v1::Attach attach;
  attach.set_binding(attachment.binding);
  connection_->Fill(attachment.source->topic, *attach.mutable_topic());
  FillFilter(subscription.filter, *attach.mutable_filter());
  attach.mutable_group()->set_invisible_ms(Millis(options_.invisible_duration));
  attach.mutable_group()->set_max_unsettled(options_.max_unsettled);
  return attach;
}

GroupCore::Attachment* GroupCore::Find(uint32_t binding) {
  for (auto& [topic, subscription] : subscriptions_) {
    for (auto& [broker, attachment] : subscription.brokers) {
      if (attachment.binding == binding) return &attachment;
    }
  }
  return nullptr;
}

bool GroupCore::IsOf(const SubscribeStream& stream, uint32_t binding) const {
  const auto found = bindings_.find(binding);
  return found != bindings_.end() && found->second == &stream;
}

void GroupCore::ReturnCredit(const ReceivedFrame& frame) {
  bindings_.at(frame.binding())->ReturnCredit(frame.bytes());
}

void GroupCore::DropBinding(uint32_t binding) {
  std::erase_if(frames_, [&](const Buffered& buffered) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (buffered.frame->binding() != binding) return false;
    ReturnCredit(*buffered.frame);
    return true;
  });
  bindings_.erase(binding);
}

void GroupCore::Remove(const std::string& topic) {
  const auto found = subscriptions_.find(topic);
  for (auto& [broker, attachment] : found->second.brokers) {
    attachment.stream->Detach(attachment.binding);
    DropBinding(attachment.binding);
  }
  subscriptions_.erase(found);
  connection_->routes().Leave(topic, this);
  WantStreams();
  changed_.SignalAll();
}

void GroupCore::Drop(uint32_t binding, const absl::Status& why) {
  for (auto& [topic, subscription] : subscriptions_) {
    const auto at =
        std::find_if(subscription.brokers.begin(), subscription.brokers.end(),
                     [binding](const auto& entry) { return entry.second.binding == binding; });
    if (at == subscription.brokers.end()) continue;
    const bool is_last = subscription.brokers.size() == 1;
    // Elsewhere the topic is still there: that one broker has it no more is no error.
    const bool is_told = is_last || !absl::IsNotFound(why);
    if (is_told && errors_.size() < kMostErrors) errors_.push_back(why);
    DropBinding(binding);
    if (is_last) return Remove(std::string(topic));
    subscription.brokers.erase(at);
    WantStreams();
    changed_.SignalAll();
    return;
  }
}

void GroupCore::WantStreams() {
  std::set<const SubscribeStream*> wanted;
  for (const auto& [topic, subscription] : subscriptions_) {
    for (const auto& [broker, attachment] : subscription.brokers) {
      if (attachment.is_there) wanted.insert(attachment.stream);
    }
  }
  streams_.SetWanted(wanted);
}

absl::Status GroupCore::Subscribe(std::string_view topic, const Filter& filter) {
  const std::string name(topic);
  uint64_t number = 0;
  {
    MutexLock lock(mutex_);
    if (stopped_) return Closed();
    if (subscriptions_.contains(name)) {
      return absl::AlreadyExistsError(fmt::format("{} is subscribed to", topic));
    }
    Subscription& subscription = subscriptions_[name];
    subscription.filter = filter;
    number = subscription.number = ++last_number_;
  }
  connection_->routes().Follow(name, this);
  MutexLock lock(mutex_);
  return Await(name, number);
}

void GroupCore::OnRoute(const std::string& topic, const Route& route) {
  MutexLock lock(mutex_);
  const auto found = subscriptions_.find(topic);
  if (stopped_ || found == subscriptions_.end()) return;
  Subscription& subscription = found->second;
  subscription.is_routed = true;
  subscription.unroutable = route.status;
  changed_.SignalAll();
  for (auto& [broker, attachment] : subscription.brokers) attachment.is_there = false;
  for (const BrokerRoute& broker : route.brokers) {
    SubscribeStream& stream = streams_.At(broker);
    Attachment& attachment = subscription.brokers[broker.broker];
    attachment.is_there = true;
    if (attachment.stream != nullptr) continue;
    attachment.stream = &stream;
    attachment.binding = ++last_binding_;
    bindings_[attachment.binding] = &stream;
    attachment.source = std::make_shared<FrameSource>();
    attachment.source->topic = topic;
    attachment.source->broker = broker.broker;
    stream.Attach(MakeAttach(subscription, attachment));
  }
  WantStreams();
}

std::optional<absl::Status> GroupCore::AnswerTo(const Subscription& subscription) const {
  if (!subscription.is_routed) return std::nullopt;
  if (subscription.brokers.empty() && !subscription.unroutable.ok()) return subscription.unroutable;
  std::optional<absl::Status> answer;
  for (const auto& [broker, attachment] : subscription.brokers) {
    if (!attachment.is_there) continue;
    if (!attachment.answered) return std::nullopt;
    // One that takes it is enough.
    if (!answer.has_value() || attachment.status.ok()) answer = attachment.status;
  }
  return answer;
}

absl::Status GroupCore::Await(const std::string& topic, uint64_t number) {
  const SteadyTime deadline = steady_clock::now() + options_.request_timeout;
  for (bool in_time = true;; in_time = changed_.WaitUntil(mutex_, deadline)) {
    if (stopped_) return Closed();
    if (!rejected_.ok()) return rejected_;
    const auto found = subscriptions_.find(topic);
    if (found == subscriptions_.end() || found->second.number != number) {
      return absl::AbortedError("the topic was unsubscribed from meanwhile");
    }
    Subscription& subscription = found->second;
    std::optional<absl::Status> answer = AnswerTo(subscription);
    if (!answer.has_value() && !in_time) {
      // Brokers that do not answer are attached to when they do.
      const bool some = std::any_of(
          subscription.brokers.begin(), subscription.brokers.end(),
          [](const auto& entry) { return entry.second.answered && entry.second.status.ok(); });
      answer = some ? absl::OkStatus() : absl::DeadlineExceededError("no broker answers");
    }
    if (!answer.has_value()) continue;
    if (!answer->ok()) {
      Remove(topic);
      return *answer;
    }
    subscription.is_answered = true;
    std::vector<std::pair<uint32_t, absl::Status>> failed;
    for (const auto& [broker, attachment] : subscription.brokers) {
      if (!attachment.status.ok()) failed.emplace_back(attachment.binding, attachment.status);
    }
    for (const auto& [binding, status] : failed) Drop(binding, status);
    return absl::OkStatus();
  }
}

absl::Status GroupCore::Unsubscribe(std::string_view topic) {
  MutexLock lock(mutex_);
  const std::string name(topic);
  if (!subscriptions_.contains(name)) {
    return absl::NotFoundError(fmt::format("{} is not subscribed to", topic));
  }
  Remove(name);
  return absl::OkStatus();
}

void GroupCore::TakeBuffered(size_t max, std::vector<ReceivedMessage>& messages) {
  const SteadyTime now = steady_clock::now();
  while (messages.size() < max && !frames_.empty()) {
    Buffered& buffered = frames_.front();
    const std::vector<RecordRef>& records = buffered.frame->records();
    // Messages whose lease is over are somebody else's by now.
    if (buffered.frame->leased_until() <= now) buffered.next = records.size();
    for (; buffered.next < records.size() && messages.size() < max; ++buffered.next) {
      messages.emplace_back(buffered.frame, records[buffered.next]);
    }
    if (buffered.next < records.size()) return;
    ReturnCredit(*buffered.frame);
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

GroupCore::Delivery GroupCore::DeliveryOf(const MessageView& message) {
  const MessageLease lease(message);
  return {{lease.binding(), message.queue(), message.offset()}, lease.lease()};
}

void GroupCore::Say(const Delivery& delivery, const Settlement& settlement) {
  const auto& [binding, queue, offset] = delivery.first;
  const auto stream = bindings_.find(binding);
  if (stream == bindings_.end()) return;  // unsubscribed from: its lease ends by itself
  std::optional<uint64_t> lease = delivery.second;
  if (const auto found = extended_.find(delivery); found != extended_.end()) {
    lease = found->second.lease;
    if (settlement.outcome != v1::Verdict::EXTEND) extended_.erase(found);
  }
  if (!lease.has_value()) {
    ++late_;
    return;
  }
  v1::Verdict verdict;
  verdict.set_queue(queue);
  verdict.set_queue_offset(offset);
  verdict.set_lease(*lease);
  verdict.set_outcome(settlement.outcome);
  verdict.set_delay_ms(Millis(settlement.delay));
  stream->second->Settle(binding, verdict);
}

absl::Status GroupCore::Settle(const ReceivedMessage& message, Outcome outcome,
                               std::chrono::milliseconds delay) {
  MutexLock lock(mutex_);
  if (closed_) return Closed();
  const Delivery delivery = DeliveryOf(message);
  const auto extension = extensions_.find(delivery.first);
  if (extension != extensions_.end() && extension->second.delivery == delivery &&
      !extension->second.answered) {
    extension->second.then = Settlement{outcome, delay};
  } else {
    Say(delivery, {outcome, delay});
  }
  return absl::OkStatus();
}

bool GroupCore::HasEnded(const Delivery& delivery) const {
  const auto found = extended_.find(delivery);
  return found != extended_.end() && !found->second.lease.has_value();
}

bool GroupCore::BeginExtension(const Delivery& delivery, std::chrono::milliseconds duration,
                               bool awaited) {
  Extension extension;
  extension.delivery = delivery;
  extension.duration = duration;
  extension.awaited = awaited;
  if (!extensions_.try_emplace(delivery.first, std::move(extension)).second) return false;
  Say(delivery, {v1::Verdict::EXTEND, duration});
  return true;
}

absl::Status GroupCore::Extend(const ReceivedMessage& message, std::chrono::milliseconds duration) {
  const SteadyTime deadline = steady_clock::now() + options_.request_timeout;
  const Delivery delivery = DeliveryOf(message);
  MutexLock lock(mutex_);
  if (closed_) return Closed();
  if (HasEnded(delivery)) return absl::FailedPreconditionError("the lease had ended");
  if (!BeginExtension(delivery, duration, true)) {
    return absl::AbortedError("the lease is being extended by another thread");
  }
  Extension& extension = extensions_.at(delivery.first);
  bool in_time = true;
  while (!extension.answered && !closed_ && in_time) {
    in_time = changed_.WaitUntil(mutex_, deadline);
  }
  absl::Status status = extension.status;
  if (!extension.answered) status = absl::DeadlineExceededError("the broker does not answer");
  extensions_.erase(delivery.first);
  return status;
}

bool GroupCore::ExtendAll(std::span<const ReceivedMessage> messages,
                          std::chrono::milliseconds duration) {
  MutexLock lock(mutex_);
  if (closed_) return true;
  bool all = true;
  for (const ReceivedMessage& message : messages) {
    const Delivery delivery = DeliveryOf(message);
    if (!HasEnded(delivery) && !BeginExtension(delivery, duration, false)) all = false;
  }
  return all;
}

void GroupCore::EndExtension(Extension& extension, std::optional<uint64_t> lease) {
  extension.answered = true;
  if (!lease.has_value()) extension.status = absl::FailedPreconditionError("the lease had ended");
  if (!lease.has_value() && extension.awaited) {
    // Who waits is told, and need not say anything more about the message.
    extended_.erase(extension.delivery);
    ++late_;
  } else {
    // The broker counts from before the answer.
    extended_[extension.delivery] = {lease, steady_clock::now() + extension.duration};
    if (extension.then.has_value()) Say(extension.delivery, *extension.then);
  }
  extension.then.reset();
  ForgetEnded();
  changed_.SignalAll();
}

void GroupCore::ForgetEnded() {
  if (extended_.size() < forget_at_) return;
  const SteadyTime now = steady_clock::now();
  std::erase_if(extended_, [now](const auto& entry) { return entry.second.until <= now; });
  forget_at_ = std::max(kFewExtended, 2 * extended_.size());
}

void GroupCore::OnSettled(const v1::Settled& settled) {
  MutexLock lock(mutex_);
  const auto found = extensions_.find({settled.binding(), settled.queue(), settled.queue_offset()});
  const bool ok = settled.status().code() == v2::OK;
  if (found == extensions_.end() || found->second.answered) {
    if (!ok) ++late_;
    return;
  }
  EndExtension(found->second, ok ? std::optional(settled.lease()) : std::nullopt);
  if (!found->second.awaited) extensions_.erase(found);
}

bool GroupCore::rejected() {
  MutexLock lock(mutex_);
  return !rejected_.ok();
}

uint64_t GroupCore::late_settlements() {
  MutexLock lock(mutex_);
  return late_;
}

size_t GroupCore::extended_leases() {
  MutexLock lock(mutex_);
  return extended_.size();
}

void GroupCore::OnAttached(const v1::Attached& attached) {
  MutexLock lock(mutex_);
  Attachment* attachment = Find(attached.binding());
  if (attachment == nullptr) return;
  const bool was_answered = std::exchange(attachment->answered, true);
  const v2::Code code = attached.status().code();
  attachment->status = FromPublic(attached.status());
  changed_.SignalAll();
  if (code == v2::OK) {
    attachment->source->topic_id = attached.topic_id();
    return;
  }
  const auto subscription = subscriptions_.find(attachment->source->topic);
  // Who subscribes is told.
  if (!was_answered && !subscription->second.is_answered) return;
  // It had been attached before the connection broke, or its broker came later. These pass: there
  // is no room, others of the group have another filter for now, or the broker is not ready.
  if (IsTransient(code)) {
    attachment->status = absl::OkStatus();
    return attachment->stream->RestartLater();
  }
  Drop(attached.binding(), absl::Status(attachment->status));
}

void GroupCore::OnDetached(const v1::Detached& detached) {
  MutexLock lock(mutex_);
  Attachment* attachment = Find(detached.binding());
  if (detached.status().code() == v2::OK || attachment == nullptr) return;
  // This passes; the subscription stays, and is attached again.
  if (IsTransient(detached.status().code())) return attachment->stream->RestartLater();
  Drop(detached.binding(), FromPublic(detached.status()));
}

void GroupCore::OnFrame(SubscribeStream& stream, std::shared_ptr<ReceivedFrame> frame) {
  const SteadyTime leased_until = steady_clock::now() + options_.invisible_duration;
  frame->set_leased_until(leased_until);
  // Damaged messages are left out; they come again when their leases are over.
  frame->Check(true, options_.max_body_bytes);
  MutexLock lock(mutex_);
  const Attachment* attachment = Find(frame->binding());
  if (attachment == nullptr) return stream.ReturnCredit(frame->bytes());
  if (stopped_) return ReleaseBuffered({std::move(frame)});  // and no credit for more
  frame->set_source(attachment->source);
  frames_.push_back({std::move(frame)});
  // Most are taken long before: one wake-up is enough for all that come meanwhile.
  if (const SteadyTime release = ReleaseTimeOf(frames_.back()); release < wake_at_) {
    wake_at_ = release;
    connection_->ticker()->WakeAt(release, this);
  }
  changed_.SignalAll();  // who waits for an answer waits here too
}

SteadyTime GroupCore::ReleaseTimeOf(const Buffered& buffered) const {
  return buffered.frame->leased_until() - options_.invisible_duration / 4;
}

void GroupCore::ReleaseBuffered(const Buffered& buffered) {
  const std::vector<RecordRef>& records = buffered.frame->records();
  for (size_t i = buffered.next; i < records.size(); ++i) {
    const MessageView message(buffered.frame.get(), records[i]);
    Say(DeliveryOf(message), {v1::Verdict::RELEASE, {}});
  }
}

void GroupCore::Tick(SteadyTime now) {
  MutexLock lock(mutex_);
  wake_at_ = SteadyTime::max();
  // Their leases end in the order they came.
  while (!frames_.empty() && ReleaseTimeOf(frames_.front()) <= now) {
    ReleaseBuffered(frames_.front());
    ReturnCredit(*frames_.front().frame);
    frames_.pop_front();
  }
  if (frames_.empty()) return;
  wake_at_ = ReleaseTimeOf(frames_.front());
  connection_->ticker()->WakeAt(wake_at_, this);
}

std::vector<v1::Attach> GroupCore::Attachments(SubscribeStream& stream) {
  MutexLock lock(mutex_);
  // Leases have ended with the last call.
  for (auto extension = extensions_.begin(); extension != extensions_.end();) {
    auto& [place, state] = *extension;
    const bool has_ended = IsOf(stream, std::get<0>(place));
    if (has_ended && !state.answered) EndExtension(state, std::nullopt);
    extension = !has_ended || state.awaited ? std::next(extension) : extensions_.erase(extension);
  }
  std::erase_if(extended_, [&](const auto& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return IsOf(stream, std::get<0>(entry.first.first));
  });
  std::vector<v1::Attach> attachments;
  if (stopped_) return attachments;
  for (const auto& [topic, subscription] : subscriptions_) {
    for (const auto& [broker, attachment] : subscription.brokers) {
      if (attachment.stream == &stream) attachments.push_back(MakeAttach(subscription, attachment));
    }
  }
  return attachments;
}

void GroupCore::OnRejected(SubscribeStream& /*stream*/, const absl::Status& status) {
  MutexLock lock(mutex_);
  rejected_ = status;
  changed_.SignalAll();
}

void GroupCore::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
  changed_.SignalAll();
}

bool GroupCore::IsSettling() const {
  return std::any_of(extensions_.begin(), extensions_.end(),
                     [](const auto& entry) { return entry.second.then.has_value(); });
}

void GroupCore::Close() {
  const SteadyTime deadline = steady_clock::now() + options_.request_timeout;
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    stopped_ = closed_ = true;
    for (const Buffered& buffered : frames_) ReleaseBuffered(buffered);
    frames_.clear();
    changed_.SignalAll();
    bool in_time = true;
    while (IsSettling() && in_time) in_time = changed_.WaitUntil(mutex_, deadline);
  }
  connection_->ticker()->Forget(this);
  connection_->routes().Forget(this);
  mutex_.Lock();
  const std::vector<SubscribeStream*> streams = streams_.All();
  mutex_.Unlock();
  ShutDown(streams, options_.request_timeout);
}

}  // namespace dunlin::internal
