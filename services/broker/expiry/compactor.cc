#include "services/broker/expiry/compactor.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include "absl/container/flat_hash_set.h"

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/broker/wire/stored_message.h"

namespace dunlin::broker {
namespace {

constexpr std::chrono::seconds kInterval{10};
// Messages whose keys are in memory at a time.
constexpr uint64_t kBatch = 65'536;
constexpr size_t kEntries = 4096;
// Keys of a queue that is gone through from its beginning: so many hashes are in memory.
constexpr size_t kMaxSeen = 2'000'000;

}  // namespace

Compactor::~Compactor() { Stop(); }

void Compactor::Start() {
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "compactor");
}

void Compactor::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    stop_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Compactor::Loop() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    mutex_.Unlock();
    if (const absl::Status done = Step(); !done.ok()) {
      log::Warning("topics cannot be compacted now, trying again: {}", done.ToString());
    }
    mutex_.Lock();
    const auto wake = std::chrono::steady_clock::now() + kInterval;
    while (!stopping_ && stop_.WaitUntil(mutex_, wake)) {
    }
  }
}

absl::Status Compactor::Step() {
  absl::Status status;
  absl::erase_if(
      done_, [this](const auto& done) { return topics_.FindTopic(done.first.topic) == nullptr; });
  for (const std::shared_ptr<const Topic>& topic : topics_.Topics()) {
    if (!topic->compacted) continue;
    for (uint32_t queue = 0; queue < topic->queues(); ++queue) {
      status.Update(Compact({topic->id, queue}));
    }
  }
  return status;
}

absl::Status Compactor::Compact(QueueKey queue) {
  const store::QueueBounds bounds = dispatcher_.queues().Bounds(queue);
  QueueOffset& done = done_[queue];
  // One that was deleted and made anew has another id; a log that lost its end is shorter.
  if (done > bounds.max) done = bounds.min;
  done = std::max(done, bounds.min);
  // From the first message on nothing stands before a key that was not seen: after a restart, which
  // begins there, each key would else be looked for in all that was ever replaced.
  bool seen_all = done == bounds.min;
  absl::flat_hash_set<size_t> seen;
  while (done < bounds.max) {
    ASSIGN_OR_RETURN(Batch batch, ReadBatch(queue, done, bounds.max));
    for (const auto& [name, key] : batch.keys) {
      if (seen_all && seen.insert(StringHash()(name)).second) continue;
      RETURN_IF_ERROR(FindOlder(queue, name, key, batch.replaced));
    }
    if (seen.size() > kMaxSeen) {
      seen_all = false;
      seen.clear();
    }
    RETURN_IF_ERROR(Append(queue, std::move(batch.replaced)));
    done = batch.end;
    MutexLock lock(mutex_);
    if (stopping_) return absl::OkStatus();
  }
  return absl::OkStatus();
}

std::string Compactor::KeyOf(QueueKey queue, QueueOffset offset,
                             const store::IndexEntry& entry) const {
  absl::StatusOr<store::RecordView> record = log_.Read(entry.log_offset);
  if (absl::IsNotFound(record.status())) {
    // Moved, and gone from where it was, since the index was read.
    std::vector<store::IndexEntry> now;
    const absl::Status read = dispatcher_.queues().Read(queue, offset, 1, now);
    if (!read.ok() || now.empty() || now.front().length == 0) return "";
    record = log_.Read(now.front().log_offset);
  }
  if (!record.ok()) return "";
  std::string_view payload = record->payload();
  uint32_t properties_offset = record->header().properties_offset;
  storage::v1::Delivery moved;
  if (record->header().kind != store::RecordKind::kMessage) {
    // Others are dead letters that were sent again: old values, and no news.
    if ((record->header().flags & store::kFlagKept) == 0) return "";
    if (!moved.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) return "";
    payload = moved.message();
    properties_offset = moved.properties_offset();
  }
  const absl::StatusOr<StoredMessage> stored = ScanStored(payload, properties_offset);
  return stored.ok() && !stored->keys.empty() ? std::string(stored->keys.front()) : "";
}

absl::StatusOr<Compactor::Batch> Compactor::ReadBatch(QueueKey queue, QueueOffset from,
                                                      QueueOffset end) const {
  Batch batch;
  batch.end = std::min(end, from + kBatch);
  std::vector<store::IndexEntry> entries;
  for (QueueOffset at = from; at < batch.end;) {
    entries.clear();
    RETURN_IF_ERROR(
        dispatcher_.queues().Read(queue, at, std::min(kEntries, batch.end - at), entries));
    if (entries.empty()) break;
    for (const store::IndexEntry& entry : entries) {
      const QueueOffset offset = at;
      ++at;
      if (entry.length == 0) continue;
      const std::string name = KeyOf(queue, offset, entry);
      if (name.empty()) continue;
      Batch::Key& key = batch.keys[name];
      if (key.count++ == 0) {
        key.oldest = offset;
      } else {
        batch.replaced.push_back(key.newest);
      }
      key.newest = offset;
    }
  }
  return batch;
}

absl::Status Compactor::FindOlder(QueueKey queue, const std::string& name, const Batch::Key& key,
                                  std::vector<QueueOffset>& replaced) const {
  // Newest first: those of later batches, those of this one, then what stood before, once. The
  // index knows hashes of keys, so some may be of another key.
  for (size_t limit = key.count + 4;; limit *= 4) {
    ASSIGN_OR_RETURN(const std::vector<LogOffset> places,
                     dispatcher_.keys().FindByKey(queue.topic, name, limit));
    for (const LogOffset place : places) {
      const absl::StatusOr<store::RecordView> record = log_.Read(place);
      if (!record.ok() || record->header().queue != queue) continue;
      const QueueOffset offset = record->header().queue_offset;
      if (offset >= key.oldest) continue;
      std::vector<store::IndexEntry> entry;
      const absl::Status read = dispatcher_.queues().Read(queue, offset, 1, entry);
      if (absl::IsDataLoss(read)) return read;
      // Replaced before, or trimmed. One that retention has moved stands elsewhere by now.
      if (!read.ok() || entry.empty() || entry.front().length == 0) continue;
      if (KeyOf(queue, offset, entry.front()) != name) continue;
      replaced.push_back(offset);
      return absl::OkStatus();
    }
    if (places.size() < limit) return absl::OkStatus();
  }
}

absl::Status Compactor::Append(QueueKey queue, std::vector<QueueOffset> replaced) {
  if (replaced.empty()) return absl::OkStatus();
  std::sort(replaced.begin(), replaced.end());
  storage::v1::Compaction compaction;
  uint64_t previous = 0;
  for (const QueueOffset offset : replaced) {
    compaction.add_offset_deltas(offset.value() - previous);
    previous = offset.value();
  }
  const std::string bytes = compaction.SerializeAsString();
  const std::array<std::string_view, 1> payload = {bytes};
  store::NewRecord record;
  record.kind = store::RecordKind::kCompaction;
  record.queue = queue;
  record.payload = payload;
  // Until it is applied the next batch would find the same again.
  return dispatcher_.Remove({&record, 1});
}

}  // namespace dunlin::broker
