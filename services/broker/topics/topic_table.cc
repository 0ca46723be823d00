#include "services/broker/topics/topic_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/broker/topics/topic_rows.h"

namespace dunlin::broker {
namespace {

// Known kinds: NORMAL (1) to PRIORITY (6).
constexpr uint32_t kAllKinds = 0b1111110;
constexpr int32_t kNormal = 1;
// Every consumer is told all of them.
constexpr size_t kMaxRetryDelays = 64;

absl::Status Invalid(const std::string& message) { return absl::InvalidArgumentError(message); }

absl::Status TooMany(std::string_view what, size_t limit) {
  return absl::ResourceExhaustedError(fmt::format(
      "there are {} {} already, which is the limit: delete some, or raise broker.max_{}", limit,
      what, what));
}

absl::Status CheckSpec(const TopicTable::TopicSpec& spec) {
  if (spec.compacted && spec.retention.IsSet()) {
    return Invalid(
        fmt::format("topic {}: one that is compacted keeps the newest message of each key "
                    "as long as it exists; it has no age, size or consumption limit",
                    spec.name));
  }
  if (spec.compacted && spec.kinds != KindBit(kNormal)) {
    return Invalid(fmt::format(
        "topic {}: one that is compacted takes NORMAL messages, and no other", spec.name));
  }
  if (spec.retention.max_age.count() < 0) {
    return Invalid(
        fmt::format("topic {}: a retention of {} ms", spec.name, spec.retention.max_age.count()));
  }
  if (spec.queues < 1 || spec.queues > kMaxQueues) {
    return Invalid(
        fmt::format("topic {}: {} queues; choose 1 to {}", spec.name, spec.queues, kMaxQueues));
  }
  if (spec.kinds == 0 || (spec.kinds & ~kAllKinds) != 0) {
    return Invalid(fmt::format(
        "topic {}: names no known kind of message; choose among NORMAL, FIFO, DELAY, TRANSACTION, "
        "LITE, PRIORITY",
        spec.name));
  }
  if (spec.lite_expiration > kMaxLiteExpiration) {
    return Invalid(
        fmt::format("topic {}: lightweight topics expire after {} minutes; choose 1 to "
                    "{}, or 0 for never",
                    spec.name, spec.lite_expiration.count(), kMaxLiteExpiration.count()));
  }
  if (spec.kinds == kLiteKinds && spec.retention.IsSet()) {
    return Invalid(
        fmt::format("topic {}: lightweight topics have no age, size or consumption limit; "
                    "they are removed when idle (--lite-expiration-minutes)",
                    spec.name));
  }
  if (spec.lite_expiration.count() > 0 && spec.kinds != kLiteKinds) {
    return Invalid(
        fmt::format("topic {}: only a topic of kind LITE has lightweight topics that "
                    "expire",
                    spec.name));
  }
  return absl::OkStatus();
}

absl::Status CheckGroup(const Group& group) {
  if (group.priority_factor > kPriorityAlone) {
    return Invalid(fmt::format("group {}: a priority factor of {}; choose 0 to {}", group.name,
                               group.priority_factor, kPriorityAlone));
  }
  if (group.max_attempts < 1) {
    return Invalid(fmt::format("group {}: max attempts is 0; a message needs at least one delivery",
                               group.name));
  }
  // Clients count in 32 bits with a sign.
  if (group.max_attempts > std::numeric_limits<int32_t>::max()) {
    return Invalid(fmt::format("group {}: {} attempts; at most {} are allowed", group.name,
                               group.max_attempts, std::numeric_limits<int32_t>::max()));
  }
  if (group.retry_delays.size() > kMaxRetryDelays) {
    return Invalid(
        fmt::format("group {}: {} retry delays; at most {} are allowed, the last repeats",
                    group.name, group.retry_delays.size(), kMaxRetryDelays));
  }
  for (std::chrono::milliseconds delay : group.retry_delays) {
    if (delay.count() < 0) {
      return Invalid(fmt::format("group {}: a retry delay of {} ms", group.name, delay.count()));
    }
  }
  const Group::Exponential& backoff = group.exponential;
  if (group.retry_delays.empty() && (backoff.initial.count() <= 0 ||
                                     backoff.max < backoff.initial || !(backoff.multiplier >= 1))) {
    return Invalid(fmt::format(
        "group {}: give a list of retry delays, or an exponential backoff with 0 < initial <= max "
        "and multiplier >= 1 (initial {} ms, max {} ms, multiplier {})",
        group.name, backoff.initial.count(), backoff.max.count(), backoff.multiplier));
  }
  return absl::OkStatus();
}

template <typename Value>
std::vector<Value> SortedByName(const StringMap<Value>& map) {
  std::vector<std::pair<std::string_view, Value>> sorted(map.begin(), map.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Value> values;
  values.reserve(sorted.size());
  for (auto& [name, value] : sorted) values.push_back(std::move(value));
  return values;
}

template <typename Map, typename Key>
typename Map::mapped_type FindOrNull(const Map& map, const Key& key) {
  auto found = map.find(key);
  return found == map.end() ? nullptr : found->second;
}

}  // namespace

std::chrono::milliseconds Group::RetryDelay(uint32_t attempt) const {
  if (!retry_delays.empty()) {
    return retry_delays[std::min<size_t>(std::max(attempt, 1u), retry_delays.size()) - 1];
  }
  const double delay = static_cast<double>(exponential.initial.count()) *
                       std::pow(exponential.multiplier, std::max(attempt, 1u) - 1);
  return std::chrono::milliseconds(
      static_cast<int64_t>(std::min(delay, static_cast<double>(exponential.max.count()))));
}

TopicTable::TopicTable(store::CommitLog& log, const Clock& clock, const Limits& limits,
                       TopicId next_topic, GroupId next_group)
    : log_(log),
      clock_(clock),
      limits_(limits),
      watchers_(limits.watches),
      next_topic_(next_topic),
      next_group_(next_group) {}

absl::StatusOr<std::unique_ptr<TopicTable>> TopicTable::Load(store::CommitLog& log,
                                                             const store::Dispatcher& dispatcher,
                                                             const store::StateStore& state,
                                                             const Clock& clock,
                                                             const Limits& limits) {
  auto table = std::unique_ptr<TopicTable>(
      new TopicTable(log, clock, limits, dispatcher.next_topic_id(), dispatcher.next_group_id()));
  ASSIGN_OR_RETURN(const std::vector<storage::v1::Topic> topics, state.ListTopics());
  ASSIGN_OR_RETURN(const std::vector<storage::v1::Group> groups, state.ListGroups());
  MutexLock lock(table->mutex_);
  for (const storage::v1::Topic& proto : topics) {
    std::shared_ptr<Topic> topic = TopicOf(proto);
    for (uint32_t queue = 0; queue < proto.queues(); ++queue) {
      topic->tails.push_back(std::make_shared<store::QueueTailSlot>());
    }
    topic->send_limit = LimitOf(topic->send_rate, nullptr, clock);
    table->topics_[QualifiedName(topic->name_space, topic->name)] = topic;
    table->topics_by_id_[topic->id] = topic;
  }
  RETURN_IF_ERROR(dispatcher.VisitNextOffsets(
      [&](QueueKey queue, QueueOffset next) ABSL_NO_THREAD_SAFETY_ANALYSIS {
        auto topic = table->topics_by_id_.find(queue.topic);
        if (topic == table->topics_by_id_.end()) return;
        if (queue.queue >= topic->second->queues()) return;
        QueueOffset& tail = topic->second->tails[queue.queue]->next;
        tail = std::max(tail, next);
      }));
  for (const storage::v1::Group& proto : groups) {
    std::shared_ptr<Group> group = GroupOf(proto);
    group->limit = LimitOf(group->rate, nullptr, clock);
    table->groups_[QualifiedName(group->name_space, group->name)] = group;
    table->groups_by_id_[group->id] = group;
    RETURN_IF_ERROR(state.VisitProgress(
        group->id, [&](const storage::v1::QueueProgress& row)
                       ABSL_NO_THREAD_SAFETY_ANALYSIS { table->RaiseTail(row); }));
  }
  return table;
}

void TopicTable::RaiseTail(const storage::v1::QueueProgress& progress) {
  const std::shared_ptr<const Topic> topic =
      FindOrNull(topics_by_id_, TopicId(progress.topic_id()));
  if (topic == nullptr || progress.queue() >= topic->queues()) return;
  QueueOffset& next = topic->tails[progress.queue()]->next;
  if (next >= QueueOffset(progress.cursor())) return;
  log::Warning("queue {} of topic {} goes on at {} instead of {}: messages in between are lost",
               progress.queue(), topic->name, progress.cursor(), next.value());
  next = QueueOffset(progress.cursor());
}

std::shared_ptr<const Topic> TopicTable::FindTopic(std::string_view name_space,
                                                   std::string_view name) const {
  if (name_space.empty()) {
    MutexLock lock(mutex_);
    return FindOrNull(topics_, name);
  }
  const std::string qualified = QualifiedName(name_space, name);
  MutexLock lock(mutex_);
  return FindOrNull(topics_, std::string_view(qualified));
}

std::shared_ptr<const Topic> TopicTable::FindTopic(TopicId id) const {
  MutexLock lock(mutex_);
  return FindOrNull(topics_by_id_, id);
}

std::shared_ptr<const Group> TopicTable::FindGroup(std::string_view name_space,
                                                   std::string_view name) const {
  const std::string qualified = QualifiedName(name_space, name);
  MutexLock lock(mutex_);
  return FindOrNull(groups_, std::string_view(qualified));
}

std::shared_ptr<const Group> TopicTable::FindGroup(GroupId id) const {
  MutexLock lock(mutex_);
  return FindOrNull(groups_by_id_, id);
}

std::vector<std::shared_ptr<const Topic>> TopicTable::Topics() const {
  MutexLock lock(mutex_);
  return SortedByName(topics_);
}

std::vector<std::shared_ptr<const Group>> TopicTable::Groups() const {
  MutexLock lock(mutex_);
  return SortedByName(groups_);
}

std::vector<std::shared_ptr<const Group>> TopicTable::GroupsBoundTo(const Topic& topic) const {
  std::vector<std::shared_ptr<const Group>> bound;
  MutexLock lock(mutex_);
  for (const auto& [name, group] : groups_) {
    if (group->BoundTo(topic)) bound.push_back(group);
  }
  return bound;
}

size_t TopicTable::CountTopics() const {
  MutexLock lock(mutex_);
  return topics_.size();
}

size_t TopicTable::CountGroups() const {
  MutexLock lock(mutex_);
  return groups_.size();
}

absl::Status TopicTable::Record(const std::string& change) {
  const std::array<std::string_view, 1> payload = {change};
  store::NewRecord record;
  record.kind = store::RecordKind::kConfig;
  record.payload = payload;
  return log_.AppendAndWait(record).status();
}

absl::StatusOr<std::shared_ptr<const Topic>> TopicTable::PutTopic(std::shared_ptr<Topic> topic) {
  storage::v1::ConfigChange change;
  *change.mutable_put_topic() = RowOf(*topic);
  RETURN_IF_ERROR(Record(change.SerializeAsString()));
  topic->send_limit = LimitOf(topic->send_rate, std::move(topic->send_limit), clock_);
  MutexLock lock(mutex_);
  topics_[QualifiedName(topic->name_space, topic->name)] = topic;
  topics_by_id_[topic->id] = topic;
  return std::shared_ptr<const Topic>(std::move(topic));
}

absl::StatusOr<std::shared_ptr<const Group>> TopicTable::PutGroup(std::shared_ptr<Group> group) {
  storage::v1::ConfigChange change;
  *change.mutable_put_group() = RowOf(*group);
  RETURN_IF_ERROR(Record(change.SerializeAsString()));
  group->limit = LimitOf(group->rate, std::move(group->limit), clock_);
  MutexLock lock(mutex_);
  groups_[QualifiedName(group->name_space, group->name)] = group;
  groups_by_id_[group->id] = group;
  return std::shared_ptr<const Group>(std::move(group));
}

TopicTable::ChangedTopic TopicTable::DoCreateTopic(const TopicSpec& spec) {
  RETURN_IF_ERROR(CheckSpec(spec));
  MutexLock change(change_mutex_);
  if (FindTopic(spec.name_space, spec.name) != nullptr) {
    return absl::AlreadyExistsError(
        fmt::format("topic {} exists already", QualifiedName(spec.name_space, spec.name)));
  }
  if (CountTopics() >= limits_.topics) return TooMany("topics", limits_.topics);
  auto topic = std::make_shared<Topic>();
  topic->id = next_topic_;
  topic->name_space = spec.name_space;
  topic->name = spec.name;
  topic->kinds = spec.kinds;
  topic->access = spec.access;
  topic->created = clock_.Now();
  topic->description = spec.description;
  topic->retention = spec.retention;
  topic->compacted = spec.compacted;
  topic->write_queues = spec.queues;
  topic->send_rate = spec.send_rate;
  topic->lite_expiration = spec.lite_expiration;
  topic->turn = std::make_shared<std::atomic<uint32_t>>(0);
  for (uint32_t queue = 0; queue < spec.queues; ++queue) {
    topic->tails.push_back(std::make_shared<store::QueueTailSlot>());
  }
  // Taken even if the record fails: an id is never reused.
  ++next_topic_;
  return PutTopic(std::move(topic));
}

TopicTable::ChangedTopic TopicTable::DoUpdateTopic(const TopicSpec& spec) {
  RETURN_IF_ERROR(CheckSpec(spec));
  MutexLock change(change_mutex_);
  const std::shared_ptr<const Topic> old = FindTopic(spec.name_space, spec.name);
  if (old == nullptr) {
    return absl::NotFoundError(
        fmt::format("there is no topic {}", QualifiedName(spec.name_space, spec.name)));
  }
  if (old->compacted && !spec.compacted) {
    return Invalid(
        fmt::format("topic {} is compacted and stays so: what newer messages replaced is "
                    "gone. Make another topic",
                    spec.name));
  }
  if (old->lite() != (spec.kinds == kLiteKinds)) {
    return Invalid(fmt::format(
        "topic {} is {} of kind LITE; to change that would put messages out of reach: make another "
        "topic",
        spec.name, old->lite() ? "one" : "not one"));
  }
  auto topic = std::make_shared<Topic>(*old);
  topic->kinds = spec.kinds;
  topic->access = spec.access;
  topic->description = spec.description;
  topic->retention = spec.retention;
  topic->compacted = spec.compacted;
  topic->write_queues = spec.queues;
  topic->send_rate = spec.send_rate;
  topic->lite_expiration = spec.lite_expiration;
  while (topic->queues() < spec.queues) {
    topic->tails.push_back(std::make_shared<store::QueueTailSlot>());
  }
  return PutTopic(std::move(topic));
}

TopicTable::ChangedTopic TopicTable::DoDeleteTopic(std::string_view name_space,
                                                   std::string_view name) {
  MutexLock change(change_mutex_);
  std::shared_ptr<const Topic> topic = FindTopic(name_space, name);
  if (topic == nullptr) {
    return absl::NotFoundError(
        fmt::format("there is no topic {}", QualifiedName(name_space, name)));
  }
  storage::v1::ConfigChange deletion;
  deletion.set_delete_topic(topic->id.value());
  RETURN_IF_ERROR(Record(deletion.SerializeAsString()));
  MutexLock lock(mutex_);
  topics_.erase(QualifiedName(name_space, name));
  topics_by_id_.erase(topic->id);
  return topic;
}

TopicTable::ChangedTopic TopicTable::Tell(ChangedTopic changed) const {
  if (changed.ok()) watchers_.Tell(QualifiedName((*changed)->name_space, (*changed)->name));
  return changed;
}

absl::StatusOr<std::shared_ptr<const Topic>> TopicTable::CreateTopic(const TopicSpec& spec) {
  return Tell(DoCreateTopic(spec));
}

absl::StatusOr<std::shared_ptr<const Topic>> TopicTable::UpdateTopic(const TopicSpec& spec) {
  return Tell(DoUpdateTopic(spec));
}

absl::StatusOr<std::shared_ptr<const Topic>> TopicTable::DeleteTopic(std::string_view name_space,
                                                                     std::string_view name) {
  return Tell(DoDeleteTopic(name_space, name));
}

absl::StatusOr<std::shared_ptr<const Group>> TopicTable::CreateGroup(const Group& group) {
  RETURN_IF_ERROR(CheckGroup(group));
  MutexLock change(change_mutex_);
  if (FindGroup(group.name_space, group.name) != nullptr) {
    return absl::AlreadyExistsError(fmt::format("consumer group {} exists already",
                                                QualifiedName(group.name_space, group.name)));
  }
  if (CountGroups() >= limits_.groups) return TooMany("groups", limits_.groups);
  auto created = std::make_shared<Group>(group);
  created->id = next_group_;
  created->created = clock_.Now();
  ++next_group_;
  return PutGroup(std::move(created));
}

absl::StatusOr<std::shared_ptr<const Group>> TopicTable::UpdateGroup(const Group& group) {
  RETURN_IF_ERROR(CheckGroup(group));
  MutexLock change(change_mutex_);
  const std::shared_ptr<const Group> old = FindGroup(group.name_space, group.name);
  if (old == nullptr) {
    return absl::NotFoundError(
        fmt::format("there is no consumer group {}", QualifiedName(group.name_space, group.name)));
  }
  if (!old->lite_bind_topic.empty() && group.lite_bind_topic != old->lite_bind_topic) {
    return Invalid(fmt::format("group {} is bound to topic {} for good; make another group for {}",
                               group.name, old->lite_bind_topic, group.lite_bind_topic));
  }
  auto updated = std::make_shared<Group>(group);
  updated->id = old->id;
  updated->created = old->created;
  updated->limit = old->limit;
  return PutGroup(std::move(updated));
}

absl::StatusOr<std::shared_ptr<const Group>> TopicTable::DeleteGroup(std::string_view name_space,
                                                                     std::string_view name) {
  MutexLock change(change_mutex_);
  std::shared_ptr<const Group> group = FindGroup(name_space, name);
  if (group == nullptr) {
    return absl::NotFoundError(
        fmt::format("there is no consumer group {}", QualifiedName(name_space, name)));
  }
  storage::v1::ConfigChange deletion;
  deletion.set_delete_group(group->id.value());
  RETURN_IF_ERROR(Record(deletion.SerializeAsString()));
  MutexLock lock(mutex_);
  groups_.erase(QualifiedName(name_space, name));
  groups_by_id_.erase(group->id);
  return group;
}

absl::Status TopicTable::Follow(const store::StateStore& state,
                                const store::Dispatcher::ChangedConfig& changed) {
  std::vector<std::string> names;
  {
    MutexLock change(change_mutex_);
    if (changed.all) {
      ASSIGN_OR_RETURN(const std::vector<storage::v1::Topic> topics, state.ListTopics());
      ASSIGN_OR_RETURN(const std::vector<storage::v1::Group> groups, state.ListGroups());
      for (const auto& topic : Topics()) TakeAway(*topic, names);
      for (const auto& group : Groups()) TakeAway(*group);
      for (const storage::v1::Topic& topic : topics) TakeOver(topic, names);
      for (const storage::v1::Group& group : groups) TakeOver(group);
    }
    for (const TopicId id : changed.topics) {
      const absl::StatusOr<storage::v1::Topic> row = state.GetTopic(id);
      if (!row.ok() && !absl::IsNotFound(row.status())) return row.status();
      if (row.ok()) {
        TakeOver(*row, names);
      } else if (const auto gone = FindTopic(id); gone != nullptr) {
        TakeAway(*gone, names);
      }
    }
    for (const GroupId id : changed.groups) {
      const absl::StatusOr<storage::v1::Group> row = state.GetGroup(id);
      if (!row.ok() && !absl::IsNotFound(row.status())) return row.status();
      if (row.ok()) {
        TakeOver(*row);
      } else if (const auto gone = FindGroup(id); gone != nullptr) {
        TakeAway(*gone);
      }
    }
  }
  for (const std::string& name : names) watchers_.Tell(name);
  return absl::OkStatus();
}

void TopicTable::TakeOver(const storage::v1::Topic& row, std::vector<std::string>& names) {
  const std::shared_ptr<Topic> topic = TopicOf(row);
  MutexLock lock(mutex_);
  if (const auto old = FindOrNull(topics_by_id_, topic->id); old != nullptr) {
    topic->turn = old->turn;
  }
  while (topic->queues() < row.queues()) {
    topic->tails.push_back(std::make_shared<store::QueueTailSlot>());
  }
  std::string name = QualifiedName(topic->name_space, topic->name);
  topics_[name] = topic;
  topics_by_id_[topic->id] = topic;
  names.push_back(std::move(name));
}

void TopicTable::TakeAway(const Topic& topic, std::vector<std::string>& names) {
  std::string name = QualifiedName(topic.name_space, topic.name);
  MutexLock lock(mutex_);
  topics_by_id_.erase(topic.id);
  // Another one may have its name already.
  const auto named = topics_.find(name);
  if (named != topics_.end() && named->second->id == topic.id) topics_.erase(named);
  names.push_back(std::move(name));
}

void TopicTable::TakeOver(const storage::v1::Group& row) {
  const std::shared_ptr<Group> group = GroupOf(row);
  MutexLock lock(mutex_);
  const auto old = FindOrNull(groups_by_id_, group->id);
  group->limit = LimitOf(group->rate, old == nullptr ? nullptr : old->limit, clock_);
  groups_[QualifiedName(group->name_space, group->name)] = group;
  groups_by_id_[group->id] = group;
}

void TopicTable::TakeAway(const Group& group) {
  MutexLock lock(mutex_);
  groups_by_id_.erase(group.id);
  const auto named = groups_.find(QualifiedName(group.name_space, group.name));
  if (named != groups_.end() && named->second->id == group.id) groups_.erase(named);
}

}  // namespace dunlin::broker
