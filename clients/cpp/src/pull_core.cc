#include "clients/cpp/src/pull_core.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace dunlin::internal {
namespace {

namespace v1 = dunlin::broker::v1;
namespace v2 = apache::rocketmq::v2;

constexpr std::chrono::milliseconds kClosePatience{2000};
constexpr size_t kMostErrors = 1000;  // that wait to be polled

absl::Status NotAssigned(std::string_view topic, uint32_t queue) {
  return absl::NotFoundError(fmt::format("queue {} of {} is not assigned", queue, topic));
}

absl::Status AlreadyAssigned(std::string_view topic, uint32_t queue) {
  return absl::AlreadyExistsError(fmt::format("queue {} of {} is assigned", queue, topic));
}

// Where to begin in a queue that came when its topic was being read from `start` on: all that is in
// it is newer, but for a moment that is still to come.
StartAt StartOfNewQueue(StartAt start) {
  const bool keeps =
      start.kind() == StartAt::Kind::kTime || start.kind() == StartAt::Kind::kCommitted;
  return keeps ? start : StartAt::First();
}

absl::Status ToStatus(const v2::Status& status) {
  absl::Status out = FromPublic(status);
  if (status.code() == v2::ILLEGAL_OFFSET) return absl::OutOfRangeError(out.message());
  return out;
}

}  // namespace

PullCore::PullCore(const std::shared_ptr<Connection>& connection,
                   const PullConsumerOptions& options)
    : options_(options),
      stream_(std::make_unique<SubscribeStream>(connection, options.group,
                                                options.max_buffered_bytes, *this)) {}

PullCore::~PullCore() { Close(); }

v1::Attach PullCore::MakeAttach(const Assignment& assignment) const {
  v1::Attach attach;
  attach.set_binding(assignment.binding);
  stream_->connection().Fill(assignment.source->topic, *attach.mutable_topic());
  FillFilter(assignment.filter, *attach.mutable_filter());
  v1::OffsetMode& offset = *attach.mutable_offset();
  offset.set_queue(assignment.source->queue);
  if (assignment.known) {
    offset.set_queue_offset(assignment.received);
    return attach;
  }
  switch (assignment.start.kind()) {
    case StartAt::Kind::kFirst:
      offset.set_start(v1::OffsetMode::FIRST);
      break;
    case StartAt::Kind::kLast:
      offset.set_start(v1::OffsetMode::LAST);
      break;
    case StartAt::Kind::kCommitted:
      offset.set_start(v1::OffsetMode::COMMITTED);
      break;
    case StartAt::Kind::kOffset:
      offset.set_queue_offset(static_cast<uint64_t>(assignment.start.value()));
      break;
    case StartAt::Kind::kTime:
      offset.set_stored_at_ms(assignment.start.value());
      break;
  }
  return attach;
}

PullCore::Assignment* PullCore::Find(uint32_t binding) {
  const auto key = bindings_.find(binding);
  return key == bindings_.end() ? nullptr : &assignments_.at(key->second);
}

void PullCore::Drop(uint32_t binding) {
  std::erase_if(frames_, [&](const std::shared_ptr<ReceivedFrame>& frame) {
    if (frame->binding() != binding) return false;
    stream_->ReturnCredit(frame->bytes());
    return true;
  });
}

void PullCore::Remove(uint32_t binding) {
  Drop(binding);
  const auto key = bindings_.find(binding);
  const std::string topic = key->second.first;
  assignments_.erase(key->second);
  bindings_.erase(key);
  const auto other = assignments_.lower_bound(Key{topic, 0});
  const bool last = other == assignments_.end() || other->first.first != topic;
  if (last && followed_.erase(topic) > 0) stream_->connection().routes().Leave(topic, this);
  changed_.SignalAll();
}

void PullCore::Rebind(Assignment& assignment) {
  const Key key{assignment.source->topic, assignment.source->queue};
  if (assignment.binding != 0) {
    bindings_.erase(assignment.binding);
    stream_->Detach(assignment.binding);
    Drop(assignment.binding);
  }
  assignment.binding = ++last_binding_;
  bindings_[assignment.binding] = key;
  stream_->Start();
  stream_->Attach(MakeAttach(assignment));
}

