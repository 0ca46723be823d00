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

// The broker that `name` means.
absl::StatusOr<BrokerRoute> BrokerOf(const Route& route, const PullCore::Name& name) {
  std::string names;
  for (const BrokerRoute& broker : route.brokers) {
    if (broker.broker == name.broker || (name.broker.empty() && route.brokers.size() == 1)) {
      return broker;
    }
    names += (names.empty() ? "" : ", ") + broker.broker;
  }
  if (name.broker.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("topic {} is at several brokers: name the one whose queue {} is meant: {}",
                    name.topic, name.queue, names));
  }
  return absl::NotFoundError(
      fmt::format("broker {} has no topic {}: {} have it", name.broker, name.topic, names));
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
      connection_(connection),
      streams_(connection, options.group, options.max_buffered_bytes, *this) {}

PullCore::~PullCore() { Close(); }

absl::Status PullCore::Closed() { return absl::FailedPreconditionError("the consumer is closed"); }

absl::Status PullCore::AssignedAnew() {
  return absl::AbortedError("the queue was assigned anew meanwhile");
}

absl::Status PullCore::AlreadyAssigned(std::string_view topic, uint32_t queue) {
  return absl::AlreadyExistsError(fmt::format("queue {} of {} is assigned", queue, topic));
}

v1::Attach PullCore::MakeAttach(const Assignment& assignment) const {
  v1::Attach attach;
  attach.set_binding(assignment.binding);
  connection_->Fill(assignment.source->topic, *attach.mutable_topic());
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
  std::erase_if(frames_, [&](const Buffered& buffered) {
    if (buffered.frame->binding() != binding) return false;
    buffered.stream->ReturnCredit(buffered.frame->bytes());
    return true;
  });
}

void PullCore::Remove(Assignment& assignment) {
  const Key key = KeyOf(*assignment.source);
  Unbind(assignment.stream(), assignment.binding);
  assignment.master.Detach(assignment.commit_binding);
  bindings_.erase(assignment.commit_binding);
  assignments_.erase(key);
  LeaveIfUnused(std::get<0>(key));
  WantStreams();
  changed_.SignalAll();
}

absl::StatusOr<PullCore::Assignments::iterator> PullCore::FindNamed(const Name& name) {
  const std::string topic(name.topic);
  const auto named = assignments_.find(Key{topic, name.broker, name.queue});
  if (named != assignments_.end()) return named;
  if (!name.broker.empty()) return NotAssigned(name.topic, name.queue);
  auto found = assignments_.end();
  for (auto it = assignments_.lower_bound(Key{topic, "", 0});
       it != assignments_.end() && std::get<0>(it->first) == topic; ++it) {
    if (std::get<2>(it->first) != name.queue) continue;
    if (found != assignments_.end()) {
      return absl::InvalidArgumentError(
          fmt::format("queue {} of {} is assigned at several brokers: name one of them", name.queue,
                      name.topic));
    }
    found = it;
  }
  if (found == assignments_.end()) return NotAssigned(name.topic, name.queue);
  return found;
}

void PullCore::Unbind(SubscribeStream& stream, uint32_t binding) {
  bindings_.erase(binding);
  stream.Detach(binding);
  Drop(binding);
}

void PullCore::Bind(Assignment& assignment) {
  assignment.binding = ++last_binding_;
  bindings_[assignment.binding] = KeyOf(*assignment.source);
  assignment.stream().Start();
  assignment.stream().Attach(MakeAttach(assignment));
}

void PullCore::Rebind(Assignment& assignment) {
  const uint32_t before = assignment.binding;
  Bind(assignment);
  assignment.stream().PassOnCommit(before, assignment.binding);
  Unbind(assignment.stream(), before);
}

