#include "services/store/dispatch/applier.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/store/dispatch/lite_removals.h"
#include "services/store/index/message_keys.h"
#include "services/store/index/tag_hash.h"
#include "services/store/state/producer_row.h"
#include "services/store/state/state_keys.h"

namespace dunlin::store {
namespace {

// Keys of the state are at most 12 bytes, and begin with a letter or a small number.
constexpr char kBehindAllKeys[] = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";

template <typename Proto>
absl::Status ParsePayload(const RecordView& record, Proto& proto) {
  const std::string_view payload = record.payload();
  if (proto.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return absl::OkStatus();
  }
  return absl::DataLossError(fmt::format("the record at {} holds no {}",
                                         record.header().log_offset.value(), proto.GetTypeName()));
}

// Where what a DELIVERY or a RESOLUTION leads to was stored first.
LogOffset FirstPlace(const storage::v1::Delivery& delivery) {
  const uint64_t id = delivery.timer_id();
  return LogOffset(id != 0 ? id : delivery.origin_log_offset());
}

// The timer that a DELIVERY of a parked message is about.
TimerKey TimerOf(const storage::v1::Delivery& delivery) {
  return {FromUnixMillis(delivery.due_ms()), FirstPlace(delivery)};
}

std::optional<Timestamp> CheckTime(int64_t millis) {
  if (millis == 0) return std::nullopt;
  return FromUnixMillis(millis);
}

}  // namespace

Applier::Applier(CommitLog& log, const View& view, const storage::v1::Checkpoint& checkpoint)
    : log_(log),
      database_(view.database),
      queues_(view.queues),
      keys_(view.keys),
      pointers_(view.pointers),
      timers_(view.timers),
      transactions_(view.transactions),
      checkpoint_(checkpoint) {
  checkpoint_.set_next_topic_id(std::max(checkpoint_.next_topic_id(), 1u));
  checkpoint_.set_next_group_id(std::max(checkpoint_.next_group_id(), 1u));
  checkpoint_.set_next_lite_queue(std::max(checkpoint_.next_lite_queue(), kFirstLiteQueue));
}

absl::Status Applier::Apply(const RecordView& record) {
  const RecordHeader& header = record.header();
  if (header.kind == RecordKind::kMessage) {
    const bool waits = (header.flags & (kFlagParked | kFlagPrepared)) != 0;
    return waits ? ApplyWaiting(record) : ApplyMessage(record);
  }
  const uint8_t how = header.flags & (kFlagDue | kFlagParked | kFlagPrepared | kFlagRelocated);
  if (header.kind == RecordKind::kDelivery && how == kFlagDue) return ApplyDue(record);
  if (header.kind == RecordKind::kResolution) return ApplyResolution(record);
  RETURN_IF_ERROR(PutRun());
  switch (header.kind) {
    case RecordKind::kDelivery:
      return (how & (kFlagParked | kFlagPrepared)) != 0
                 ? ApplyMoved(record)
                 : ApplyDelivery(record, /*state_only=*/false);
    case RecordKind::kRecall:
      return ApplyRecall(record);
    case RecordKind::kTrim:
      return ApplyTrim(record);
    case RecordKind::kCompaction:
      return ApplyCompaction(record);
    case RecordKind::kCheck:
      return ApplyChecks(record);
    case RecordKind::kProgress:
      return ApplyProgress(record);
    case RecordKind::kConfig:
      return ApplyConfig(record, /*state_only=*/false);
    case RecordKind::kSnapshot:
      return ApplySnapshot(record);
    case RecordKind::kProducer:
      return ApplyProducer(record);
    case RecordKind::kPadding:
      return absl::OkStatus();
    case RecordKind::kMessage:
    case RecordKind::kResolution:
      break;
  }
  return absl::UnimplementedError(
      fmt::format("the record at {} is of kind {}, which this version does not know: the store was "
                  "written by a newer one",
                  header.log_offset.value(), static_cast<int>(header.kind)));
}

// Inlined: calls of their own cost every message 3 % of what it takes to apply it.
[[gnu::always_inline]] inline uint32_t Applier::PutKeys(const RecordView& record) {
  const RecordHeader& header = record.header();
  const absl::StatusOr<MessageKeys> keys =
      ReadMessageKeys(record.payload(), header.properties_offset);
  if (!keys.ok()) {
    // It was checked when it came in; served all the same, found by offset only.
    log::Error("message at {}: {}", header.log_offset.value(), FromAbsl(keys.status().message()));
    return 0;
  }
  keys_.Put(header.queue.topic, header.log_offset, *keys, batch_);
  return TagHash(keys->tag);
}

[[gnu::always_inline]] inline absl::Status Applier::AddToRun(const RecordHeader& header,
                                                             uint32_t tag_hash) {
  if (run_.empty() || run_queue_ != header.queue ||
      run_first_ + run_.size() != header.queue_offset) {
    RETURN_IF_ERROR(PutRun());
    run_queue_ = header.queue;
    run_first_ = header.queue_offset;
  }
  run_.push_back({header.log_offset, header.length, tag_hash});
  return absl::OkStatus();
}

absl::Status Applier::ApplyMessage(const RecordView& record) {
  return AddToRun(record.header(), PutKeys(record));
}

absl::Status Applier::ApplyWaiting(const RecordView& record) {
  const RecordHeader& header = record.header();
  const uint32_t tag_hash = PutKeys(record);
  const auto due = static_cast<int64_t>(header.queue_offset.value());
  if ((header.flags & kFlagPrepared) != 0) {
    Transaction half;
    half.id = half.place = header.log_offset;
    half.queue = header.queue;
    half.tag_hash = tag_hash;
    half.next_check = CheckTime(due);
    transactions_.Put(half, batch_);
    return absl::OkStatus();
  }
  timers_.Put({{FromUnixMillis(due), header.log_offset}, header.log_offset, header.queue, tag_hash},
              batch_);
  return absl::OkStatus();
}

absl::Status Applier::ApplyDue(const RecordView& record) {
  storage::v1::Delivery delivery;
  RETURN_IF_ERROR(ParsePayload(record, delivery));
  const LogOffset origin(delivery.origin_log_offset());
  Timer timer;
  timer.key = TimerOf(delivery);
  timer.place = origin;
  timer.queue = record.header().queue;
  timers_.Delivered(timer);
  pointers_.Collect({origin, record.header().log_offset});
  return AddToRun(record.header(), delivery.tag_hash());
}

void Applier::PutDelivered() {
  timers_.PutDelivered(batch_);
  pointers_.PutCollected(batch_);
}

absl::Status Applier::ApplyMoved(const RecordView& record) {
  storage::v1::Delivery delivery;
  RETURN_IF_ERROR(ParsePayload(record, delivery));
  PutDelivered();
  RETURN_IF_ERROR(WriteBatch());  // the row may be in the batch under way
  const RecordHeader& header = record.header();
  const absl::StatusOr<MessageKeys> keys =
      ReadMessageKeys(delivery.message(), delivery.properties_offset());
  if (keys.ok()) keys_.Put(header.queue.topic, header.log_offset, *keys, batch_);
  if ((header.flags & kFlagPrepared) != 0) {
    Transaction half;
    half.id = FirstPlace(delivery);
    half.place = header.log_offset;
    half.queue = header.queue;
    half.tag_hash = delivery.tag_hash();
    half.checks = delivery.checks();
    half.next_check = CheckTime(delivery.due_ms());
    return transactions_.Move(half, batch_);
  }
  return timers_.Move({TimerOf(delivery), header.log_offset, header.queue, delivery.tag_hash()},
                      batch_);
}

absl::Status Applier::ApplyResolution(const RecordView& record) {
  storage::v1::Delivery delivery;
  RETURN_IF_ERROR(ParsePayload(record, delivery));
  const RecordHeader& header = record.header();
  const bool committed = (header.flags & kFlagDue) != 0;
  Transaction half;
  half.id = FirstPlace(delivery);
  half.place = LogOffset(delivery.origin_log_offset());
  half.state = committed ? TransactionState::kCommitted : TransactionState::kRolledBack;
  half.queue = committed ? header.queue
                         : QueueKey{TopicId(delivery.origin_topic_id()), delivery.origin_queue()};
  half.next_check = CheckTime(delivery.due_ms());
  transactions_.Resolve(half, batch_);
  if (!committed) return absl::OkStatus();
  pointers_.Collect({half.place, header.log_offset});
  return AddToRun(header, delivery.tag_hash());
}

absl::Status Applier::ApplyChecks(const RecordView& record) {
  storage::v1::TransactionChecks checks;
  RETURN_IF_ERROR(ParsePayload(record, checks));
  RETURN_IF_ERROR(WriteBatch());  // the rows may be in the batch under way
  for (const storage::v1::TransactionChecks::Check& check : checks.checks()) {
    Transaction checked;
    checked.id = LogOffset(check.transaction_id());
    checked.checks = check.checks();
    checked.next_check = CheckTime(check.next_ms());
    RETURN_IF_ERROR(transactions_.Check(checked, batch_));
  }
  return absl::OkStatus();
}

absl::Status Applier::ApplyRecall(const RecordView& record) {
  storage::v1::Recall recall;
  RETURN_IF_ERROR(ParsePayload(record, recall));
  PutDelivered();
  RETURN_IF_ERROR(WriteBatch());
  return timers_.Recalled({FromUnixMillis(recall.due_ms()), LogOffset(recall.timer_id())}, batch_);
}

absl::Status Applier::ApplyTrim(const RecordView& record) {
  return queues_.Trim(record.header().queue, record.header().queue_offset, batch_);
}

absl::Status Applier::ApplyCompaction(const RecordView& record) {
  storage::v1::Compaction compaction;
  RETURN_IF_ERROR(ParsePayload(record, compaction));
  std::vector<QueueOffset> removed;
  uint64_t offset = 0;
  for (const uint64_t delta : compaction.offset_deltas()) {
    offset += delta;
    removed.emplace_back(offset);
  }
  return queues_.Remove(record.header().queue, removed, batch_);
}

void Applier::NoteMessages(QueueKey queue) {
  if (!IsLite(queue)) return void(topics_.insert(queue.topic));
  lite_topics_.insert(queue);
  // Its number is taken, even if the record that told it is damaged.
  TakeLiteQueue(queue.queue);
}

void Applier::TakeLiteQueue(uint32_t queue) {
  checkpoint_.set_next_lite_queue(std::max(checkpoint_.next_lite_queue(), queue + 1));
}

absl::Status Applier::PutRun() {
  if (run_.empty()) return absl::OkStatus();
  NoteMessages(run_queue_);
  const absl::Status put = queues_.PutRun(run_queue_, run_first_, run_, batch_);
  run_.clear();
  return put;
}

absl::Status Applier::ApplyDelivery(const RecordView& record, bool state_only) {
  storage::v1::Delivery delivery;
  RETURN_IF_ERROR(ParsePayload(record, delivery));
  if (!state_only) RETURN_IF_ERROR(IndexDelivery(record, delivery));
  // A moved record repeats what its original did long ago.
  const bool relocated = (record.header().flags & kFlagRelocated) != 0;
  return delivery.group_id() == 0 || relocated ? absl::OkStatus() : EndFlight(delivery);
}

absl::Status Applier::IndexDelivery(const RecordView& record,
                                    const storage::v1::Delivery& delivery) {
  const RecordHeader& header = record.header();
  RecordView origin;  // what `keys` looks into
  storage::v1::Delivery moved;
  absl::StatusOr<MessageKeys> keys = absl::NotFoundError("the origin has expired");
  if (!delivery.message().empty()) {
    keys = ReadMessageKeys(delivery.message(), delivery.properties_offset());
  } else {
    const LogOffset origin_at(delivery.origin_log_offset());
    pointers_.Put({origin_at, header.log_offset}, batch_);
    absl::StatusOr<RecordView> found = log_.Read(origin_at);
    if (found.ok() && found->header().kind == RecordKind::kMessage) {
      origin = *std::move(found);
      keys = ReadMessageKeys(origin.payload(), origin.header().properties_offset);
    } else if (found.ok() && ParsePayload(*found, moved).ok() && !moved.message().empty()) {
      keys = ReadMessageKeys(moved.message(), moved.properties_offset());
    }
  }
  IndexEntry entry{header.log_offset, header.length, 0};
  if (keys.ok()) {
    entry.tag_hash = TagHash(keys->tag);
    keys_.Put(header.queue.topic, header.log_offset, *keys, batch_);
  }
  NoteMessages(header.queue);
  return queues_.Put(header.queue, header.queue_offset, entry, batch_);
}

absl::Status Applier::EndFlight(const storage::v1::Delivery& delivery) {
  // The row may be in the batch under way.
  RETURN_IF_ERROR(WriteBatch());
  const std::string key = ProgressKey(
      GroupId(delivery.group_id()), {TopicId(delivery.origin_topic_id()), delivery.origin_queue()});
  ASSIGN_OR_RETURN(const std::optional<std::string> row, database_.Get(Family::kProgress, key));
  storage::v1::QueueProgress progress;
  if (!row.has_value()) return absl::OkStatus();
  if (!progress.ParseFromString(*row)) return database_.Damaged("a row of the progress");
  storage::v1::QueueProgress kept = progress;
  kept.clear_offset_deltas();
  kept.clear_attempts();
  kept.clear_visible_at_ms();
  kept.clear_lease_ids();
  kept.clear_lanes();
  kept.clear_acknowledged();
  uint64_t offset = 0;
  uint64_t previous = 0;
  for (int i = 0; i < progress.offset_deltas_size(); ++i) {
    offset += progress.offset_deltas(i);
    if (offset == delivery.origin_queue_offset()) continue;
    kept.add_offset_deltas(offset - previous);
    previous = offset;
    kept.add_attempts(progress.attempts(i));
    kept.add_visible_at_ms(progress.visible_at_ms(i));
    kept.add_lease_ids(progress.lease_ids(i));
    if (progress.lanes().empty()) continue;
    kept.add_lanes(progress.lanes(i));
    kept.add_acknowledged(progress.acknowledged(i));
  }
  batch_.Put(database_.handle(Family::kProgress), key, kept.SerializeAsString());
  return absl::OkStatus();
}

absl::Status Applier::ApplyProgress(const RecordView& record) {
  storage::v1::ProgressChanges changes;
  RETURN_IF_ERROR(ParsePayload(record, changes));
  for (const storage::v1::QueueProgress& progress : changes.queues()) {
    batch_.Put(
        database_.handle(Family::kProgress),
        ProgressKey(GroupId(progress.group_id()), {TopicId(progress.topic_id()), progress.queue()}),
        progress.SerializeAsString());
  }
  return absl::OkStatus();
}

absl::Status Applier::ApplyProducer(const RecordView& record) {
  storage::v1::ProducerRun run;
  RETURN_IF_ERROR(ParsePayload(record, run));
  batch_.Put(database_.handle(Family::kProducers),
             ProducerKey(run.producer_id(), record.header().queue),
             EncodeProducerRow({record.header().log_offset, run.first_sequence(), run.count()}));
  return absl::OkStatus();
}

absl::Status Applier::ApplyConfig(const RecordView& record, bool state_only) {
  storage::v1::ConfigChange change;
  if (const absl::Status parsed = ParsePayload(record, change); !parsed.ok()) {
    // No start would ever succeed again. The number it may have given away stays taken.
    log::Error("a change of the configuration is passed over: {}", FromAbsl(parsed.message()));
    checkpoint_.set_next_topic_id(checkpoint_.next_topic_id() + 1);
    checkpoint_.set_next_group_id(checkpoint_.next_group_id() + 1);
    return absl::OkStatus();
  }
  rocksdb::ColumnFamilyHandle* const config = database_.handle(Family::kConfig);
  switch (change.change_case()) {
    case storage::v1::ConfigChange::kPutTopic: {
      const storage::v1::Topic& topic = change.put_topic();
      checkpoint_.set_next_topic_id(std::max(checkpoint_.next_topic_id(), topic.id() + 1));
      batch_.Put(config, TopicKey(TopicId(topic.id())), topic.SerializeAsString());
      config_.topics.insert(TopicId(topic.id()));
      return absl::OkStatus();
    }
    case storage::v1::ConfigChange::kPutGroup: {
      const storage::v1::Group& group = change.put_group();
      checkpoint_.set_next_group_id(std::max(checkpoint_.next_group_id(), group.id() + 1));
      batch_.Put(config, GroupKey(GroupId(group.id())), group.SerializeAsString());
      config_.groups.insert(GroupId(group.id()));
      return absl::OkStatus();
    }
    case storage::v1::ConfigChange::kDeleteTopic:
      return DropTopic(TopicId(change.delete_topic()), state_only);
    case storage::v1::ConfigChange::kDeleteGroup:
      DropGroup(GroupId(change.delete_group()));
      return absl::OkStatus();
    case storage::v1::ConfigChange::kPutLiteTopic:
      PutLiteTopic(change.put_lite_topic());
      return absl::OkStatus();
    case storage::v1::ConfigChange::kRemoveLiteTopic:
      return DropLiteTopic(change.remove_lite_topic(), state_only);
    case storage::v1::ConfigChange::kPutUser:
      batch_.Put(config, UserKey(change.put_user().name()), change.put_user().SerializeAsString());
      config_.users = true;
      return absl::OkStatus();
    case storage::v1::ConfigChange::kDeleteUser:
      batch_.Delete(config, UserKey(change.delete_user()));
      config_.users = true;
      return absl::OkStatus();
    case storage::v1::ConfigChange::CHANGE_NOT_SET:
      break;
  }
  return absl::UnimplementedError(
      fmt::format("the configuration change at {} is one that this version does not know",
                  record.header().log_offset.value()));
}

absl::Status Applier::DropTopic(TopicId topic, bool state_only) {
  config_.topics.insert(topic);
  RETURN_IF_ERROR(WriteBatch());  // what is scanned below must be all
  batch_.Delete(database_.handle(Family::kConfig), TopicKey(topic));
  batch_.DeleteRange(database_.handle(Family::kConfig), LiteKey({topic, 0}),
                     LiteKey({topic + 1, 0}));
  // Rows begin with the group: all are looked at, which deleting a topic is rare enough for.
  RETURN_IF_ERROR(
      database_.Scan(Family::kProgress, "", [&](std::string_view key, std::string_view) {
        if (TopicId(FromBigEndian32(key.substr(4))) == topic) {
          batch_.Delete(database_.handle(Family::kProgress),
                        rocksdb::Slice(key.data(), key.size()));
        }
        return true;
      }));
  if (state_only) return absl::OkStatus();
  queues_.DropRows(topic, batch_);
  timers_.ForgetTopic(topic, batch_);
  RETURN_IF_ERROR(transactions_.DropTopic(topic, batch_));
  RETURN_IF_ERROR(WriteBatch());
  queues_.ForgetTopic(topic);
  return absl::OkStatus();
}

void Applier::PutLiteTopic(const storage::v1::LiteTopic& topic) {
  const QueueKey queue{TopicId(topic.topic_id()), topic.queue()};
  TakeLiteQueue(topic.queue());
  batch_.Put(database_.handle(Family::kConfig), LiteKey(queue), topic.SerializeAsString());
}

absl::Status Applier::DropLiteTopic(const storage::v1::LiteTopicRemoval& removal, bool state_only) {
  const QueueKey queue{TopicId(removal.topic_id()), removal.queue()};
  batch_.Delete(database_.handle(Family::kConfig), LiteKey(queue));
  for (uint32_t group : removal.group_ids()) {
    batch_.Delete(database_.handle(Family::kProgress), ProgressKey(GroupId(group), queue));
  }
  if (state_only) return absl::OkStatus();
  queues_.DropRows(queue, batch_);
  RETURN_IF_ERROR(WriteBatch());
  queues_.Forget(queue);
  return absl::OkStatus();
}

void Applier::DropGroup(GroupId group) {
  config_.groups.insert(group);
  batch_.Delete(database_.handle(Family::kConfig), GroupKey(group));
  batch_.DeleteRange(database_.handle(Family::kProgress), BigEndian(group.value()),
                     BigEndian(group.value() + 1));
}

absl::Status Applier::ApplySnapshot(const RecordView& record) {
  storage::v1::SnapshotPart part;
  RETURN_IF_ERROR(ParsePayload(record, part));
  if (part.part() == 0) {
    parts_.clear();
    first_part_ = record.header().log_offset;
  }
  if (part.part() != parts_.size()) {
    parts_.clear();  // an incomplete snapshot counts for nothing
    return absl::OkStatus();
  }
  const bool last = part.last();
  const LogOffset as_of(part.as_of());
  parts_.push_back(std::move(part));
  if (!checkpoint_.rebuilding()) parts_.back().Clear();  // only counted
  if (!last) return absl::OkStatus();
  checkpoint_.set_has_snapshot(true);
  checkpoint_.set_snapshot_offset(first_part_.value());
  checkpoint_.set_snapshot_as_of(as_of.value());
  if (checkpoint_.rebuilding()) {
    // The state is exactly what the snapshot says, then what changed between the moment it
    // describes and here.
    for (Family family : {Family::kConfig, Family::kProgress}) {
      batch_.DeleteRange(database_.handle(family), rocksdb::Slice(), kBehindAllKeys);
    }
    ASSIGN_OR_RETURN(const absl::flat_hash_set<QueueKey> gone,
                     RemovedLiteTopics(log_, as_of, record.header().log_offset));
    for (const storage::v1::SnapshotPart& complete : parts_) {
      RETURN_IF_ERROR(PutSnapshotRows(complete, gone));
    }
    RETURN_IF_ERROR(ApplyStateAgain(as_of, record.header().log_offset));
    config_.all = true;
  }
  parts_.clear();
  return absl::OkStatus();
}

absl::Status Applier::ApplyStateAgain(LogOffset from, LogOffset to) {
  for (LogOffset at = std::max(from, log_.start()); at < to;) {
    const absl::StatusOr<RecordView> record = log_.ReadNext(at, to);
    if (absl::IsOutOfRange(record.status())) return absl::OkStatus();
    RETURN_IF_ERROR(record.status());
    switch (record->header().kind) {
      case RecordKind::kConfig:
        RETURN_IF_ERROR(ApplyConfig(*record, /*state_only=*/true));
        break;
      case RecordKind::kProgress:
        RETURN_IF_ERROR(ApplyProgress(*record));
        break;
      case RecordKind::kDelivery:
        RETURN_IF_ERROR(ApplyDelivery(*record, /*state_only=*/true));
        break;
      default:
        break;
    }
    at = record->end();
  }
  return absl::OkStatus();
}

absl::Status Applier::WriteBatch() {
  if (batch_.Count() > 0) {
    pending_bytes_ += batch_.GetDataSize();
    RETURN_IF_ERROR(database_.Write(batch_));
    batch_.Clear();
    queues_.BatchWritten();
  }
  timers_.BatchWritten();
  transactions_.BatchWritten();
  return absl::OkStatus();
}

absl::Status Applier::Commit(LogOffset end) {
  RETURN_IF_ERROR(PutRun());
  PutDelivered();
  checkpoint_.set_format_version(kFormatVersion);
  checkpoint_.set_dispatched(end.value());
  return WriteBatch();
}

absl::Status Applier::Checkpoint(LogOffset flushed, bool wait) {
  checkpoint_.set_flushed(flushed.value());
  const LogOffset dispatched(checkpoint_.dispatched());
  checkpoint_.set_epoch(dispatched == LogOffset(0) ? 0 : log_.EpochAt(dispatched - 1).value());
  queues_.PutOpenChunks(batch_);
  timers_.PutCounts(batch_);
  batch_.Put(database_.handle(Family::kMeta), std::string(kCheckpointKey),
             checkpoint_.SerializeAsString());
  RETURN_IF_ERROR(WriteBatch());
  queues_.CheckpointWritten();
  pending_bytes_ = 0;
  return database_.Flush(wait);
}

std::vector<TopicId> Applier::TakeTopics() {
  std::vector<TopicId> topics(topics_.begin(), topics_.end());
  topics_.clear();
  return topics;
}

std::vector<QueueKey> Applier::TakeLiteTopics() {
  std::vector<QueueKey> queues(lite_topics_.begin(), lite_topics_.end());
  lite_topics_.clear();
  return queues;
}

Applier::Config Applier::TakeConfig() { return std::exchange(config_, Config()); }

}  // namespace dunlin::store