absl::StatusOr<QueueBounds> PullCore::Await(const Key& key, uint32_t binding) {
  const SteadyTime deadline = steady_clock::now() + options_.request_timeout;
  const uint64_t rejections = rejections_;
  for (;;) {
    const auto found = assignments_.find(key);
    if (closed_) return absl::FailedPreconditionError("the consumer is closed");
    if (found == assignments_.end() || found->second.binding != binding) {
      return absl::AbortedError("the queue was assigned anew meanwhile");
    }
    Assignment& assignment = found->second;
    if (assignment.answered && assignment.status.ok()) return assignment.bounds;
    if (assignment.answered) {
      const absl::Status status = assignment.status;
      Remove(binding);
      return status;
    }
    if (rejections_ != rejections) {
      Remove(binding);
      rejected_ = absl::OkStatus();  // it is told
      return last_rejection_;
    }
    if (!changed_.WaitUntil(mutex_, deadline)) {
      stream_->Detach(binding);
      Remove(binding);
      return absl::DeadlineExceededError("the broker does not answer");
    }
  }
}

absl::StatusOr<QueueBounds> PullCore::Assign(std::string_view topic, uint32_t queue, StartAt start,
                                             const Filter& filter) {
  MutexLock lock(mutex_);
  const Key key{topic, queue};
  if (assignments_.contains(key)) return AlreadyAssigned(topic, queue);
  return Await(key, Begin(key, filter, start).binding);
}

PullCore::Assignment& PullCore::Begin(const Key& key, const Filter& filter, StartAt start) {
  Assignment& assignment = assignments_.try_emplace(key, filter, start).first->second;
  assignment.source = std::make_shared<FrameSource>();
  assignment.source->topic = key.first;
  assignment.source->queue = key.second;
  Rebind(assignment);
  return assignment;
}

absl::Status PullCore::AssignOthers(const Key& first, uint32_t queues, StartAt start,
                                    const Filter& filter) {
  // What began here is known by its source: a queue may be assigned anew meanwhile.
  std::vector<std::shared_ptr<FrameSource>> begun{assignments_.at(first).source};
  Key key = first;
  absl::Status status;
  for (key.second = 1; key.second < queues && status.ok(); ++key.second) {
    if (assignments_.contains(key)) {
      status = AlreadyAssigned(key.first, key.second);
    } else {
      begun.push_back(Begin(key, filter, start).source);
    }
  }
  for (size_t i = 1; i < begun.size() && status.ok(); ++i) {
    key.second = begun[i]->queue;
    const auto found = assignments_.find(key);
    const bool is_gone = found == assignments_.end() || found->second.source != begun[i];
    status = is_gone ? absl::AbortedError("the queue was assigned anew meanwhile")
                     : Await(key, found->second.binding).status();
  }
  if (status.ok()) return status;
  for (const std::shared_ptr<FrameSource>& source : begun) {
    const auto found = assignments_.find(Key{source->topic, source->queue});
    if (found == assignments_.end() || found->second.source != source) continue;
    const uint32_t binding = found->second.binding;
    stream_->Detach(binding);
    Remove(binding);
  }
  return status;
}

absl::StatusOr<uint32_t> PullCore::AssignAll(std::string_view topic, StartAt start,
                                             const Filter& filter) {
  const std::string name(topic);
  const Key key{name, 0};
  absl::StatusOr<QueueBounds> first = Assign(topic, 0, start, filter);
  if (!first.ok()) return first.status();
  {
    MutexLock lock(mutex_);
    const auto assigned = assignments_.find(key);
    if (assigned == assignments_.end()) return first->queues;  // unassigned, or deleted meanwhile
    const uint32_t topic_id = assigned->second.source->topic_id;
    const absl::Status status = AssignOthers(key, first->queues, start, filter);
    if (!status.ok()) return status;
    if (!assignments_.contains(key)) return first->queues;
    followed_.insert_or_assign(name,
                               Followed{filter, StartOfNewQueue(start), first->queues, topic_id});
  }
  stream_->connection().routes().Follow(name, this);
  return first->queues;
}

void PullCore::OnRoute(const std::string& topic, const Route& route) {
  MutexLock lock(mutex_);
  const auto found = followed_.find(topic);
  if (closed_ || found == followed_.end() || !route.exists) return;
  Followed& followed = found->second;
  // Another topic of the same name is none that was assigned.
  if (route.topic_id != 0 && route.topic_id != followed.topic_id) return;
  for (; followed.queues < route.queues; ++followed.queues) {
    const Key key{topic, followed.queues};
    if (!assignments_.contains(key)) Begin(key, followed.filter, followed.start).awaited = false;
  }
}

