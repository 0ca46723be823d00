#include "services/broker/expiry/topic_expiry.h"

#include <pthread.h>

#include <algorithm>
#include <vector>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"

namespace dunlin::broker {
namespace {

constexpr std::chrono::seconds kInterval{10};
// Entries of a queue read at a time.
constexpr size_t kStep = 4096;

}  // namespace

TopicExpiry::~TopicExpiry() { Stop(); }

void TopicExpiry::Start() {
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "expiry");
}

void TopicExpiry::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    stop_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void TopicExpiry::Loop() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    mutex_.Unlock();
    if (const absl::Status done = Step(); !done.ok()) {
      log::Warning("what topics do not keep cannot be let go now, trying again: {}",
                   done.ToString());
    }
    mutex_.Lock();
    const auto wake = std::chrono::steady_clock::now() + kInterval;
    while (!stopping_ && stop_.WaitUntil(mutex_, wake)) {
    }
  }
}

absl::Status TopicExpiry::Step() {
  absl::Status status;
  absl::erase_if(sizes_, [this](const auto& size) {
    const std::shared_ptr<const Topic> topic = rooms_.topics.FindTopic(size.first.topic);
    return topic == nullptr || topic->retention.max_queue_bytes == 0;
  });
  for (const std::shared_ptr<const Topic>& topic : rooms_.topics.Topics()) {
    if (topic->retention.IsSet()) status.Update(Expire(*topic));
  }
  return status;
}

absl::Status TopicExpiry::Expire(const Topic& topic) {
  const TopicRetention& retention = topic.retention;
  Offsets consumed;
  if (retention.consumed) {
    ASSIGN_OR_RETURN(consumed, FindConsumed(topic.id, topic.queues()));
  }
  std::vector<store::NewRecord> trims;
  for (uint32_t queue = 0; queue < topic.queues(); ++queue) {
    const QueueKey key{topic.id, queue};
    const store::QueueBounds bounds = rooms_.dispatcher.queues().Bounds(key);
    QueueOffset first = bounds.min;
    if (retention.max_age.count() > 0) {
      ASSIGN_OR_RETURN(const QueueOffset young, rooms_.dispatcher.queues().FindByTime(
                                                    key, rooms_.clock.Now() - retention.max_age));
      first = std::max(first, young);
    }
    if (const auto found = consumed.find(queue); found != consumed.end()) {
      first = std::max(first, found->second);
    }
    if (retention.max_queue_bytes > 0) {
      ASSIGN_OR_RETURN(const QueueOffset fits, FindBySize(key, bounds, retention.max_queue_bytes));
      first = std::max(first, fits);
    }
    first = std::min(first, bounds.max);
    if (first <= bounds.min) continue;
    store::NewRecord record;
    record.kind = store::RecordKind::kTrim;
    record.queue = key;
    record.queue_offset = first;
    trims.push_back(record);
  }
  return rooms_.dispatcher.Remove(trims);
}

absl::StatusOr<TopicExpiry::Offsets> TopicExpiry::FindConsumed(TopicId topic,
                                                               uint32_t queues) const {
  Offsets consumed;
  for (const std::shared_ptr<const Group>& group : rooms_.topics.Groups()) {
    ASSIGN_OR_RETURN(const std::vector<storage::v1::QueueProgress> rows,
                     rooms_.state.ListProgress(group->id, topic));
    // A group that consumes from the topic holds every queue of it, also those in which it has not
    // begun.
    for (uint32_t queue = 0; !rows.empty() && queue < queues; ++queue) {
      const QueueOffset done =
          rooms_.progress.CommittedOffset(group->id, {topic, queue}).value_or(QueueOffset());
      const auto [known, added] = consumed.try_emplace(queue, done);
      if (!added) known->second = std::min(known->second, done);
    }
  }
  return consumed;
}

template <typename Take>
absl::Status TopicExpiry::ForEachLength(QueueKey queue, QueueOffset from, QueueOffset to,
                                        const Take& take) {
  std::vector<store::IndexEntry> entries;
  while (from < to) {
    entries.clear();
    RETURN_IF_ERROR(rooms_.dispatcher.queues().Read(queue, from,
                                                    std::min<uint64_t>(kStep, to - from), entries));
    if (entries.empty()) return absl::OkStatus();
    for (const store::IndexEntry& entry : entries) {
      if (!take(entry.length)) return absl::OkStatus();
    }
    from += entries.size();
  }
  return absl::OkStatus();
}

absl::StatusOr<QueueOffset> TopicExpiry::FindBySize(QueueKey queue, store::QueueBounds bounds,
                                                    uint64_t max_bytes) {
  Size& size = sizes_[queue];
  // Something else made the queue shorter, or this is the first look: all of it is counted.
  if (size.first < bounds.min || size.end > bounds.max) size = {bounds.min, bounds.min, 0};
  RETURN_IF_ERROR(ForEachLength(queue, size.end, bounds.max, [&](uint32_t length) {
    size.bytes += length;
    ++size.end;
    return true;
  }));
  RETURN_IF_ERROR(ForEachLength(queue, size.first, size.end, [&](uint32_t length) {
    if (size.bytes <= max_bytes) return false;
    // One that was moved ahead of retention is longer than it was.
    size.bytes -= std::min<uint64_t>(size.bytes, length);
    ++size.first;
    return true;
  }));
  if (size.first == size.end) size.bytes = 0;
  return size.first;
}

}  // namespace dunlin::broker
