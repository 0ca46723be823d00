#include "services/broker/lite/lite_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"

namespace dunlin::broker {
namespace {

// Queue numbers are signed in the public API.
constexpr uint32_t kNumbersEnd = uint32_t{1} << 31;

// The first that begins at or after `time`; the one that has begun by then.
int64_t MinuteFrom(Timestamp time) {
  return std::chrono::ceil<std::chrono::minutes>(time.time_since_epoch()).count();
}
int64_t MinuteAt(Timestamp time) {
  return std::chrono::floor<std::chrono::minutes>(time.time_since_epoch()).count();
}

}  // namespace

void LiteTable::Pin::Release() {
  if (topic_ == nullptr) return;
  table_->Unpin(*topic_);
  topic_.reset();
}

absl::StatusOr<std::unique_ptr<LiteTable>> LiteTable::Load(const store::Dispatcher& dispatcher,
                                                           const store::StateStore& state,
                                                           const TopicTable& topics,
                                                           const Clock& clock,
                                                           const Limits& limits) {
  auto table = std::unique_ptr<LiteTable>(new LiteTable(clock, limits));
  MutexLock lock(table->mutex_);
  table->next_ = dispatcher.next_lite_queue();
  RETURN_IF_ERROR(state.VisitLiteTopics(
      {}, [&](const storage::v1::LiteTopic& row) ABSL_NO_THREAD_SAFETY_ANALYSIS {
        const std::shared_ptr<const Topic> parent = topics.FindTopic(TopicId(row.topic_id()));
        if (parent == nullptr) return true;
        auto topic = std::make_shared<LiteTopic>();
        topic->queue = {TopicId(row.topic_id()), row.queue()};
        topic->name = row.name();
        topic->created = FromUnixMillis(row.created_ms());
        topic->announced = true;
        table->Add(topic);
        // When it was used last stands in the log, and is looked up when it matters.
        if (parent->lite_expiration.count() > 0) {
          table->Schedule(
              *topic, MinuteFrom(std::max(clock.Now(), topic->created + parent->lite_expiration)));
        }
        return true;
      }));
  const auto raise = [&](QueueKey queue, QueueOffset next) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    auto found = table->by_number_.find(queue.queue);
    if (found == table->by_number_.end() || found->second->queue != queue) return false;
    found->second->tail.next = std::max(found->second->tail.next, next);
    return true;
  };
  absl::flat_hash_set<QueueKey> nameless;
  RETURN_IF_ERROR(dispatcher.VisitNextOffsets([&](QueueKey queue, QueueOffset next) {
    if (raise(queue, next) || !IsLite(queue)) return;
    if (topics.FindTopic(queue.topic) != nullptr) nameless.insert(queue);
  }));
  if (!nameless.empty()) {
    log::Error(
        "{} lightweight topics (one of them queue {} of topic {}) have messages and no name: the "
        "records that told it are damaged. Their messages are not delivered",
        nameless.size(), nameless.begin()->queue, nameless.begin()->topic.value());
  }
  // No message may get an offset that a group has passed: see TopicTable.
  for (const std::shared_ptr<const Group>& group : topics.Groups()) {
    if (group->lite_bind_topic.empty()) continue;
    RETURN_IF_ERROR(state.VisitProgress(group->id, [&](const storage::v1::QueueProgress& row) {
      raise({TopicId(row.topic_id()), row.queue()}, QueueOffset(row.cursor()));
    }));
  }
  return table;
}

uint32_t LiteTable::NextNumber() {
  for (;;) {
    if (next_ < kFirstLiteQueue || next_ >= kNumbersEnd) next_ = kFirstLiteQueue;
    const uint32_t number = next_++;
    if (!by_number_.contains(number)) return number;
  }
}

void LiteTable::Add(const std::shared_ptr<LiteTopic>& topic) {
  by_number_[topic->queue.queue] = topic;
  ++counts_[topic->queue.topic];
  const auto [place, is_new] = by_name_.insert(topic.get());
  if (is_new) return;
  LiteTopic* const other = *place;
  LiteTopic* const older = other->created <= topic->created ? other : topic.get();
  older->replaced = true;
  Schedule(*older, MinuteFrom(clock_.Now()));
  if (older != other) return;
  by_name_.erase(place);
  by_name_.insert(topic.get());
}

void LiteTable::Erase(const LiteTopic& topic) {
  auto count = counts_.find(topic.queue.topic);
  if (--count->second == 0) counts_.erase(count);
  if (auto named = by_name_.find(NameOf(&topic)); named != by_name_.end() && *named == &topic) {
    by_name_.erase(named);
  }
  by_number_.erase(topic.queue.queue);  // may be what keeps it
}

LiteTable::Pin LiteTable::PinOf(const std::shared_ptr<LiteTopic>& topic) {
  topic->pins.fetch_add(1, std::memory_order_relaxed);
  return {this, topic};
}

void LiteTable::Unpin(LiteTopic& topic) {
  const bool last = topic.pins.fetch_sub(1, std::memory_order_acq_rel) == 1;
  if (!last || topic.announced.load(std::memory_order_acquire)) return;
  // Nothing was appended: as if it had never been.
  MutexLock lock(mutex_);
  auto found = by_number_.find(topic.queue.queue);
  if (found == by_number_.end() || found->second.get() != &topic) return;
  if (topic.pins.load(std::memory_order_acquire) != 0 || topic.announced) return;
  // The last number that was given need not be lost: sends that are refused may be many.
  if (next_ == topic.queue.queue + 1) --next_;
  Erase(topic);
}

