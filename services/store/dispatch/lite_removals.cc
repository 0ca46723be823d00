#include "services/store/dispatch/lite_removals.h"

#include <algorithm>

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/status_macros.h"

namespace dunlin::store {

absl::StatusOr<absl::flat_hash_set<QueueKey>> RemovedLiteTopics(CommitLog& log, LogOffset from,
                                                                LogOffset to) {
  absl::flat_hash_set<QueueKey> removed;
  storage::v1::ConfigChange change;
  for (LogOffset at = std::max(from, log.start()); at < to;) {
    const absl::StatusOr<RecordView> record = log.ReadNext(at, to);
    if (absl::IsOutOfRange(record.status())) break;
    RETURN_IF_ERROR(record.status());
    at = record->end();
    if (record->header().kind != RecordKind::kConfig) continue;
    const std::string_view payload = record->payload();
    // One that cannot be parsed is passed over where it is applied, too.
    if (!change.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) continue;
    if (!change.has_remove_lite_topic()) continue;
    const storage::v1::LiteTopicRemoval& removal = change.remove_lite_topic();
    removed.insert({TopicId(removal.topic_id()), removal.queue()});
  }
  return removed;
}

}  // namespace dunlin::store