absl::StatusOr<QueueBounds> PullCore::Await(const Key& key, uint32_t asked) {
  const SteadyTime deadline = steady_clock::now() + options_.request_timeout;
  const uint64_t rejections = rejections_;
  for (;;) {
    const auto found = assignments_.find(key);
    if (closed_) return Closed();
    if (found == assignments_.end() || found->second.asked != asked) return AssignedAnew();
    Assignment& assignment = found->second;
    if (assignment.answered && assignment.status.ok()) return assignment.bounds;
    if (assignment.answered) {
      const absl::Status status = assignment.status;
      Remove(assignment);
      return status;
    }
    if (rejections_ != rejections) {
      Remove(assignment);
      rejected_ = absl::OkStatus();  // it is told
      return last_rejection_;
    }
    if (!changed_.WaitUntil(mutex_, deadline)) {
      Remove(assignment);
      return absl::DeadlineExceededError("the broker does not answer");
    }
  }
}

absl::StatusOr<QueueBounds> PullCore::Assign(const Name& name, StartAt start,
                                             const Filter& filter) {
  const std::string topic(name.topic);
  const absl::StatusOr<Route> route = AwaitRoute(topic);
  if (!route.ok()) return route.status();
  const absl::StatusOr<BrokerRoute> broker = BrokerOf(*route, name);
  MutexLock lock(mutex_);
  absl::StatusOr<QueueBounds> bounds = AlreadyAssigned(topic, name.queue);
  if (closed_) {
    bounds = Closed();
  } else if (!broker.ok()) {
    bounds = broker.status();
  } else if (const Key key{topic, broker->broker, name.queue}; !assignments_.contains(key)) {
    bounds = Await(key, Begin(key, *broker, filter, start).asked);
  }
  EndUse(topic);
  return bounds;
}

PullCore::Assignment& PullCore::Begin(const Key& key, const BrokerRoute& broker,
                                      const Filter& filter, StartAt start) {
  SubscribeStream& stream = streams_.At(broker);
  Assignment& assignment = assignments_.try_emplace(key, stream, filter, start).first->second;
  assignment.source = std::make_shared<FrameSource>();
  assignment.source->topic = std::get<0>(key);
  assignment.source->broker = std::get<1>(key);
  assignment.source->queue = std::get<2>(key);
  Bind(assignment);
  assignment.asked = assignment.binding;
  return assignment;
}

absl::StatusOr<QueueBounds> PullCore::Seek(const Name& name, StartAt start) {
  MutexLock lock(mutex_);
  const absl::StatusOr<Assignments::iterator> found = FindNamed(name);
  if (!found.ok()) return found.status();
  const Key key = (*found)->first;
  Assignment& assignment = (*found)->second;
  if (assignment.slave != nullptr) {
    GoToMaster(assignment);  // it knows where the group committed
    assignment.stays_until = {};
  }
  ++assignment.position;
  assignment.start = start;
  assignment.known = assignment.answered = false;
  assignment.awaited = true;
  Rebind(assignment);
  assignment.asked = assignment.binding;
  return Await(key, assignment.asked);
}

absl::StatusOr<uint64_t> PullCore::Position(const Name& name) {
  MutexLock lock(mutex_);
  const absl::StatusOr<Assignments::iterator> found = FindNamed(name);
  if (!found.ok()) return found.status();
  return (*found)->second.polled;
}

void PullCore::Report(absl::Status status) {
  if (errors_.size() < kMostErrors) errors_.push_back(std::move(status));
  changed_.SignalAll();
}

bool PullCore::SkipExpired(Assignment& assignment) {
  if (!options_.skip_expired) return false;
  ++assignment.position;
  assignment.known = false;
  assignment.start = StartAt::First();
  Rebind(assignment);
  return true;
}

