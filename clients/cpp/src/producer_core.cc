#include "clients/cpp/src/producer_core.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

#include "clients/cpp/src/gzip.h"
#include "services/base/crc32c.h"

namespace dunlin::internal {
namespace {

// Full buffers kept for reuse.
constexpr size_t kPooledBuffers = 64;

// The thread is inside a callback: it must not wait for anything.
thread_local bool in_callback = false;

uint64_t RandomId() {
  std::random_device random;
  for (;;) {
    const uint64_t id = (uint64_t{random()} << 32) | random();
    if (id != 0) return id;
  }
}

int64_t Count(SteadyTime time) { return time.time_since_epoch().count(); }

PublishStream::Settings SettingsOf(const ProducerOptions& options) {
  PublishStream::Settings settings;
  settings.producer_id = RandomId();
  settings.limits.max_batch_bytes = options.max_batch_bytes;
  settings.limits.frames_in_flight = options.frames_in_flight;
  settings.send_timeout = options.send_timeout;
  settings.pool = std::make_shared<BufferPool>(options.max_batch_bytes, kPooledBuffers);
  return settings;
}

}  // namespace

ProducerCore::ProducerCore(const std::shared_ptr<Connection>& connection,
                           const ProducerOptions& options)
    : options_(options), connection_(connection), settings_(SettingsOf(options)) {
  MutexLock lock(mutex_);
  for (int i = 0; i < options.streams; ++i) {
    AddStream(i == 0 ? connection : connection->Another());
  }
}

PublishStream& ProducerCore::AddStream(std::shared_ptr<Connection> connection) {
  return *streams_.emplace_back(
      std::make_unique<PublishStream>(std::move(connection), settings_, *this));
}

std::vector<PublishStream*> ProducerCore::Streams() {
  MutexLock lock(mutex_);
  std::vector<PublishStream*> streams;
  for (const auto& stream : streams_) streams.push_back(stream.get());
  return streams;
}

ProducerCore::~ProducerCore() { Close(options_.close_timeout).IgnoreError(); }

Topic& ProducerCore::FindTopic(const std::string& name) {
  Topic* last = last_topic_.load(std::memory_order_acquire);
  if (last != nullptr && last->name == name) return *last;
  bool is_new = false;
  {
    MutexLock lock(mutex_);
    std::unique_ptr<Topic>& topic = topics_[name];
    is_new = topic == nullptr;
    if (is_new) {
      topic = std::make_unique<Topic>();
      topic->name = name;
      SetQueues(*topic, 1);
    }
    last = topic.get();
  }
  last_topic_.store(last, std::memory_order_release);
  if (is_new) connection_->routes().Follow(name, this);
  return *last;
}

void ProducerCore::SetQueues(Topic& topic, uint32_t queues) {
  if (topic.made.size() < queues) topic.made.resize(queues);
  auto table = std::make_unique<Lanes>(queues);
  for (size_t queue = 0; queue < queues; ++queue) {
    (*table)[queue].store(topic.made[queue], std::memory_order_relaxed);
  }
  topic.lanes.store(table.get(), std::memory_order_release);
  topic.tables.push_back(std::move(table));
}

void ProducerCore::Learn(Topic& topic, uint32_t id, uint32_t queues, bool fewer) {
  const bool is_another = id != 0 && topic.id != 0 && id != topic.id;
  // Routes and answers to bindings overtake each other.
  const size_t known = topic.lanes.load(std::memory_order_relaxed)->size();
  if (is_another || known < queues || (fewer && known != queues)) SetQueues(topic, queues);
  if (id != 0) topic.id = id;
  topic.known.store(true, std::memory_order_release);
}

Lane& ProducerCore::MakeLane(Topic& topic, uint32_t queue) {
  PublishStream* late = nullptr;
  Lane* made = nullptr;
  {
    MutexLock lock(mutex_);
    Lane*& lane = topic.made[queue];
    if (lane == nullptr) {
      const auto streams = static_cast<size_t>(options_.streams);
      lane = streams_[queue % streams]->AddLane(topic, topic.name, queue);
      // A call has so many bindings and no more.
      if (lane == nullptr) lane = streams_.back()->AddLane(topic, topic.name, queue);
      if (lane == nullptr) {
        PublishStream& more = AddStream(connection_->Another());
        lane = more.AddLane(topic, topic.name, queue);
        if (shut_down_) late = &more;
      }
      Lanes& lanes = *topic.lanes.load(std::memory_order_relaxed);
      if (queue < lanes.size()) lanes[queue].store(lane, std::memory_order_release);
    }
    made = lane;
  }
  // Close may have been through with the others.
  if (late != nullptr) late->Shutdown();
  return *made;
}

absl::StatusOr<Lane*> ProducerCore::ChooseLane(Topic& topic, const Message& message) {
  // A message group's queue is the broker's choice (docs/fifo.md), and this is how it chooses.
  const std::string& key =
      message.message_group.empty() ? message.ordering_key : message.message_group;
  if (!message.lite_topic.empty()) {
    return absl::InvalidArgumentError("messages with a lightweight topic are sent by LiteProducer");
  }
  if (message.queue.has_value() && !message.message_group.empty()) {
    return absl::InvalidArgumentError("a message group chooses its queue; name none");
  }
  if (message.priority.has_value()) {
    if (*message.priority < 0) return absl::InvalidArgumentError("a priority below 0");
    if (message.queue.has_value() || !message.message_group.empty()) {
      return absl::InvalidArgumentError(
          "a priority chooses the queue; name neither a queue nor a message group");
    }
  }
  const bool chosen = message.queue.has_value() || message.priority.has_value() || !key.empty();
  // In a callback, which must not wait, the first queue is as good as any.
  if (!topic.known.load(std::memory_order_acquire) && (chosen || !in_callback)) {
    absl::Status status = AwaitKnown(topic);
    if (!status.ok()) return status;
  }
  const Lanes& lanes = *topic.lanes.load(std::memory_order_acquire);
  if (message.queue.has_value() && *message.queue >= lanes.size()) {
    return absl::InvalidArgumentError(fmt::format("topic {} has no queue {}: they run from 0 to {}",
                                                  topic.name, *message.queue, lanes.size() - 1));
  }
  uint32_t number = topic.current.load(std::memory_order_relaxed);
  if (message.priority.has_value()) {
    number =
        std::min(static_cast<uint32_t>(*message.priority), static_cast<uint32_t>(lanes.size() - 1));
  } else if (chosen) {
    number = message.queue.has_value() ? *message.queue : Crc32c(key);
  }
  return &LaneOf(topic, lanes, static_cast<uint32_t>(number % lanes.size()));
}

absl::Status ProducerCore::AwaitKnown(Topic& topic) {
  if (in_callback) {
    return absl::ResourceExhaustedError(
        "the number of queues is not known yet, and a callback must not wait for it");
  }
  Lane& first = LaneOf(topic, *topic.lanes.load(std::memory_order_acquire), 0);
  const SteadyTime deadline = steady_clock::now() + options_.send_timeout;
  mutex_.Lock();
  const int refusals = topic.refusals;
  mutex_.Unlock();
  first.stream.Ask(first);
  MutexLock lock(mutex_);
  while (!topic.known.load(std::memory_order_relaxed)) {
    if (topic.refusals != refusals) return topic.refusal;
    if (closed_.load()) return absl::FailedPreconditionError("the producer is closed");
    if (!changed_.WaitUntil(mutex_, deadline)) {
      return absl::DeadlineExceededError("the broker does not answer");
    }
  }
  return absl::OkStatus();
}

absl::Status ProducerCore::Reserve(size_t bytes) {
  const size_t before = pending_bytes_.fetch_add(bytes);
  if (before == 0 || before + bytes <= options_.max_pending_bytes) [[likely]] {
    return absl::OkStatus();
  }
  return AwaitRoom(bytes);
}

absl::Status ProducerCore::AwaitRoom(size_t bytes) {
  GiveBack(bytes);
  if (!options_.block_when_full || in_callback) {
    return absl::ResourceExhaustedError("max_pending_bytes of messages are not answered yet");
  }
  const SteadyTime deadline = steady_clock::now() + options_.send_timeout;
  const size_t room = options_.max_pending_bytes > bytes ? options_.max_pending_bytes - bytes : 0;
  for (;;) {
    if (!AwaitPending(room, deadline)) {
      return absl::ResourceExhaustedError(
          "max_pending_bytes of messages were not answered within send_timeout");
    }
    const size_t before = pending_bytes_.fetch_add(bytes);
    if (before == 0 || before + bytes <= options_.max_pending_bytes) return absl::OkStatus();
    GiveBack(bytes);
  }
}

void ProducerCore::GiveBack(size_t bytes) {
  pending_bytes_.fetch_sub(bytes);
  SignalPending();
}

void ProducerCore::SignalPending() {
  if (waiting_.load() == 0) return;
  MutexLock lock(mutex_);
  changed_.SignalAll();
}

bool ProducerCore::AwaitPending(size_t at_most, SteadyTime deadline) {
  MutexLock lock(mutex_);
  waiting_.fetch_add(1);
  // Who comes behind may fill it again: what counts is that it was so once.
  bool reached = pending_bytes_.load() <= at_most;
  for (bool in_time = true; !reached && in_time;) {
    in_time = changed_.WaitUntil(mutex_, deadline);
    reached = pending_bytes_.load() <= at_most;
  }
  waiting_.fetch_sub(1);
  return reached;
}

absl::Status ProducerCore::Submit(const Message& message, Producer::Callback* callback) {
  if (closed_.load(std::memory_order_relaxed)) {
    return absl::FailedPreconditionError("the producer is closed");
  }
  if (message.topic.empty()) return absl::InvalidArgumentError("the message has no topic");
  Topic& topic = FindTopic(message.topic);
  absl::StatusOr<Lane*> lane = ChooseLane(topic, message);
  if (!lane.ok()) return lane.status();
  std::string compressed;
  std::string_view body = message.body;
  if (options_.compress_from_bytes > 0 && body.size() >= options_.compress_from_bytes) {
    compressed = GzipCompress(body);
    if (!compressed.empty() && compressed.size() < body.size()) body = compressed;
  }
  const MessageEncoder encoder(message, body, body.data() != message.body.data());
  absl::Status status = Reserve(encoder.size());
  if (!status.ok()) return status;
  status = (*lane)->stream.Append(**lane, encoder, callback);
  if (!status.ok()) GiveBack(encoder.size());
  return status;
}

void ProducerCore::OnOutcomes(Outcomes outcomes) {
  const bool outer = std::exchange(in_callback, true);
  for (Outcome& outcome : outcomes) {
    const DeliveryReport& report = outcome.report;
    if (options_.on_delivery) options_.on_delivery(report);
    int64_t offset = report.first_offset;
    for (Producer::Callback& callback : outcome.callbacks) {
      if (callback && report.status.ok()) {
        callback(Receipt{report.topic_id, report.queue, offset});
      } else if (callback) {
        callback(report.status);
      }
      if (offset >= 0) ++offset;
    }
    // Not before: Flush promises that callbacks have returned.
    pending_bytes_.fetch_sub(outcome.bytes);
  }
  in_callback = outer;
  if (!outcomes.empty()) SignalPending();
}

void ProducerCore::OnTopic(Topic& topic, const absl::StatusOr<BoundTopic>& answer) {
  MutexLock lock(mutex_);
  if (answer.ok()) {
    Learn(topic, answer->id, answer->queues, /*fewer=*/false);
  } else {
    ++topic.refusals;
    topic.refusal = answer.status();
  }
  changed_.SignalAll();
}

void ProducerCore::OnRoute(const std::string& name, const Route& route) {
  Topic* topic = nullptr;
  {
    MutexLock lock(mutex_);
    topic = topics_.at(name).get();
    // One that is old knows fewer queues, but of none that takes no messages any more.
    const bool fewer = route.write_queues < route.queues;
    if (route.exists) Learn(*topic, route.topic_id, route.write_queues, fewer);
    changed_.SignalAll();
  }
  if (route.exists && route.topic_id == 0) return;
  // To a topic that is gone, too: the next binding makes it anew, or says why not.
  for (PublishStream* stream : Streams()) stream->Rebind(*topic, route.topic_id);
}

void ProducerCore::MoveOn(const Lane& lane, SteadyTime now) {
  Topic& topic = lane.topic;
  const Lanes& lanes = *topic.lanes.load(std::memory_order_acquire);
  const uint32_t here = lane.queue.queue();
  const auto count = static_cast<uint32_t>(lanes.size());
  if (topic.current.load(std::memory_order_relaxed) % count != here) return;
  uint32_t next = (here + 1) % count;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t candidate = (next + i) % count;
    const Lane* const other = lanes[candidate].load(std::memory_order_acquire);
    if (other == nullptr || other->avoid_until.load(std::memory_order_relaxed) <= Count(now)) {
      next = candidate;
      break;
    }
  }
  topic.current.store(next, std::memory_order_relaxed);
}

absl::Status ProducerCore::Flush(std::chrono::milliseconds timeout) {
  if (in_callback) return absl::FailedPreconditionError("a callback must not wait");
  if (AwaitPending(0, steady_clock::now() + timeout)) return absl::OkStatus();
  return absl::DeadlineExceededError("messages are not answered yet");
}

absl::Status ProducerCore::Close(std::chrono::milliseconds timeout) {
  closed_.store(true);
  {
    MutexLock lock(mutex_);
    if (shut_down_) return absl::OkStatus();
    shut_down_ = true;
    changed_.SignalAll();
  }
  connection_->routes().Forget(this);
  absl::Status status = Flush(timeout);
  for (PublishStream* stream : Streams()) stream->Shutdown();
  return status;
}

}  // namespace dunlin::internal
