#include "clients/cpp/src/producer_core.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
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

PublishStream::Settings SettingsOf(const ProducerOptions& options,
                                   const std::shared_ptr<BufferPool>& pool) {
  PublishStream::Settings settings;
  settings.producer_id = RandomId();
  settings.limits.max_batch_bytes = options.max_batch_bytes;
  settings.limits.frames_in_flight = options.frames_in_flight;
  settings.send_timeout = options.send_timeout;
  settings.pool = pool;
  return settings;
}

bool IsAvoided(const Lane* lane, SteadyTime now) {
  return lane != nullptr && lane->avoid_until.load(std::memory_order_relaxed) > Count(now);
}

absl::Status CheckChoice(const Message& message) {
  if (!message.lite_topic.empty()) {
    return absl::InvalidArgumentError("messages with a lightweight topic are sent by LiteProducer");
  }
  if (!message.broker.empty() && !message.queue.has_value()) {
    return absl::InvalidArgumentError("a broker is named together with its queue");
  }
  if (message.queue.has_value() && !message.message_group.empty()) {
    return absl::InvalidArgumentError("a message group chooses its queue; name none");
  }
  if (!message.priority.has_value()) return absl::OkStatus();
  if (*message.priority < 0) return absl::InvalidArgumentError("a priority below 0");
  if (message.queue.has_value() || !message.message_group.empty()) {
    return absl::InvalidArgumentError(
        "a priority chooses the queue; name neither a queue nor a message group");
  }
  return absl::OkStatus();
}

// The part that a message with a queue means.
absl::StatusOr<const LaneTable::Part*> NamedPart(const Topic& topic, const LaneTable& table,
                                                 const Message& message) {
  const LaneTable::Part* found = nullptr;
  std::string names;
  for (const LaneTable::Part& part : table.parts) {
    names += (names.empty() ? "" : ", ") + part.name;
    if (message.broker.empty() ? table.parts.size() == 1 : part.name == message.broker) {
      found = &part;
    }
  }
  if (found == nullptr && message.broker.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("topic {} is at several brokers: name the one whose queue is meant: {}",
                    topic.name, names));
  }
  if (found == nullptr) {
    return absl::InvalidArgumentError(fmt::format("broker {} takes no messages for topic {}: {} do",
                                                  message.broker, topic.name, names));
  }
  if (*message.queue >= found->places.size()) {
    return absl::InvalidArgumentError(fmt::format("topic {} has no queue {}: they run from 0 to {}",
                                                  topic.name, *message.queue,
                                                  found->places.size() - 1));
  }
  return found;
}

}  // namespace

ProducerCore::ProducerCore(const std::shared_ptr<Connection>& connection,
                           const ProducerOptions& options)
    : options_(options),
      connection_(connection),
      pool_(std::make_shared<BufferPool>(options.max_batch_bytes, kPooledBuffers)) {}

ProducerCore::~ProducerCore() { Close(options_.close_timeout).IgnoreError(); }

PublishStream& ProducerCore::AddStream(Target& target) {
  const auto number = static_cast<int>(target.streams.size());
  return *target.streams.emplace_back(std::make_unique<PublishStream>(
      connection_->To(target.endpoint, number), target.settings, *this));
}

std::vector<PublishStream*> ProducerCore::Streams(const Target* target) {
  MutexLock lock(mutex_);
  std::vector<PublishStream*> streams;
  for (const auto& known : targets_) {
    if (target != nullptr && known.get() != target) continue;
    for (const auto& stream : known->streams) streams.push_back(stream.get());
  }
  return streams;
}

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
    }
    last = topic.get();
  }
  last_topic_.store(last, std::memory_order_release);
  if (is_new) connection_->routes().Follow(name, this);
  return *last;
}

Target& ProducerCore::TargetOf(const BrokerRoute& route) {
  const std::string& endpoint = route.endpoint.empty() ? connection_->endpoint() : route.endpoint;
  Target* found = nullptr;
  for (const auto& target : targets_) {
    // What was only known by its address has a name now.
    const bool is_it =
        target->name == route.broker || (target->name.empty() && target->endpoint == endpoint);
    if (is_it && (found == nullptr || target->name == route.broker)) found = target.get();
  }
  if (found == nullptr) {
    found = targets_.emplace_back(std::make_unique<Target>()).get();
    found->name = route.broker;
    found->endpoint = endpoint;
    found->settings = SettingsOf(options_, pool_);
    for (int i = 0; i < options_.streams; ++i) AddStream(*found);
  }
  if (found->name != route.broker) {
    found->name = route.broker;
    for (const auto& stream : found->streams) stream->Rename(found->name);
  }
  return *found;
}

