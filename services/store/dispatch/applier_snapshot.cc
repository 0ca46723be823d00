// Applier: how the state goes into SNAPSHOT records, and comes back from them.

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "services/base/status_macros.h"
#include "services/store/dispatch/applier.h"
#include "services/store/state/state_keys.h"

namespace dunlin::store {

absl::Status Applier::PutSnapshotRows(const storage::v1::SnapshotPart& part,
                                      const absl::flat_hash_set<QueueKey>& gone) {
  if (part.part() == 0) {
    checkpoint_.set_next_topic_id(std::max(checkpoint_.next_topic_id(), part.next_topic_id()));
    checkpoint_.set_next_group_id(std::max(checkpoint_.next_group_id(), part.next_group_id()));
    checkpoint_.set_next_lite_queue(
        std::max(checkpoint_.next_lite_queue(), part.next_lite_queue()));
  }
  rocksdb::ColumnFamilyHandle* const config = database_.handle(Family::kConfig);
  for (const storage::v1::Topic& topic : part.topics()) {
    batch_.Put(config, TopicKey(TopicId(topic.id())), topic.SerializeAsString());
  }
  for (const storage::v1::Group& group : part.groups()) {
    batch_.Put(config, GroupKey(GroupId(group.id())), group.SerializeAsString());
  }
  for (const storage::v1::LiteTopic& topic : part.lite_topics()) {
    batch_.Put(config, LiteKey({TopicId(topic.topic_id()), topic.queue()}),
               topic.SerializeAsString());
  }
  for (const storage::v1::User& user : part.users()) {
    batch_.Put(config, UserKey(user.name()), user.SerializeAsString());
  }
  for (const storage::v1::QueueProgress& progress : part.progress()) {
    batch_.Put(
        database_.handle(Family::kProgress),
        ProgressKey(GroupId(progress.group_id()), {TopicId(progress.topic_id()), progress.queue()}),
        progress.SerializeAsString());
  }
  for (const storage::v1::QueueTail& tail : part.tails()) {
    const QueueKey queue{TopicId(tail.topic_id()), tail.queue()};
    if (gone.contains(queue)) continue;
    RETURN_IF_ERROR(queues_.RaiseTail(queue, QueueOffset(tail.next_offset()), batch_));
  }
  return absl::OkStatus();
}

absl::Status Applier::MakeSnapshot(size_t max_bytes,
                                   absl::FunctionRef<absl::Status(std::string_view)> put) const {
  storage::v1::SnapshotPart part;
  uint32_t parts = 0;
  size_t bytes = 0;
  absl::Status status;
  auto cut = [&](bool last) {
    part.set_as_of(checkpoint_.dispatched());
    part.set_part(parts);
    part.set_last(last);
    if (parts == 0) {
      part.set_next_topic_id(checkpoint_.next_topic_id());
      part.set_next_group_id(checkpoint_.next_group_id());
      part.set_next_lite_queue(checkpoint_.next_lite_queue());
    }
    ++parts;
    status.Update(put(part.SerializeAsString()));
    part.Clear();
    bytes = 0;
  };
  auto parse = [&](google::protobuf::MessageLite* row, std::string_view value) {
    if (!row->ParseFromArray(value.data(), static_cast<int>(value.size()))) {
      status = database_.Damaged("a row of the state cannot be decoded");
    }
    bytes += value.size() + 8;
    if (status.ok() && bytes >= max_bytes) cut(/*last=*/false);
    return status.ok();
  };
  RETURN_IF_ERROR(
      database_.Scan(Family::kConfig, "", [&](std::string_view key, std::string_view value) {
        if (key.starts_with(kTopicPrefix)) return parse(part.add_topics(), value);
        if (key.starts_with(kLitePrefix)) return parse(part.add_lite_topics(), value);
        if (key.starts_with(kUserPrefix)) return parse(part.add_users(), value);
        return parse(part.add_groups(), value);
      }));
  RETURN_IF_ERROR(database_.Scan(Family::kProgress, "", [&](std::string_view, std::string_view v) {
    return parse(part.add_progress(), v);
  }));
  RETURN_IF_ERROR(
      database_.Scan(Family::kTails, "", [&](std::string_view key, std::string_view value) {
        const absl::StatusOr<QueueTail> saved = DecodeTail(value);
        if (!saved.ok()) status = database_.Damaged("the tail of a queue");
        if (!status.ok()) return false;
        storage::v1::QueueTail& tail = *part.add_tails();
        const QueueKey queue = ToQueueKey(key);
        tail.set_topic_id(queue.topic.value());
        tail.set_queue(queue.queue);
        tail.set_next_offset(saved->next.value());
        bytes += value.size();
        if (bytes >= max_bytes) cut(/*last=*/false);
        return status.ok();
      }));
  RETURN_IF_ERROR(status);
  cut(/*last=*/true);
  return status;
}

}  // namespace dunlin::store