void PullCore::OnAttached(const v1::Attached& attached) {
  MutexLock lock(mutex_);
  if (owed_.contains(attached.binding())) return OnOwedAttached(attached);
  Assignment* assignment = Find(attached.binding());
  if (assignment == nullptr) return;
  if (assignment->slave != nullptr) {
    if (!IsServed(*assignment, attached)) return GoToMaster(*assignment);
    assignment->end = std::max(assignment->end, attached.max_offset());
    if (attached.binding() == assignment->binding) {
      assignment->heard_at = steady_clock::now();
    } else {
      assignment->master.AllowCommits(attached.binding());
    }
    return;
  }
  if (assignment->answered && !IsSameTopic(*assignment->source, attached)) {
    // What was read is gone: an offset of it means nothing in another topic of its name.
    Report(absl::NotFoundError(
        fmt::format("topic {} was deleted, and made anew", assignment->source->topic)));
    Remove(*assignment);
    return;
  }
  const absl::Status status = ToStatus(attached.status());
  if (status.ok()) {
    assignment->source->topic_id = attached.topic_id();
    if (!assignment->known) {
      assignment->received = assignment->taken = assignment->polled = attached.start_offset();
    }
    assignment->known = true;
    assignment->read_only = attached.read_only();
    assignment->end = attached.max_offset();
    assignment->bounds = {attached.start_offset(), attached.min_offset(), attached.max_offset(),
                          attached.queues()};
    assignment->master.AllowCommits(attached.binding());
  } else if (assignment->answered || !assignment->awaited) {
    // It had been attached before the connection broke, or is a new queue of a topic.
    const bool expired = attached.status().code() == v2::ILLEGAL_OFFSET &&
                         assignment->received < attached.min_offset();
    if (expired && SkipExpired(*assignment)) return;
    if (Passes(attached.status().code())) return assignment->stream().RestartLater();
    Report(status);
    Remove(*assignment);
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
  if (assignment->slave != nullptr) return GoToMaster(*assignment);
  // This passes; the queue stays assigned, and is attached again where it was.
  if (Passes(detached.status().code())) return assignment->stream().RestartLater();
  // The frames that came before are still good, but they are few; the new start is behind them.
  if (detached.status().code() == v2::ILLEGAL_OFFSET && SkipExpired(*assignment)) return;
  Report(ToStatus(detached.status()));
  Remove(*assignment);
}

void PullCore::OnFrame(SubscribeStream& stream, std::shared_ptr<ReceivedFrame> frame) {
  MutexLock lock(mutex_);
  Assignment* assignment = Find(frame->binding());
  if (assignment == nullptr) {
    stream.Detach(frame->binding());
    stream.ReturnCredit(frame->bytes());
    return;
  }
  // The rest of a short backlog is not worth the way: it is here.
  const bool is_far_behind = frame->cold() && frame->next_offset() < frame->max_offset();
  if (assignment->slave == nullptr && is_far_behind && GoToSlave(*assignment)) {
    return stream.ReturnCredit(frame->bytes());
  }
  assignment->received = std::max(assignment->received, frame->next_offset());
  assignment->end = std::max(assignment->end, frame->max_offset());
  frame->set_source(assignment->source);
  // At its end, too: a slave that gets nothing more from the master would keep the reader for ever.
  const bool has_caught_up = !frame->cold() || frame->next_offset() >= frame->max_offset();
  if (assignment->slave != nullptr && has_caught_up) {
    GoToMaster(*assignment);
    return stream.ReturnCredit(frame->bytes());
  }
  if (assignment->slave != nullptr) assignment->heard_at = steady_clock::now();
  frames_.push_back({.stream = &stream, .frame = std::move(frame)});
  changed_.SignalAll();  // who waits for an answer waits here too
}

std::vector<v1::Attach> PullCore::Attachments(SubscribeStream& stream) {
  MutexLock lock(mutex_);
  std::vector<v1::Attach> attachments;
  for (const auto& [key, assignment] : assignments_) {
    if (&assignment.stream() == &stream) attachments.push_back(MakeAttach(assignment));
    if (&assignment.master != &stream || assignment.commit_binding == 0) continue;
    attachments.push_back(
        MakeCommitAttach(assignment.commit_binding, *assignment.source, assignment.filter));
  }
  for (const auto& [binding, owed] : owed_) {
    if (&owed.master != &stream) continue;
    attachments.push_back(MakeCommitAttach(binding, *owed.source, owed.filter));
  }
  return attachments;
}

void PullCore::OnRejected(SubscribeStream& stream, const absl::Status& status) {
  MutexLock lock(mutex_);
  if (streams_.IsToSlave(stream)) return;  // the master serves
  rejected_ = last_rejection_ = status;
  ++rejections_;
  must_start_ = true;
  changed_.SignalAll();
}

bool PullCore::IsTurnedAway() {
  MutexLock lock(mutex_);
  return IsRefusal(last_rejection_);
}

void PullCore::StartStreams() {
  if (!std::exchange(must_start_, false)) return;
  for (const auto& [key, assignment] : assignments_) assignment.master.Start();
}

PullCore::Buffered PullCore::Take(SteadyTime deadline, absl::Status& error) {
  MutexLock lock(mutex_);
  for (bool in_time = true; in_time;) {
    if (closed_) {
      error = Closed();
      return {};
    }
    if (!frames_.empty()) {
      Buffered buffered = std::move(frames_.front());
      frames_.pop_front();
      if (Assignment* const assignment = Find(buffered.frame->binding())) {
        assignment->taken = buffered.frame->next_offset();
        buffered.position = assignment->position;
      }
      return buffered;
    }
    if (!errors_.empty()) {
      error = std::move(errors_.front());
      errors_.pop_front();
      return {};
    }
    if (!rejected_.ok()) {
      error = std::exchange(rejected_, absl::OkStatus());
      return {};
    }
    if (!assignments_.empty()) StartStreams();
    in_time = changed_.WaitUntil(mutex_, deadline);
  }
  return {};
}

void PullCore::RestartAt(Assignment& assignment, uint64_t offset) {
  assignment.known = true;
  assignment.received = offset;
  Rebind(assignment);
}

PullCore::Assignment* PullCore::FindTaken(const Buffered& taken) {
  const auto found = assignments_.find(KeyOf(taken.frame->source()));
  if (found == assignments_.end()) return nullptr;
  Assignment& assignment = found->second;
  const bool is_same =
      assignment.source.get() == &taken.frame->source() && assignment.position == taken.position;
  return is_same ? &assignment : nullptr;
}

absl::StatusOr<bool> PullCore::Accept(const Buffered& taken, bool intact) {
  ReceivedFrame& frame = *taken.frame;
  MutexLock lock(mutex_);
  Assignment* assignment = FindTaken(taken);
  if (assignment == nullptr) return false;
  if (intact) {
    // Who took the frame behind it may have been faster.
    assignment->polled = std::max(assignment->polled, frame.next_offset());
    return !frame.records().empty();
  }
  // A checksum is wrong: ask for the message once more, then pass it over.
  const uint64_t damaged = frame.records().empty()
                               ? assignment->polled
                               : MessageView(&frame, frame.records().back()).offset() + 1;
  const bool again = assignment->damaged == damaged;
  assignment->damaged = damaged;
  assignment->taken = assignment->polled = damaged;
  ++assignment->position;  // what others took from behind it comes again
  frame.EndAt(damaged);
  // Another copy may be whole.
  if (assignment->slave != nullptr) {
    assignment->damaged.reset();
    GoToMaster(*assignment);
    return !frame.records().empty();
  }
  RestartAt(*assignment, again ? damaged + 1 : damaged);
  if (again) {
    assignment->taken = assignment->polled = damaged + 1;
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
    const Buffered taken = Take(deadline, error);
    if (taken.frame == nullptr && !error.ok()) return error;
    if (taken.frame == nullptr) return MessageBatch();
    const bool intact = taken.frame->Check(false, options_.max_body_bytes);
    taken.stream->ReturnCredit(taken.frame->bytes());
    const absl::StatusOr<bool> good = Accept(taken, intact);
    if (!good.ok()) return good.status();
    if (*good) return MessageBatch(taken.frame);
  }
}

void PullCore::Close() {
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    closed_ = true;
    changed_.SignalAll();
    const SteadyTime deadline = steady_clock::now() + kClosePatience;
    while (!owed_.empty() && changed_.WaitUntil(mutex_, deadline)) continue;
  }
  connection_->routes().Forget(this);
  connection_->ticker()->Forget(this);
  mutex_.Lock();
  const std::vector<SubscribeStream*> streams = streams_.All();
  mutex_.Unlock();
  ShutDown(streams, kClosePatience);
}

}  // namespace dunlin::internal