TopicAt& ProducerCore::AtOf(Topic& topic, Target& target) {
  for (const auto& at : topic.brokers) {
    if (&at->target == &target) return *at;
  }
  return *topic.brokers.emplace_back(std::make_unique<TopicAt>(topic, target));
}

void ProducerCore::Learn(TopicAt& at, const BrokerRoute& route) {
  at.is_there = true;
  at.is_open = route.write_queues > 0;
  const uint32_t queues = at.is_open ? route.write_queues : route.queues;
  const bool is_another = route.topic_id != 0 && at.id != 0 && route.topic_id != at.id;
  // One that is old knows fewer queues, but of none that takes no messages any more.
  const bool may_be_fewer = at.is_open && route.write_queues < route.queues;
  // Routes and answers to bindings overtake each other.
  if (is_another || at.queues < queues || may_be_fewer) at.queues = queues;
  if (route.topic_id != 0) at.id = route.topic_id;
  if (at.made.size() < at.queues) at.made.resize(at.queues);
}

void ProducerCore::TakeRoute(Topic& topic, const Route& route) {
  for (const auto& at : topic.brokers) at->is_there = at->is_open = false;
  for (const BrokerRoute& broker : route.brokers) {
    Target& target = TargetOf(broker);
    const std::string& endpoint =
        broker.endpoint.empty() ? connection_->endpoint() : broker.endpoint;
    target.endpoint = endpoint;
    for (size_t i = 0; i < target.streams.size(); ++i) {
      target.streams[i]->MoveTo(connection_->To(endpoint, static_cast<int>(i)));
    }
    Learn(AtOf(topic, target), broker);
  }
  Publish(topic);
}

void ProducerCore::Publish(Topic& topic) {
  const LaneTable* const before = topic.table.load(std::memory_order_relaxed);
  std::unique_ptr<LaneTable> made = LaneTable::Make(topic.brokers, before);
  // Nobody can be reached: what is known is the best there is.
  if (made->open == 0) return;
  const LaneTable* table = nullptr;
  for (const auto& known : topic.tables) {
    if (known->IsLike(*made)) table = known.get();
  }
  if (table == nullptr) table = topic.tables.emplace_back(std::move(made)).get();
  for (uint32_t place = 0; place < table->slots.size(); ++place) {
    const LaneTable::Slot& slot = table->slots[place];
    Lane* const lane = slot.at->made[slot.queue];
    if (lane == nullptr) continue;
    lane->place.store(place, std::memory_order_relaxed);
    table->lanes[place].store(lane, std::memory_order_release);
  }
  topic.table.store(table, std::memory_order_release);
}

Lane* ProducerCore::AddLane(TopicAt& at, uint32_t queue) {
  Target& target = at.target;
  const auto streams = static_cast<size_t>(options_.streams);
  const std::string& topic = at.topic.name;
  Lane* lane = target.streams[queue % streams]->AddLane(at, topic, target.name, queue);
  // A call has so many bindings and no more.
  if (lane == nullptr) lane = target.streams.back()->AddLane(at, topic, target.name, queue);
  if (lane == nullptr) lane = AddStream(target).AddLane(at, topic, target.name, queue);
  return lane;
}

Lane& ProducerCore::MakeLane(const LaneTable& table, uint32_t place) {
  Lane* lane = nullptr;
  bool is_late = false;
  {
    MutexLock lock(mutex_);
    const LaneTable::Slot& slot = table.slots[place];
    const size_t streams = slot.at->target.streams.size();
    Lane*& made = slot.at->made[slot.queue];
    // Of a table that was replaced meanwhile the place is another one: a lane that believes in it
    // never lets the turn go on.
    const bool is_current = slot.at->topic.table.load(std::memory_order_relaxed) == &table;
    const bool is_new = made == nullptr;
    if (is_new) made = AddLane(*slot.at, slot.queue);
    if (is_new || is_current) made->place.store(place, std::memory_order_relaxed);
    lane = made;
    table.lanes[place].store(lane, std::memory_order_release);
    is_late = shut_down_ && slot.at->target.streams.size() > streams;
  }
  // Close may have been through with the others.
  if (is_late) lane->stream.Shutdown();
  return *lane;
}