void LiteTable::Schedule(LiteTopic& topic, int64_t minute) {
  topic.check_minute = minute;
  checks_[topic.check_minute].push_back(topic.queue.queue);
}

absl::StatusOr<LiteTable::Pin> LiteTable::FindOrMake(const Topic& parent, std::string_view name) {
  const Timestamp now = clock_.Now();
  MutexLock lock(mutex_);
  auto found = by_name_.find(Name{parent.id, name});
  if (found != by_name_.end()) {
    (*found)->used_ms.store(ToUnixMillis(now), std::memory_order_relaxed);
    return PinOf(by_number_.find((*found)->queue.queue)->second);
  }
  if (by_number_.size() >= limits_.topics) {
    return PublicError(
        PublicCode::kLiteTopicQuotaExceeded,
        fmt::format("there are {} lightweight topics already, which is the limit: let some expire "
                    "(dunlinctl topic update {} --lite-expiration-minutes N), or raise "
                    "broker.max_lite_topics",
                    limits_.topics, parent.name));
  }
  auto topic = std::make_shared<LiteTopic>();
  topic->queue = {parent.id, NextNumber()};
  topic->name = name;
  topic->created = now;
  topic->used_ms = ToUnixMillis(now);
  Add(topic);
  return PinOf(topic);
}

void LiteTable::Announced(LiteTopic& topic, std::chrono::minutes expiration) {
  if (topic.announced.load(std::memory_order_relaxed)) return;
  MutexLock lock(mutex_);
  // Of several that tell it the first says when to look.
  if (topic.announced.exchange(true, std::memory_order_release)) return;
  if (expiration.count() == 0 || topic.check_minute != 0) return;
  Schedule(topic, MinuteFrom(topic.created + expiration));
}

LiteTable::Pin LiteTable::Find(TopicId parent, std::string_view name) {
  MutexLock lock(mutex_);
  auto found = by_name_.find(Name{parent, name});
  if (found == by_name_.end()) return {};
  return PinOf(by_number_.find((*found)->queue.queue)->second);
}

LiteTable::Pin LiteTable::Find(QueueKey queue) {
  MutexLock lock(mutex_);
  auto found = by_number_.find(queue.queue);
  if (found == by_number_.end() || found->second->queue != queue) return {};
  return PinOf(found->second);
}

size_t LiteTable::size() const {
  MutexLock lock(mutex_);
  return by_number_.size();
}

size_t LiteTable::CountOf(TopicId parent) const {
  MutexLock lock(mutex_);
  auto count = counts_.find(parent);
  return count == counts_.end() ? 0 : count->second;
}

std::vector<std::shared_ptr<LiteTopic>> LiteTable::TakeDue(size_t limit) {
  std::vector<std::shared_ptr<LiteTopic>> due;
  if (clock_.Now() < first_look_) return due;
  const int64_t now = MinuteAt(clock_.Now());
  MutexLock lock(mutex_);
  while (!checks_.empty() && checks_.begin()->first <= now && due.size() < limit) {
    std::vector<uint32_t>& numbers = checks_.begin()->second;
    for (; !numbers.empty() && due.size() < limit; numbers.pop_back()) {
      auto found = by_number_.find(numbers.back());
      if (found == by_number_.end()) continue;
      if (found->second->check_minute != checks_.begin()->first) continue;
      found->second->check_minute = 0;  // it may stand there twice
      due.push_back(found->second);
    }
    if (numbers.empty()) checks_.erase(checks_.begin());
  }
  return due;
}

void LiteTable::LookAgain(LiteTopic& topic, Timestamp at) {
  MutexLock lock(mutex_);
  Schedule(topic, MinuteFrom(at));
}

void LiteTable::LookSoon(LiteTopic& topic) {
  MutexLock lock(mutex_);
  Schedule(topic, MinuteAt(clock_.Now()));
}

bool LiteTable::Remove(const LiteTopic& topic, int64_t expected_ms) {
  MutexLock lock(mutex_);
  auto found = by_number_.find(topic.queue.queue);
  if (found == by_number_.end() || found->second.get() != &topic) return false;
  if (topic.pins.load(std::memory_order_acquire) != 0 || topic.used_ms != expected_ms) return false;
  Erase(topic);
  return true;
}

void LiteTable::LookAtAll(TopicId parent) {
  const int64_t now = MinuteAt(clock_.Now());
  MutexLock lock(mutex_);
  for (const auto& [number, topic] : by_number_) {
    if (topic->queue.topic == parent) Schedule(*topic, now);
  }
}

void LiteTable::DropParent(TopicId parent) {
  MutexLock lock(mutex_);
  std::vector<std::shared_ptr<LiteTopic>> dropped;
  for (const auto& [number, topic] : by_number_) {
    if (topic->queue.topic == parent) dropped.push_back(topic);
  }
  for (const std::shared_ptr<LiteTopic>& topic : dropped) Erase(*topic);
}

}  // namespace dunlin::broker