absl::StatusOr<QueueBounds> PullCore::Seek(std::string_view topic, uint32_t queue, StartAt start) {
  MutexLock lock(mutex_);
  const Key key{topic, queue};
  const auto found = assignments_.find(key);
  if (found == assignments_.end()) return NotAssigned(topic, queue);
  Assignment& assignment = found->second;
  assignment.start = start;
  assignment.known = assignment.answered = false;
  assignment.awaited = true;
  Rebind(assignment);
  return Await(key, assignment.binding);
}

absl::Status PullCore::Unassign(std::string_view topic, uint32_t queue) {
  MutexLock lock(mutex_);
  const auto found = assignments_.find(Key{topic, queue});
  if (found == assignments_.end()) return NotAssigned(topic, queue);
  const uint32_t binding = found->second.binding;
  stream_->Detach(binding);
  Remove(binding);
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> PullCore::Position(std::string_view topic, uint32_t queue) {
  MutexLock lock(mutex_);
  const auto found = assignments_.find(Key{topic, queue});
  if (found == assignments_.end()) return NotAssigned(topic, queue);
  return found->second.polled;
}

absl::Status PullCore::Commit(std::string_view topic, uint32_t queue, uint64_t offset) {
  if (options_.group.empty()) {
    return absl::FailedPreconditionError("a consumer without a group commits no offsets");
  }
  MutexLock lock(mutex_);
  const auto found = assignments_.find(Key{topic, queue});
  if (found == assignments_.end()) return NotAssigned(topic, queue);
  // The broker would take the end of the queue for it, and nobody would notice the mistake.
  const uint64_t end = std::max(found->second.end, found->second.received);
  if (offset > end) {
    return absl::InvalidArgumentError(fmt::format(
        "offset {} is behind the end of queue {} of {}: {}", offset, queue, topic, end));
  }
  stream_->Commit(found->second.binding, offset);
  return absl::OkStatus();
}

void PullCore::Report(absl::Status status) {
  if (errors_.size() < kMostErrors) errors_.push_back(std::move(status));
  changed_.SignalAll();
}

bool PullCore::SkipExpired(Assignment& assignment) {
  if (!options_.skip_expired) return false;
  assignment.known = false;
  assignment.start = StartAt::First();
  Rebind(assignment);
  return true;
}

void PullCore::OnAttached(const v1::Attached& attached) {
  MutexLock lock(mutex_);
  Assignment* assignment = Find(attached.binding());
  if (assignment == nullptr) return;
  const uint32_t topic_id = assignment->source->topic_id;
  const bool is_another =
      topic_id != 0 && attached.topic_id() != 0 && attached.topic_id() != topic_id;
  if (assignment->answered && is_another) {
    // What was read is gone: an offset of it means nothing in another topic of its name.
    stream_->Detach(attached.binding());
    Report(absl::NotFoundError(
        fmt::format("topic {} was deleted, and made anew", assignment->source->topic)));
    Remove(attached.binding());
    return;
  }
  const absl::Status status = ToStatus(attached.status());
  if (status.ok()) {
    assignment->source->topic_id = attached.topic_id();
    if (!assignment->known) assignment->received = assignment->polled = attached.start_offset();
    assignment->known = true;
    assignment->end = attached.max_offset();
    assignment->bounds = {attached.start_offset(), attached.min_offset(), attached.max_offset(),
                          attached.queues()};
  } else if (assignment->answered || !assignment->awaited) {
    // It had been attached before the connection broke, or is a new queue of a topic.
    const bool expired = attached.status().code() == v2::ILLEGAL_OFFSET &&
                         assignment->received < attached.min_offset();
    if (expired && SkipExpired(*assignment)) return;
    if (attached.status().code() == v2::TOO_MANY_REQUESTS) return stream_->RestartLater();
    Report(status);
    Remove(attached.binding());
    return;
  }
  assignment->status = status;
  assignment->answered = true;
  changed_.SignalAll();
}

void PullCore::OnDetached(const v1::Detached& detached) {
  MutexLock lock(mutex_);
  Assignment* assignment = Find(detached.binding());
  if (assignment == nullptr || detached.status().code() == v2::OK) return;
  // This passes; the queue stays assigned, and is attached again where it was.
  if (detached.status().code() == v2::TOO_MANY_REQUESTS) return stream_->RestartLater();
  // The frames that came before are still good, but they are few; the new start is behind them.
  if (detached.status().code() == v2::ILLEGAL_OFFSET && SkipExpired(*assignment)) return;
  Report(ToStatus(detached.status()));
  Remove(detached.binding());
}

void PullCore::OnFrame(std::shared_ptr<ReceivedFrame> frame) {
  MutexLock lock(mutex_);
  Assignment* assignment = Find(frame->binding());
  if (assignment == nullptr) {
    stream_->Detach(frame->binding());
    stream_->ReturnCredit(frame->bytes());
    return;
  }
  assignment->received = std::max(assignment->received, frame->next_offset());
  assignment->end = std::max(assignment->end, frame->max_offset());
  frame->set_source(assignment->source);
  frames_.push_back(std::move(frame));
  changed_.SignalAll();  // who waits for an answer waits here too
}

std::vector<v1::Attach> PullCore::Attachments() {
  MutexLock lock(mutex_);
  std::vector<v1::Attach> attachments;
  for (const auto& [key, assignment] : assignments_) attachments.push_back(MakeAttach(assignment));
  return attachments;
}

void PullCore::OnRejected(const absl::Status& status) {
  MutexLock lock(mutex_);
  rejected_ = last_rejection_ = status;
  ++rejections_;
  changed_.SignalAll();
}

std::shared_ptr<ReceivedFrame> PullCore::Take(SteadyTime deadline, absl::Status& error) {
  MutexLock lock(mutex_);
  for (bool in_time = true; in_time;) {
    if (closed_) {
      error = absl::FailedPreconditionError("the consumer is closed");
      return nullptr;
    }
    if (!frames_.empty()) {
      std::shared_ptr<ReceivedFrame> frame = std::move(frames_.front());
      frames_.pop_front();
      return frame;
    }
    if (!errors_.empty()) {
      error = std::move(errors_.front());
      errors_.pop_front();
      return nullptr;
    }
    if (!rejected_.ok()) {
      error = std::exchange(rejected_, absl::OkStatus());
      return nullptr;
    }
    if (!assignments_.empty()) stream_->Start();  // it may have been rejected
    in_time = changed_.WaitUntil(mutex_, deadline);
  }
  return nullptr;
}

void PullCore::RestartAt(Assignment& assignment, uint64_t offset) {
  assignment.known = true;
  assignment.received = offset;
  Rebind(assignment);
}

absl::StatusOr<bool> PullCore::Accept(ReceivedFrame& frame, bool intact) {
  MutexLock lock(mutex_);
  Assignment* assignment = Find(frame.binding());
  if (assignment == nullptr) return false;  // sought or unassigned meanwhile
  if (intact) {
    assignment->polled = frame.next_offset();
    return !frame.records().empty();
  }
  // A checksum is wrong: ask for the message once more, then pass it over.
  const uint64_t damaged = frame.records().empty()
                               ? assignment->polled
                               : MessageView(&frame, frame.records().back()).offset() + 1;
  const bool again = assignment->damaged == damaged;
  assignment->damaged = damaged;
  assignment->polled = damaged;
  frame.EndAt(damaged);
  RestartAt(*assignment, again ? damaged + 1 : damaged);
  if (again) {
    assignment->polled = damaged + 1;
    const auto status = absl::DataLossError(
        fmt::format("the message at offset {} of queue {} of {} is damaged; it is passed over",
                    damaged, assignment->source->queue, assignment->source->topic));
    if (frame.records().empty()) return status;
    Report(status);
  }
  return !frame.records().empty();
}

absl::StatusOr<MessageBatch> PullCore::Poll(std::chrono::milliseconds timeout) {
  const SteadyTime deadline = steady_clock::now() + timeout;
  for (;;) {
    absl::Status error;
    const std::shared_ptr<ReceivedFrame> frame = Take(deadline, error);
    if (frame == nullptr && !error.ok()) return error;
    if (frame == nullptr) return MessageBatch();
    const bool intact = frame->Check(false, options_.max_body_bytes);
    stream_->ReturnCredit(frame->bytes());
    const absl::StatusOr<bool> good = Accept(*frame, intact);
    if (!good.ok()) return good.status();
    if (*good) return MessageBatch(frame);
  }
}

void PullCore::Close() {
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    closed_ = true;
    changed_.SignalAll();
  }
  stream_->connection().routes().Forget(this);
  stream_->Shutdown(kClosePatience);
}

}  // namespace dunlin::internal