absl::StatusOr<uint32_t> ProducerCore::ChoosePlace(Topic& topic, const LaneTable& table,
                                                   const Message& message) {
  if (message.queue.has_value()) {
    const auto part = NamedPart(topic, table, message);
    if (!part.ok()) return part.status();
    return (*part)->places[*message.queue];
  }
  if (message.priority.has_value()) {
    const uint32_t turn = topic.turn.fetch_add(1, std::memory_order_relaxed);
    const LaneTable::Part& part = table.PartOf(turn);
    const auto last = static_cast<uint32_t>(part.places.size() - 1);
    return part.places[std::min(static_cast<uint32_t>(*message.priority), last)];
  }
  // A message group's queue is the broker's choice (docs/fifo.md), and this is how it chooses.
  const std::string& key =
      message.message_group.empty() ? message.ordering_key : message.message_group;
  const uint32_t hash = Crc32c(key);
  const LaneTable::Part& part = table.PartOf(hash);
  return part.places[hash % part.places.size()];
}

absl::StatusOr<Lane*> ProducerCore::ChooseLane(Topic& topic, const Message& message) {
  absl::Status status = CheckChoice(message);
  if (!status.ok()) return status;
  const LaneTable* table = topic.table.load(std::memory_order_acquire);
  if (table == nullptr) {
    status = AwaitTable(topic);
    if (!status.ok()) return status;
    table = topic.table.load(std::memory_order_acquire);
  }
  const bool chooses = message.queue.has_value() || message.priority.has_value() ||
                       !message.message_group.empty() || !message.ordering_key.empty();
  if (!chooses) {
    return &LaneOf(*table, topic.current.load(std::memory_order_relaxed) % table->open);
  }
  const absl::StatusOr<uint32_t> place = ChoosePlace(topic, *table, message);
  if (!place.ok()) return place.status();
  return &LaneOf(*table, *place);
}

absl::Status ProducerCore::AwaitTable(Topic& topic) {
  if (in_callback) {
    return absl::ResourceExhaustedError(
        "it is not known yet where the topic is, and a callback must not wait for it");
  }
  const SteadyTime deadline = steady_clock::now() + options_.send_timeout;
  bool has_asked = false;
  MutexLock lock(mutex_);
  const int refusals = topic.refusals;
  while (topic.table.load(std::memory_order_relaxed) == nullptr) {
    if (!topic.unroutable.ok()) return topic.unroutable;
    if (topic.refusals != refusals) return topic.refusal;
    if (closed_.load()) return absl::FailedPreconditionError("the producer is closed");
    if (topic.is_absent && !std::exchange(has_asked, true)) {
      mutex_.Unlock();
      AskAccessPoint(topic);
      mutex_.Lock();
      continue;
    }
    if (!changed_.WaitUntil(mutex_, deadline)) {
      return absl::DeadlineExceededError("neither a broker nor a name service answers");
    }
  }
  return absl::OkStatus();
}

