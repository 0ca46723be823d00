#include "clients/cpp/src/publish_stream.h"

#include <fmt/format.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <utility>

#include "clients/cpp/src/control_message.h"

namespace dunlin::internal {
namespace {

using std::chrono::milliseconds;

namespace v1 = dunlin::broker::v1;
namespace v2 = apache::rocketmq::v2;

constexpr char kMethod[] = "/dunlin.broker.v1.StreamService/Publish";
// Until the broker says what it takes.
constexpr size_t kRequestBytes = (4 << 20) + (64 << 10);
constexpr size_t kMostBindings = 65536;  // of a call, by the contract
constexpr milliseconds kSlow{500};
constexpr milliseconds kLongestAvoidance{10000};
// After so many refusals of one queue in a row its binding is made anew.
constexpr int kRefusalsToRebind = 8;

SteadyTime After(SteadyTime now, milliseconds delay) { return now + delay; }

// How long to wait before a queue's messages are sent again.
milliseconds RefusalDelay(const v1::PublishError& error, int refusals) {
  switch (error.status().code()) {
    case v2::TOO_MANY_REQUESTS:
      return std::max(milliseconds(error.retry_after_ms()), Backoff(refusals, milliseconds(5)));
    case v2::PRECONDITION_FAILED:
      return Backoff(refusals, milliseconds(1));
    default:
      return Backoff(refusals, milliseconds(100));
  }
}

}  // namespace

PublishStream::PublishStream(std::shared_ptr<Connection> connection, const Settings& settings,
                             PublishHost& host)
    : ticker_(connection->ticker()),
      settings_(settings),
      host_(host),
      connection_(std::move(connection)),
      max_request_bytes_(kRequestBytes) {}

Lane* PublishStream::AddLane(TopicAt& at, std::string_view name, std::string_view broker,
                             uint32_t queue) {
  MutexLock lock(mutex_);
  if (lanes_.size() == kMostBindings) return nullptr;
  const auto binding = static_cast<uint32_t>(lanes_.size() + 1);
  lanes_.push_back(std::make_unique<Lane>(
      at, *this, PublishQueue(name, queue, binding, settings_.limits, settings_.pool)));
  lanes_.back()->queue.set_broker(broker);
  return lanes_.back().get();
}

void PublishStream::Rename(std::string_view broker) {
  MutexLock lock(mutex_);
  for (const auto& lane : lanes_) lane->queue.set_broker(broker);
}

void PublishStream::MoveTo(std::shared_ptr<Connection> connection) {
  MutexLock lock(mutex_);
  if (closing_) return;
  const bool is_another = connection != connection_;
  connection_ = std::move(connection);
  if (stream_ != nullptr && is_another) {
    moved_ = true;
    stream_->Cancel();
  } else if (state_ == State::kBackoff) {
    failures_ = 0;
    reconnect_at_ = steady_clock::now();
    ticker_->WakeAt(reconnect_at_, this);
  }
}

bool PublishStream::IsEmpty(const Lane& lane) {
  MutexLock lock(mutex_);
  return lane.queue.empty();
}

Lane* PublishStream::Find(uint32_t binding) {
  return binding == 0 || binding > lanes_.size() ? nullptr : lanes_[binding - 1].get();
}

absl::Status PublishStream::Append(Lane& lane, const MessageEncoder& message,
                                   Producer::Callback* callback) {
  std::shared_ptr<ByteStream> stream;
  grpc::ByteBuffer bytes;
  {
    MutexLock lock(mutex_);
    if (closing_) return absl::FailedPreconditionError("the producer is closed");
    if (message.size() + 64 > max_request_bytes_) {
      return absl::InvalidArgumentError(
          fmt::format("a message of {} bytes: the broker takes requests of up to {} bytes",
                      message.size(), max_request_bytes_));
    }
    const bool filled = lane.queue.Append(message, callback);
    // Not all of the first messages into one queue, just because that is not bound yet.
    const bool is_new = lane.queue.topic_id() == 0;
    if (filled || is_new) host_.MoveOn(lane, steady_clock::now());
    if (!expiry_scheduled_) ScheduleExpiry(steady_clock::now() + SealAge());
    if (state_ != State::kOpen) {
      if (state_ == State::kIdle) Connect();
      // Others may be open.
      host_.MoveOn(lane, steady_clock::now());
      return absl::OkStatus();
    }
    if (!lane.queue.bound()) {
      Bind(lane);
    } else if (!lane.ready) {
      MarkReady(lane);
    }
    if (writing_) return absl::OkStatus();
    stream = NextWrite(bytes);
  }
  if (stream != nullptr) stream->Write(bytes);
  return absl::OkStatus();
}

void PublishStream::Ask(Lane& lane) {
  {
    MutexLock lock(mutex_);
    if (closing_) return;
    if (state_ == State::kIdle) Connect();
    if (state_ != State::kOpen) {
      lane.binding = true;  // OnOpened sends it
      return;
    }
    Bind(lane);
  }
  Pump();
}

void PublishStream::Rebind(const TopicAt& at, uint32_t topic_id) {
  MutexLock lock(mutex_);
  if (stream_ == nullptr) return;
  const bool outdated = std::any_of(lanes_.begin(), lanes_.end(), [&](const auto& lane) {
    return &lane->at == &at && lane->queue.bound() && lane->queue.topic_id() != topic_id;
  });
  // The contract knows no end of a binding but that of its call. Topics are seldom made anew.
  if (outdated) stream_->Cancel();
}

void PublishStream::Connect() {
  state_ = State::kConnecting;
  stream_ = ByteStream::Start(*connection_, kMethod, *this);
  v1::PublishRequest request;
  request.mutable_open()->set_producer_id(settings_.producer_id);
  writing_ = true;
  stream_->Write(ToBytes(request));
}

void PublishStream::Bind(Lane& lane) {
  if (lane.binding || lane.queue.bound()) return;
  lane.binding = true;
  v1::PublishRequest request;
  v1::BindQueue& bind = *request.mutable_bind();
  bind.set_binding(lane.queue.binding());
  connection_->Fill(lane.queue.topic(), *bind.mutable_topic());
  bind.set_queue(lane.queue.queue());
  bind.set_next_sequence(lane.queue.next_sequence());
  control_.push_back(ToBytes(request));
}

void PublishStream::MarkReady(Lane& lane) {
  if (lane.ready || !lane.queue.CanSend()) return;
  lane.ready = true;
  ready_.push_back(&lane);
}

std::shared_ptr<ByteStream> PublishStream::NextWrite(grpc::ByteBuffer& bytes) {
  if (writing_ || state_ != State::kOpen) return nullptr;
  if (!control_.empty()) {
    bytes = control_.front();
    control_.pop_front();
    writing_ = true;
    return stream_;
  }
  if (!ready_.empty() && steady_clock::now() < held_until_) return nullptr;  // Tick goes on
  while (!ready_.empty()) {
    Lane& lane = *ready_.front();
    if (lane.queue.CanSend()) {
      const size_t size = lane.queue.NextFrameBytes();
      if (in_flight_bytes_ > 0 && in_flight_bytes_ + size > credit_bytes_) return nullptr;
      const SteadyTime now = steady_clock::now();
      const grpc::Slice slice = lane.queue.TakeFrame(now);
      in_flight_bytes_ += slice.size();
      bytes = grpc::ByteBuffer(&slice, 1);
      writing_ = true;
      host_.MoveOn(lane, now);
    }
    // To the end of the row, if there is more of it.
    ready_.pop_front();
    lane.ready = false;
    MarkReady(lane);
    if (writing_) return stream_;
  }
  return nullptr;
}

void PublishStream::Pump() {
  std::shared_ptr<ByteStream> stream;
  grpc::ByteBuffer bytes;
  {
    MutexLock lock(mutex_);
    stream = NextWrite(bytes);
  }
  if (stream != nullptr) stream->Write(bytes);
}

void PublishStream::OnWritten() {
  {
    MutexLock lock(mutex_);
    writing_ = false;
  }
  Pump();
}

void PublishStream::OnRead(grpc::ByteBuffer& bytes) {
  Response response;
  Outcomes outcomes;
  std::vector<TopicNews> news;
  const bool parsed = FromBytes(bytes, response);
  {
    MutexLock lock(mutex_);
    if (!parsed) {
      stream_->Cancel();
      return;
    }
    answered_at_ = steady_clock::now();
    if (response.has_opened()) OnOpened(response.opened());
    for (const v1::Bound& bound : response.bound()) OnBound(bound, outcomes, news);
    // An ack also says that what comes before it is stored unless it was refused: refusals first.
    for (const v1::PublishError& error : response.errors()) OnError(error, false, outcomes);
    for (const v1::PublishAck& ack : response.acks()) OnAck(ack, outcomes);
    for (const v1::PublishError& error : response.errors()) OnError(error, true, outcomes);
  }
  Pump();
  for (const TopicNews& item : news) host_.OnTopic(*item.lane, item.answer);
  host_.OnOutcomes(std::move(outcomes));
}

void PublishStream::OnOpened(const v1::PublishOpened& opened) {
  state_ = State::kOpen;
  credit_bytes_ = opened.credit_bytes();
  if (opened.max_request_bytes() > 0) max_request_bytes_ = opened.max_request_bytes();
  for (const auto& lane : lanes_) {
    const bool wanted = lane->binding || !lane->queue.empty();
    lane->binding = false;
    if (wanted) Bind(*lane);
  }
}

void PublishStream::OnBound(const v1::Bound& bound, Outcomes& outcomes,
                            std::vector<TopicNews>& news) {
  Lane* lane = Find(bound.binding());
  if (lane == nullptr || !lane->binding) return;
  const absl::Status status = FromPublic(bound.status());
  if (IsTransient(bound.status().code())) {
    Avoid(*lane, steady_clock::now(), kLongestAvoidance);
    stream_->Cancel();  // begins again, after a while, with this binding among others
    return;
  }
  lane->binding = false;
  failures_ = 0;  // not before: a broker that takes calls and no bindings is left alone, too
  if (status.ok()) {
    lane->queue.OnBound(bound.last_sequence(), bound.topic_id(), outcomes);
    MarkReady(*lane);
    news.push_back({lane, BoundTopic{bound.topic_id(), bound.queues()}});
  } else {
    lane->queue.FailAll(status, outcomes);
    news.push_back({lane, status});
  }
}

void PublishStream::OnAck(const v1::PublishAck& ack, Outcomes& outcomes) {
  Lane* lane = Find(ack.binding());
  if (lane == nullptr) return;
  const size_t before = lane->queue.in_flight_bytes();
  lane->queue.OnAck(ack.first_sequence(), ack.count(), ack.first_offset(), outcomes);
  in_flight_bytes_ -= before - lane->queue.in_flight_bytes();
  if (lane->queue.latency() > kSlow) {
    Avoid(*lane, steady_clock::now(), 2 * lane->queue.latency());
  }
  MarkReady(*lane);
}

void PublishStream::OnError(const v1::PublishError& error, bool transient, Outcomes& outcomes) {
  Lane* lane = Find(error.binding());
  if (lane == nullptr || IsTransient(error.status().code()) != transient) return;
  PublishQueue& queue = lane->queue;
  const size_t before = queue.in_flight_bytes();
  if (!transient) {
    queue.OnRefused(error.first_sequence(), error.count(), FromPublic(error.status()), outcomes);
    MarkReady(*lane);
  } else {
    const SteadyTime now = steady_clock::now();
    const SteadyTime when = After(now, RefusalDelay(error, queue.refusals_in_a_row()));
    // A gap: something before it is missing.
    const bool gap = error.status().code() == v2::PRECONDITION_FAILED;
    queue.SendAgain(gap ? queue.next_sequence() : error.first_sequence(), when);
    if (error.status().code() == v2::TOO_MANY_REQUESTS) {
      // Other queues would only be refused, too.
      held_until_ = std::max(held_until_, when);
      ticker_->WakeAt(held_until_, this);
    }
    if (queue.paused() && !lane->paused) {
      lane->paused = true;
      paused_.push_back(lane);
    }
    if (queue.paused()) {
      Avoid(*lane, now, queue.paused_until() - now);
      ticker_->WakeAt(queue.paused_until(), this);
    }
    if (gap && queue.refusals_in_a_row() > kRefusalsToRebind) stream_->Cancel();
  }
  in_flight_bytes_ -= before - queue.in_flight_bytes();
}

void PublishStream::Avoid(Lane& lane, SteadyTime now, std::chrono::nanoseconds length) {
  const SteadyTime until = now + std::min<std::chrono::nanoseconds>(length, kLongestAvoidance);
  lane.avoid_until.store(until.time_since_epoch().count(), std::memory_order_relaxed);
  host_.MoveOn(lane, now);
}

void PublishStream::OnEnd(const grpc::Status& status) {
  Outcomes outcomes;
  std::vector<TopicNews> news;
  bool in_trouble = false;
  {
    MutexLock lock(mutex_);
    ending_ = true;
    stream_ = nullptr;
    writing_ = false;
    control_.clear();
    ready_.clear();
    in_flight_bytes_ = 0;
    for (const auto& lane : lanes_) {
      lane->queue.OnUnbound();
      lane->ready = false;
    }
    if (closing_) {
      FailAll(absl::CancelledError("the producer was closed"), outcomes);
    } else if (IsFatal(status)) {
      for (const auto& lane : lanes_) {
        if (lane->binding || !lane->queue.empty()) {
          news.push_back({lane.get(), FromGrpc(status)});
        }
        lane->binding = false;
      }
      FailAll(FromGrpc(status), outcomes);
      state_ = State::kIdle;
    } else {
      state_ = State::kBackoff;
      const bool moved = std::exchange(moved_, false);
      if (moved) failures_ = 0;
      in_trouble = failures_ > 0;
      const SteadyTime now = steady_clock::now();
      const milliseconds pause =
          moved ? milliseconds(0) : Jittered(Backoff(failures_++, milliseconds(50)));
      reconnect_at_ = After(now, pause);
      ticker_->WakeAt(reconnect_at_, this);
      for (const auto& lane : lanes_) Avoid(*lane, now, pause);
    }
  }
  for (const TopicNews& item : news) host_.OnTopic(*item.lane, item.answer);
  host_.OnOutcomes(std::move(outcomes));
  if (in_trouble) host_.OnTrouble(*this);
  MutexLock lock(mutex_);
  ending_ = false;
  ended_.SignalAll();
}

bool PublishStream::HasPending() const {
  return std::any_of(lanes_.begin(), lanes_.end(),
                     [](const auto& lane) { return lane->binding || !lane->queue.empty(); });
}

void PublishStream::FailAll(const absl::Status& status, Outcomes& outcomes) {
  for (const auto& lane : lanes_) lane->queue.FailAll(status, outcomes);
  in_flight_bytes_ = 0;
}

void PublishStream::ScheduleExpiry(SteadyTime when) {
  expiry_scheduled_ = true;
  ticker_->WakeAt(when, this);
}

void PublishStream::Expire(SteadyTime now, Outcomes& outcomes) {
  const auto status = absl::DeadlineExceededError(
      fmt::format("not answered within {} ms", settings_.send_timeout.count()));
  SteadyTime oldest = SteadyTime::max();
  bool failed = false;
  for (const auto& lane : lanes_) {
    failed |= lane->queue.FailOlderThan(now - settings_.send_timeout, status, outcomes);
    lane->queue.SealOlderThan(now - SealAge());
    oldest = std::min(oldest, lane->queue.oldest());
  }
  // What was given up may leave a gap in the sequences: bind anew.
  if (failed && stream_ != nullptr) stream_->Cancel();
  expiry_scheduled_ = false;
  if (oldest != SteadyTime::max()) {
    const SteadyTime expires = oldest + settings_.send_timeout + milliseconds(1);
    ScheduleExpiry(std::min(expires, now + SealAge()));
  }
}

void PublishStream::ResumePaused(SteadyTime now) {
  std::erase_if(paused_, [&](Lane* lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    lane->queue.Resume(now);
    if (lane->queue.paused()) return false;
    lane->paused = false;
    MarkReady(*lane);
    return true;
  });
}

bool PublishStream::IsStuck(SteadyTime now) {
  const SteadyTime late = now - Patience();
  // A broker that answers anything is slow, and not gone.
  if (state_ == State::kOpen && answered_at_ >= late) return false;
  return std::any_of(lanes_.begin(), lanes_.end(), [&](const auto& lane) {
    return lane->queue.oldest() < late && host_.HasRefuge(*lane, now) && !lane->queue.HasPinned();
  });
}

std::vector<Stranded> PublishStream::Evacuate(SteadyTime now) {
  std::vector<Stranded> stranded;
  MutexLock lock(mutex_);
  if (closing_ || state_ == State::kOpen) return stranded;
  for (const auto& lane : lanes_) {
    PublishQueue& queue = lane->queue;
    if (queue.empty() || queue.HasPinned() || !host_.HasRefuge(*lane, now)) continue;
    const bool is_late = queue.oldest() < now - Patience();
    auto batches = is_late ? queue.TakeAll() : queue.TakeUnsent();
    if (!batches.empty()) stranded.push_back({lane.get(), std::move(batches)});
  }
  return stranded;
}

void PublishStream::Adopt(Lane& lane, std::unique_ptr<PublishBatch> batch) {
  Outcomes outcomes;
  {
    MutexLock lock(mutex_);
    lane.queue.Adopt(std::move(batch));
    if (closing_) FailAll(absl::CancelledError("the producer was closed"), outcomes);
    if (!closing_ && !expiry_scheduled_) ScheduleExpiry(steady_clock::now() + SealAge());
    if (!closing_ && state_ == State::kIdle) Connect();
    if (!closing_ && state_ == State::kOpen) {
      if (lane.queue.bound()) MarkReady(lane);
      if (!lane.queue.bound()) Bind(lane);
    }
  }
  Pump();
  host_.OnOutcomes(std::move(outcomes));
}

void PublishStream::Tick(SteadyTime now) {
  Outcomes outcomes;
  bool in_trouble = false;
  {
    MutexLock lock(mutex_);
    if (closing_) return;
    Expire(now, outcomes);
    in_trouble = IsStuck(now);
    // It is of no use to what waits: OnEnd tells, when everything is the queues' again.
    if (in_trouble && state_ == State::kOpen && stream_ != nullptr) {
      ++failures_;
      stream_->Cancel();
    }
    ResumePaused(now);
    if (state_ == State::kBackoff && now >= reconnect_at_) {
      state_ = State::kIdle;
      if (HasPending()) Connect();
    }
  }
  Pump();
  host_.OnOutcomes(std::move(outcomes));
  if (in_trouble) host_.OnTrouble(*this);
}

void PublishStream::Shutdown() {
  Outcomes outcomes;
  {
    MutexLock lock(mutex_);
    closing_ = true;
    FailAll(absl::CancelledError("the producer was closed"), outcomes);
    if (stream_ != nullptr) stream_->Cancel();
  }
  ticker_->Forget(this);
  host_.OnOutcomes(std::move(outcomes));
  MutexLock lock(mutex_);
  while (stream_ != nullptr || ending_) ended_.Wait(mutex_);
}

}  // namespace dunlin::internal
