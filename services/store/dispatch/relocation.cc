#include "services/store/dispatch/relocation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "services/base/clock.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/store/state/state_keys.h"

namespace dunlin::store {
namespace {

// Timers in hand take memory until what was appended for them is applied.
constexpr size_t kMostAtOnce = size_t{1} << 20;
// What is looked at, and appended, in one step: for so long TRIM and COMPACTION records wait.
constexpr size_t kStepEntries = 1024;
constexpr uint64_t kStepBytes = 1u << 20;

// What is damaged, or gone, cannot be moved.
bool IsLost(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsNotFound(status);
}

}  // namespace

absl::Status Relocation::Append(NewRecord record, std::string_view payload) {
  record.payload = {&payload, 1};
  std::array<Appended, 1> appended;
  const absl::Status status = log_.Append({&record, 1}, appended, nullptr);
  if (!absl::IsResourceExhausted(status)) return status;
  RETURN_IF_ERROR(log_.FlushUpTo(log_.end()));
  return log_.Append({&record, 1}, appended, nullptr);
}

absl::StatusOr<bool> Relocation::MoveOne(LogOffset delivery_at) {
  ASSIGN_OR_RETURN(const RecordView record, log_.Read(delivery_at));
  storage::v1::Delivery delivery;
  const std::string_view payload = record.payload();
  if (!delivery.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return absl::DataLossError(
        fmt::format("the DELIVERY record at {} cannot be decoded", delivery_at.value()));
  }
  const RecordHeader& header = record.header();
  std::vector<IndexEntry> entry;
  const absl::Status read = queues_.Read(header.queue, header.queue_offset, 1, entry);
  if (absl::IsDataLoss(read)) return read;
  // Moved before, or its topic is gone.
  if (entry.empty() || entry.front().log_offset != delivery_at) return false;
  RETURN_IF_ERROR(Embed(LogOffset(delivery.origin_log_offset()), delivery));
  NewRecord append;
  append.kind = RecordKind::kDelivery;
  append.flags = kFlagRelocated | (header.flags & kFlagDue);
  append.queue = header.queue;
  append.queue_offset = header.queue_offset;
  RETURN_IF_ERROR(Append(append, delivery.SerializeAsString()));
  return true;
}

absl::Status Relocation::Embed(LogOffset origin_at, storage::v1::Delivery& delivery) {
  ASSIGN_OR_RETURN(const RecordView origin, log_.Read(origin_at));
  const std::string_view payload = origin.payload();
  if (origin.header().kind == RecordKind::kMessage) {
    delivery.set_message(payload.data(), payload.size());
    delivery.set_properties_offset(origin.header().properties_offset);
    delivery.set_stored_ms(ToUnixMillis(origin.header().store_time));
    return absl::OkStatus();
  }
  // One that was itself moved, or a dead letter of such a one.
  storage::v1::Delivery inner;
  if (!inner.ParseFromArray(payload.data(), static_cast<int>(payload.size())) ||
      inner.message().empty()) {
    return absl::DataLossError(fmt::format("no message stands at {}", origin_at.value()));
  }
  delivery.set_message(inner.message());
  delivery.set_properties_offset(inner.properties_offset());
  delivery.set_stored_ms(inner.stored_ms());
  return absl::OkStatus();
}

absl::Status Relocation::PassOverLost(absl::Status moved) const {
  RETURN_IF_ERROR(database_.health());
  if (!IsLost(moved)) return moved;
  log::Error("a message is lost with the log it stands in: {}", moved.ToString());
  return absl::OkStatus();
}

absl::StatusOr<bool> Relocation::MovePointedStep(const std::vector<Pointer>& pointing,
                                                 size_t& next) {
  bool moved_some = false;
  const size_t first = next;
  const LogOffset full = log_.end() + kStepBytes;
  for (; next < pointing.size() && next - first < kStepEntries && log_.end() < full; ++next) {
    const absl::StatusOr<bool> moved = MoveOne(pointing[next].delivery);
    RETURN_IF_ERROR(PassOverLost(moved.status()));
    moved_some |= moved.value_or(false);
  }
  return moved_some;
}

absl::StatusOr<bool> Relocation::MovePointed(LogOffset begin) {
  ASSIGN_OR_RETURN(const std::vector<Pointer> pointing, pointers_.Across(log_.start(), begin));
  bool moved_some = false;
  for (size_t next = 0; next < pointing.size();) {
    MutexLock lock(removal_);
    ASSIGN_OR_RETURN(const bool moved, MovePointedStep(pointing, next));
    moved_some |= moved;
  }
  return moved_some;
}

absl::StatusOr<bool> Relocation::MovePointedSince(LogOffset since, LogOffset begin) {
  ASSIGN_OR_RETURN(std::vector<Pointer> pointing, pointers_.Across(log_.start(), begin));
  std::erase_if(pointing, [since](const Pointer& pointer) { return pointer.delivery < since; });
  bool moved_some = false;
  for (size_t next = 0; next < pointing.size();) {
    ASSIGN_OR_RETURN(const bool moved, MovePointedStep(pointing, next));
    moved_some |= moved;
  }
  return moved_some;
}

absl::Status Relocation::MoveKept(LogOffset begin) {
  std::vector<storage::v1::Topic> topics;
  RETURN_IF_ERROR(
      database_.Scan(Family::kConfig, kTopicPrefix, [&](std::string_view, std::string_view value) {
        storage::v1::Topic topic;
        if (topic.ParseFromArray(value.data(), static_cast<int>(value.size())) &&
            topic.compacted()) {
          topics.push_back(std::move(topic));
        }
        return true;
      }));
  for (const storage::v1::Topic& topic : topics) {
    for (uint32_t queue = 0; queue < topic.queues(); ++queue) {
      RETURN_IF_ERROR(MoveKeptOf({TopicId(topic.id()), queue}, begin));
    }
  }
  return absl::OkStatus();
}

absl::Status Relocation::MoveKeptOf(QueueKey queue, LogOffset begin) {
  // What comes from now on stands further on.
  const QueueBounds bounds = queues_.Bounds(queue);
  for (QueueOffset from = bounds.min; from < bounds.max;) {
    RETURN_IF_ERROR(MoveKeptStep(queue, begin, bounds.max, from));
  }
  return absl::OkStatus();
}

absl::Status Relocation::MoveKeptStep(QueueKey queue, LogOffset begin, QueueOffset to,
                                      QueueOffset& from) {
  MutexLock lock(removal_);
  // A queue may have been trimmed, or deleted, since the last step.
  from = std::max(from, queues_.Bounds(queue).min);
  std::vector<IndexEntry> entries;
  const absl::Status read = queues_.Read(queue, from, kStepEntries, entries);
  if (!read.ok() && !absl::IsOutOfRange(read)) return read;
  if (entries.empty()) from = to;
  const LogOffset full = log_.end() + kStepBytes;
  for (size_t i = 0; i < entries.size() && log_.end() < full; ++i, ++from) {
    if (entries[i].length == 0 || entries[i].log_offset >= begin) continue;
    RETURN_IF_ERROR(PassOverLost(MoveKeptOne(queue, from, entries[i])));
  }
  return absl::OkStatus();
}

absl::Status Relocation::MoveKeptOne(QueueKey queue, QueueOffset offset, const IndexEntry& entry) {
  ASSIGN_OR_RETURN(const RecordView record, log_.Read(entry.log_offset));
  const RecordHeader& header = record.header();
  // A dead letter that was sent again is no value of the key: it expires.
  const bool kept = header.kind == RecordKind::kMessage || (header.flags & kFlagKept) != 0;
  if (!kept) return absl::OkStatus();
  storage::v1::Delivery delivery;
  RETURN_IF_ERROR(Embed(entry.log_offset, delivery));
  delivery.set_origin_log_offset(entry.log_offset.value());
  NewRecord append;
  append.kind = RecordKind::kDelivery;
  append.flags = kFlagRelocated | kFlagKept;
  append.queue = queue;
  append.queue_offset = offset;
  return Append(append, delivery.SerializeAsString());
}

absl::StatusOr<bool> Relocation::MoveParked(LogOffset begin) {
  ASSIGN_OR_RETURN(const std::vector<TimerKey> keys, timers_.PlacedBefore(begin, kMostAtOnce));
  bool again = keys.size() == kMostAtOnce;
  for (const TimerKey key : keys) {
    const absl::StatusOr<Timer> timer = timers_.Take(key);
    again |= absl::IsAborted(timer.status());
    if (!timer.ok()) {
      if (absl::IsDataLoss(timer.status())) return timer.status();
      continue;  // it ended meanwhile, or is about to
    }
    absl::Status moved = MoveTimer(*timer);
    if (IsLost(moved)) {
      log::Error("a delayed message is lost with the log it stands in: {}", moved.ToString());
      moved = EndLost(*timer);
    }
    if (!moved.ok()) {
      timers_.GiveBack({&*timer, 1});
      return moved;
    }
  }
  return again;
}

absl::Status Relocation::MoveTimer(const Timer& timer) {
  storage::v1::Delivery delivery;
  RETURN_IF_ERROR(Embed(timer.place, delivery));
  delivery.set_origin_log_offset(timer.place.value());
  delivery.set_origin_topic_id(timer.queue.topic.value());
  delivery.set_origin_queue(timer.queue.queue);
  delivery.set_due_ms(ToUnixMillis(timer.key.due));
  delivery.set_timer_id(timer.key.id.value());
  delivery.set_tag_hash(timer.tag_hash);
  NewRecord record;
  record.kind = RecordKind::kDelivery;
  record.flags = kFlagRelocated | kFlagParked;
  record.queue = timer.queue;
  record.queue_offset = QueueOffset(static_cast<uint64_t>(ToUnixMillis(timer.key.due)));
  return Append(record, delivery.SerializeAsString());
}

absl::Status Relocation::EndLost(const Timer& timer) {
  storage::v1::Recall recall;
  recall.set_due_ms(ToUnixMillis(timer.key.due));
  recall.set_timer_id(timer.key.id.value());
  NewRecord record;
  record.kind = RecordKind::kRecall;
  return Append(record, recall.SerializeAsString());
}

absl::StatusOr<bool> Relocation::MoveOpen(LogOffset begin) {
  ASSIGN_OR_RETURN(const std::vector<LogOffset> ids,
                   transactions_.PlacedBefore(begin, kMostAtOnce));
  bool again = ids.size() == kMostAtOnce;
  for (const LogOffset id : ids) {
    const absl::StatusOr<Transaction> half = transactions_.Take(id);
    again |= absl::IsAborted(half.status());
    if (absl::IsDataLoss(half.status())) return half.status();
    if (!half.ok() || half->state != TransactionState::kOpen) continue;  // it ended meanwhile
    absl::Status moved = MoveHalf(*half);
    if (IsLost(moved)) {
      log::Error("a half message is lost with the log it stands in: {}", moved.ToString());
      moved = RollBackLost(*half);
    }
    if (!moved.ok()) {
      transactions_.GiveBack({&*half, 1});
      return moved;
    }
  }
  return again;
}

absl::Status Relocation::MoveHalf(const Transaction& half) {
  storage::v1::Delivery delivery;
  RETURN_IF_ERROR(Embed(half.place, delivery));
  const int64_t next = half.next_check.has_value() ? ToUnixMillis(*half.next_check) : 0;
  delivery.set_origin_log_offset(half.place.value());
  delivery.set_origin_topic_id(half.queue.topic.value());
  delivery.set_origin_queue(half.queue.queue);
  delivery.set_due_ms(next);
  delivery.set_timer_id(half.id.value());
  delivery.set_tag_hash(half.tag_hash);
  delivery.set_checks(half.checks);
  NewRecord record;
  record.kind = RecordKind::kDelivery;
  record.flags = kFlagRelocated | kFlagPrepared;
  record.queue = half.queue;
  record.queue_offset = QueueOffset(static_cast<uint64_t>(next));
  return Append(record, delivery.SerializeAsString());
}

absl::Status Relocation::RollBackLost(const Transaction& half) {
  storage::v1::Delivery delivery;
  delivery.set_origin_log_offset(half.place.value());
  delivery.set_origin_topic_id(half.queue.topic.value());
  delivery.set_origin_queue(half.queue.queue);
  delivery.set_timer_id(half.id.value());
  if (half.next_check.has_value()) delivery.set_due_ms(ToUnixMillis(*half.next_check));
  NewRecord record;
  record.kind = RecordKind::kResolution;
  return Append(record, delivery.SerializeAsString());
}

}  // namespace dunlin::store