void ProducerCore::AskAccessPoint(Topic& topic) {
  Lane* lane = nullptr;
  {
    MutexLock lock(mutex_);
    if (shut_down_) return;
    // Whatever a route calls the server there.
    const std::string& endpoint = connection_->endpoint();
    Target* target = nullptr;
    for (const auto& known : targets_) {
      if (known->endpoint == endpoint) target = known.get();
    }
    if (target == nullptr) {
      BrokerRoute here;
      here.endpoint = endpoint;
      target = &TargetOf(here);
    }
    TopicAt& at = AtOf(topic, *target);
    if (at.made.empty()) at.made.resize(1);
    if (at.made[0] == nullptr) at.made[0] = AddLane(at, 0);
    lane = at.made[0];
  }
  lane->stream.Ask(*lane);
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

void ProducerCore::OnTopic(const Lane& lane, const absl::StatusOr<BoundTopic>& answer) {
  MutexLock lock(mutex_);
  Topic& topic = lane.at.topic;
  if (answer.ok()) {
    TopicAt& at = lane.at;
    const uint32_t queues = at.queues;
    const bool is_new = topic.table.load(std::memory_order_relaxed) == nullptr;
    const bool is_there = at.is_there;
    const bool is_open = at.is_open;
    Learn(at, {at.target.name, at.target.endpoint, answer->queues, answer->queues, answer->id});
    // Whether it takes messages a route has said, if there is one.
    if (!is_new && !topic.is_absent) {
      at.is_there = is_there;
      at.is_open = is_open;
    }
    if (is_new || at.queues != queues) Publish(topic);
  } else {
    ++topic.refusals;
    topic.refusal = answer.status();
    // A name service takes no messages.
    if (absl::IsUnimplemented(answer.status()) && lane.at.target.name.empty()) {
      topic.refusal = absl::NotFoundError(
          fmt::format("topic {0} is at no broker that the name service knows; `dunlinctl topic "
                      "create {0}` makes it",
                      topic.name));
    }
  }
  changed_.SignalAll();
}

void ProducerCore::OnRoute(const std::string& name, const Route& route) {
  std::vector<std::pair<TopicAt*, uint32_t>> ids;
  {
    MutexLock lock(mutex_);
    Topic& topic = *topics_.at(name);
    if (shut_down_) return;
    topic.is_absent = absl::IsNotFound(route.status);
    topic.unroutable = topic.is_absent ? absl::OkStatus() : route.status;
    if (route.exists()) TakeRoute(topic, route);
    for (const auto& at : topic.brokers) {
      // To a topic that is gone, too: the next binding makes it anew, or says why not.
      if (topic.is_absent) ids.emplace_back(at.get(), 0);
      if (at->is_there && route.exists() && at->id != 0) ids.emplace_back(at.get(), at->id);
    }
    changed_.SignalAll();
  }
  for (const auto& [at, id] : ids) {
    for (PublishStream* stream : Streams(&at->target)) stream->Rebind(*at, id);
  }
}

void ProducerCore::MoveOn(const Lane& lane, SteadyTime now) {
  Topic& topic = lane.at.topic;
  const LaneTable* const table = topic.table.load(std::memory_order_acquire);
  if (table == nullptr) return;
  const uint32_t here = lane.place.load(std::memory_order_relaxed);
  const uint32_t count = table->open;
  if (topic.current.load(std::memory_order_relaxed) % count != here) return;
  uint32_t next = (here + 1) % count;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t candidate = (next + i) % count;
    if (!IsAvoided(table->lanes[candidate].load(std::memory_order_acquire), now)) {
      next = candidate;
      break;
    }
  }
  topic.current.store(next, std::memory_order_relaxed);
}

std::optional<uint32_t> ProducerCore::RefugeOf(const LaneTable& table, const Lane& lane,
                                               SteadyTime now) {
  const uint32_t begin = lane.at.topic.current.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < table.open; ++i) {
    const uint32_t place = (begin + i) % table.open;
    const bool is_other = &table.slots[place].at->target != &lane.at.target;
    if (is_other && !IsAvoided(table.lanes[place].load(std::memory_order_acquire), now)) {
      return place;
    }
  }
  return std::nullopt;
}

bool ProducerCore::HasRefuge(const Lane& lane, SteadyTime now) {
  const LaneTable* const table = lane.at.topic.table.load(std::memory_order_acquire);
  return table != nullptr && RefugeOf(*table, lane, now).has_value();
}

void ProducerCore::OnTrouble(PublishStream& stream) {
  connection_->routes().Doubt();
  const SteadyTime now = steady_clock::now();
  for (Stranded& stranded : stream.Evacuate(now)) {
    const LaneTable& table = *stranded.lane->at.topic.table.load(std::memory_order_acquire);
    for (auto& batch : stranded.batches) {
      const std::optional<uint32_t> place = RefugeOf(table, *stranded.lane, now);
      // Where there was one a moment ago there may be none any more: it stays.
      Lane& lane = place.has_value() ? LaneOf(table, *place) : *stranded.lane;
      lane.stream.Adopt(lane, std::move(batch));
      MoveOn(lane, now);
    }
  }
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
  for (PublishStream* stream : Streams(nullptr)) stream->Shutdown();
  return status;
}

}  // namespace dunlin::internal
