#include "services/store/dispatch/testing/store_rig.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <utility>

#include "services/base/check.h"
#include "services/base/file.h"
#include "services/base/status_macros.h"
#include "services/store/index/pointer_rows.h"
#include "services/store/index/tag_hash.h"
#include "services/store/index/timer_rows.h"
#include "services/store/index/transaction_index.h"
#include "services/store/index/transaction_rows.h"
#include "services/store/log/log_follower.h"
#include "services/store/log/record.h"
#include "services/store/state/database.h"

namespace dunlin::store {
namespace {

std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

std::string Field(int number, std::string_view value) {
  return Varint(static_cast<uint64_t>(number) << 3 | 2) + Varint(value.size()) + std::string(value);
}

void Check(const absl::Status& status) { CHECK(status.ok(), status.ToString()); }

DispatcherOptions Options() {
  DispatcherOptions options;
  options.tell_config = true;
  options.checkpoint_bytes = uint64_t{1} << 60;
  options.checkpoint_interval = std::chrono::hours(1);
  return options;
}

// Names and sizes.
std::map<std::string, uintmax_t> List(const std::string& directory) {
  std::map<std::string, uintmax_t> files;
  std::error_code gone;  // while it was being listed
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    files[entry.path().filename().string()] = entry.file_size(gone);
  }
  return files;
}

// False when files changed meanwhile (RocksDB merges in the background): the copy is of no moment
// that ever was.
bool CopyWhole(const std::string& from, const std::string& to) {
  const auto before = List(from);
  std::error_code error;
  std::filesystem::copy(from, to, std::filesystem::copy_options::recursive, error);
  return !error && List(from) == before;
}

}  // namespace

TestMessage MakeMessage(std::string_view body, std::string_view tag,
                        const std::vector<std::string>& keys, std::string_view message_id) {
  TestMessage message;
  message.payload = Field(1, Field(2, "topic")) + Field(4, body);
  message.properties_offset = static_cast<uint32_t>(message.payload.size());
  std::string properties;
  if (!tag.empty()) properties += Field(1, tag);
  for (const std::string& key : keys) properties += Field(2, key);
  if (!message_id.empty()) properties += Field(3, message_id);
  message.payload += Field(3, properties);
  return message;
}

StoreRig::StoreRig(uint64_t segment_size_bytes) : segment_size_bytes_(segment_size_bytes) {}
StoreRig::~StoreRig() { Close(); }

void StoreRig::OpenLog() {
  CommitLogOptions options;
  options.directory = directory_.path();
  options.segment_size_bytes = segment_size_bytes_;
  auto log = CommitLog::Open(options, RealFiles(), clock_);
  Check(log.status());
  log_ = wrap_log_ ? wrap_log_(*std::move(log)) : *std::move(log);
}

void StoreRig::FollowLog() {
  LogFollowerOptions options;
  options.directory = directory_.path();
  {
    auto state = StateStore::Open(state_directory());
    Check(state.status());
    const storage::v1::Checkpoint checkpoint = (*state)->GetCheckpoint();
    options.viewed = LogOffset(checkpoint.dispatched());
    options.viewed_epoch = Epoch(checkpoint.epoch());
  }
  auto log = OpenLogFollower(options, RealFiles(), clock_);
  Check(log.status());
  log_ = *std::move(log);
}

absl::Status StoreRig::StartDispatcher() {
  auto state = StateStore::Open(state_directory());
  if (!state.ok()) return state.status();
  state_ = *std::move(state);
  auto dispatcher = Dispatcher::Start(Options(), *log_, *state_);
  if (!dispatcher.ok()) return dispatcher.status();
  dispatcher_ = *std::move(dispatcher);
  return absl::OkStatus();
}

void StoreRig::Open() {
  OpenLog();
  Check(StartDispatcher());
}

void StoreRig::StopDispatcher() {
  if (dispatcher_ != nullptr) Check(dispatcher_->Stop());
  dispatcher_.reset();
  state_.reset();
}

void StoreRig::CloseLog() {
  if (log_ != nullptr) Check(log_->Close());
  log_.reset();
}

void StoreRig::Close() {
  StopDispatcher();
  CloseLog();
}

void StoreRig::Crash() {
  // What is on disk now is what a kill leaves of the view: RocksDB has no log of its own.
  const std::string copy = directory_.path() + "/killed";
  while (!CopyWhole(state_directory(), copy)) std::filesystem::remove_all(copy);
  Close();
  std::filesystem::remove_all(state_directory());
  std::filesystem::rename(copy, state_directory());
}

void StoreRig::Abandon() {
  dispatcher_.reset();
  state_.reset();
  CloseLog();
}

Appended StoreRig::Append(NewRecord record, std::string_view payload) {
  record.payload = {&payload, 1};
  auto appended = log_->AppendAndWait(record);
  Check(appended.status());
  return *appended;
}

QueueTailSlot* StoreRig::TailOf(QueueKey queue) {
  std::unique_ptr<QueueTailSlot>& tail = tails_[queue];
  if (tail == nullptr) tail = std::make_unique<QueueTailSlot>();
  return tail.get();
}

Appended StoreRig::Send(QueueKey queue, std::string_view tag, const std::vector<std::string>& keys,
                        std::string_view message_id, std::string_view body) {
  const TestMessage message = MakeMessage(body, tag, keys, message_id);
  NewRecord record;
  record.queue = queue;
  record.tail = TailOf(queue);
  record.properties_offset = message.properties_offset;
  return Append(record, message.payload);
}

Appended StoreRig::AnnounceProducer(uint64_t producer, QueueKey queue, uint64_t first_sequence,
                                    uint32_t count) {
  storage::v1::ProducerRun run;
  run.set_producer_id(producer);
  run.set_first_sequence(first_sequence);
  run.set_count(count);
  NewRecord record;
  record.kind = RecordKind::kProducer;
  record.queue = queue;
  return Append(record, run.SerializeAsString());
}

Appended StoreRig::AppendRecord(RecordKind kind, std::string_view payload) {
  NewRecord record;
  record.kind = kind;
  return Append(record, payload);
}

void StoreRig::AppendChange(const storage::v1::ConfigChange& change) {
  AppendRecord(RecordKind::kConfig, change.SerializeAsString());
}

void StoreRig::PutTopic(TopicId id, bool compacted) {
  storage::v1::ConfigChange change;
  change.mutable_put_topic()->set_id(id.value());
  change.mutable_put_topic()->set_name(fmt::format("topic-{}", id.value()));
  change.mutable_put_topic()->set_queues(4);
  change.mutable_put_topic()->set_compacted(compacted);
  AppendChange(change);
}

void StoreRig::DeleteTopic(TopicId id) {
  storage::v1::ConfigChange change;
  change.set_delete_topic(id.value());
  AppendChange(change);
}

void StoreRig::PutGroup(GroupId id) {
  storage::v1::ConfigChange change;
  change.mutable_put_group()->set_id(id.value());
  change.mutable_put_group()->set_name(fmt::format("group-{}", id.value()));
  AppendChange(change);
}

void StoreRig::DeleteGroup(GroupId id) {
  storage::v1::ConfigChange change;
  change.set_delete_group(id.value());
  AppendChange(change);
}

void StoreRig::PutUser(const std::string& name, const std::string& secret) {
  storage::v1::ConfigChange change;
  change.mutable_put_user()->set_name(name);
  change.mutable_put_user()->set_secret(secret);
  change.mutable_put_user()->set_enabled(true);
  AppendChange(change);
}

void StoreRig::DeleteUser(const std::string& name) {
  storage::v1::ConfigChange change;
  change.set_delete_user(name);
  AppendChange(change);
}

void StoreRig::PutLiteTopic(QueueKey queue, const std::string& name) {
  storage::v1::ConfigChange change;
  change.mutable_put_lite_topic()->set_topic_id(queue.topic.value());
  change.mutable_put_lite_topic()->set_queue(queue.queue);
  change.mutable_put_lite_topic()->set_name(name);
  AppendChange(change);
}

void StoreRig::RemoveLiteTopic(QueueKey queue, const std::vector<GroupId>& groups) {
  storage::v1::ConfigChange change;
  change.mutable_remove_lite_topic()->set_topic_id(queue.topic.value());
  change.mutable_remove_lite_topic()->set_queue(queue.queue);
  for (GroupId group : groups) change.mutable_remove_lite_topic()->add_group_ids(group.value());
  AppendChange(change);
  tails_.erase(queue);
}

void StoreRig::PutProgress(GroupId group, QueueKey queue, uint64_t cursor,
                           const std::vector<uint64_t>& in_flight) {
  storage::v1::ProgressChanges changes;
  storage::v1::QueueProgress& progress = *changes.add_queues();
  progress.set_group_id(group.value());
  progress.set_topic_id(queue.topic.value());
  progress.set_queue(queue.queue);
  progress.set_cursor(cursor);
  uint64_t previous = 0;
  for (uint64_t offset : in_flight) {
    progress.add_offset_deltas(offset - previous);
    previous = offset;
    progress.add_attempts(1);
    progress.add_visible_at_ms(static_cast<int64_t>(offset) * 10);
    progress.add_lease_ids(offset + 7);
    progress.add_lanes(static_cast<uint32_t>(offset) + 9);
    progress.add_acknowledged(false);
  }
  AppendRecord(RecordKind::kProgress, changes.SerializeAsString());
}

Appended StoreRig::BuryLetter(GroupId group, QueueKey origin, const Appended& message,
                              QueueKey into) {
  storage::v1::Delivery delivery;
  delivery.set_origin_log_offset(message.log_offset.value());
  delivery.set_origin_topic_id(origin.topic.value());
  delivery.set_origin_queue(origin.queue);
  delivery.set_origin_queue_offset(message.queue_offset.value());
  delivery.set_group_id(group.value());
  delivery.set_attempts(3);
  NewRecord record;
  record.kind = RecordKind::kDelivery;
  record.queue = into;
  record.tail = TailOf(into);
  return Append(record, delivery.SerializeAsString());
}

Timer StoreRig::Park(QueueKey queue, Timestamp due, std::string_view tag,
                     const std::vector<std::string>& keys, std::string_view body) {
  const TestMessage message = MakeMessage(body, tag, keys, "");
  NewRecord record;
  record.flags = kFlagParked;
  record.queue = queue;
  record.queue_offset = QueueOffset(static_cast<uint64_t>(ToUnixMillis(due)));
  record.properties_offset = message.properties_offset;
  const LogOffset place = Append(record, message.payload).log_offset;
  return {{due, place}, place, queue, TagHash(tag)};
}

Appended StoreRig::DeliverTimer(const Timer& timer) {
  storage::v1::Delivery delivery;
  delivery.set_origin_log_offset(timer.place.value());
  delivery.set_due_ms(ToUnixMillis(timer.key.due));
  if (timer.key.id != timer.place) delivery.set_timer_id(timer.key.id.value());
  delivery.set_tag_hash(timer.tag_hash);
  NewRecord record;
  record.kind = RecordKind::kDelivery;
  record.flags = kFlagDue;
  record.queue = timer.queue;
  record.tail = TailOf(timer.queue);
  return Append(record, delivery.SerializeAsString());
}

void StoreRig::RecallTimer(TimerKey key) {
  storage::v1::Recall recall;
  recall.set_due_ms(ToUnixMillis(key.due));
  recall.set_timer_id(key.id.value());
  AppendRecord(RecordKind::kRecall, recall.SerializeAsString());
}

void StoreRig::Trim(QueueKey queue, uint64_t offset) {
  NewRecord record;
  record.kind = RecordKind::kTrim;
  record.queue = queue;
  record.queue_offset = QueueOffset(offset);
  Append(record, "");
}

Transaction StoreRig::Prepare(QueueKey queue, Timestamp check, std::string_view tag,
                              const std::vector<std::string>& keys, std::string_view body) {
  const TestMessage message = MakeMessage(body, tag, keys, "");
  NewRecord record;
  record.flags = kFlagPrepared;
  record.queue = queue;
  record.queue_offset = QueueOffset(static_cast<uint64_t>(ToUnixMillis(check)));
  record.properties_offset = message.properties_offset;
  Transaction half;
  half.id = half.place = Append(record, message.payload).log_offset;
  half.queue = queue;
  half.tag_hash = TagHash(tag);
  half.next_check = check;
  return half;
}

Appended StoreRig::Resolve(const Transaction& half, TransactionState state) {
  storage::v1::Delivery delivery;
  delivery.set_origin_log_offset(half.place.value());
  if (half.id != half.place) delivery.set_timer_id(half.id.value());
  if (half.next_check.has_value()) delivery.set_due_ms(ToUnixMillis(*half.next_check));
  NewRecord record;
  record.kind = RecordKind::kResolution;
  if (state == TransactionState::kCommitted) {
    delivery.set_tag_hash(half.tag_hash);
    record.flags = kFlagDue;
    record.queue = half.queue;
    record.tail = TailOf(half.queue);
  } else {
    delivery.set_origin_topic_id(half.queue.topic.value());
    delivery.set_origin_queue(half.queue.queue);
  }
  return Append(record, delivery.SerializeAsString());
}

void StoreRig::CheckTransaction(const Transaction& half) {
  storage::v1::TransactionChecks checks;
  storage::v1::TransactionChecks::Check& check = *checks.add_checks();
  check.set_transaction_id(half.id.value());
  check.set_checks(half.checks);
  if (half.next_check.has_value()) check.set_next_ms(ToUnixMillis(*half.next_check));
  AppendRecord(RecordKind::kCheck, checks.SerializeAsString());
}

void StoreRig::Fill(QueueKey queue, uint64_t bytes) {
  const LogOffset until = log_->end() + bytes;
  const std::string body(1000, 'x');
  while (log_->end() < until) Send(queue, "filler", {}, "", body);
}

void StoreRig::Settle() {
  const LogOffset end = log_->confirmed().Get();
  while (dispatcher_->dispatched().Get() < end) {
    Check(dispatcher_->health());
    dispatcher_->dispatched().WaitAbove(dispatcher_->dispatched().Get(),
                                        std::chrono::milliseconds(100));
  }
}

absl::Status StoreRig::Expire(uint64_t bytes) {
  RetentionOptions options;
  options.max_age = std::chrono::milliseconds::max();
  options.max_bytes = bytes;
  options.disk_high_percent = 100;
  options.disk_full_percent = 100;
  options.interval = std::chrono::hours(1);
  const auto retention =
      Retention::Start(options, *log_, *dispatcher_, RealFiles(), directory_.path(), clock_);
  retention->Stop();  // its thread may have had its first round, or not
  return retention->Step();
}

absl::Status StoreRig::DescribeTimers(const std::vector<QueueKey>& queues,
                                      std::map<std::string, std::string>& words) {
  bool whole = true;
  RETURN_IF_ERROR(state_->database().Scan(
      Family::kTimers, "", [&](std::string_view key, std::string_view value) {
        const absl::StatusOr<TimerRow> row = DecodeTimerRow(key, value);
        whole = row.ok();
        if (!whole) return false;
        const Timer& timer = row->timer;
        if (timer.place < log_->start()) return true;  // expired: compaction may have taken it
        words[fmt::format("timer {} {}", ToUnixMillis(timer.key.due), timer.key.id.value())] =
            fmt::format("at {} for {}/{}, tag {}{}", timer.place.value(), timer.queue.topic.value(),
                        timer.queue.queue, timer.tag_hash, row->recalled ? ", recalled" : "");
        return true;
      }));
  if (!whole) return absl::DataLossError("a timer cannot be decoded");
  ASSIGN_OR_RETURN(const std::vector<Pointer> pointers,
                   PointerRows(state_->database()).Across(log_->start(), log_->end()));
  for (const Pointer& pointer : pointers) {
    words[fmt::format("pointer {} {}", pointer.origin.value(), pointer.delivery.value())] = "there";
  }
  for (QueueKey queue : queues) {
    words[fmt::format("parked in {}/{}", queue.topic.value(), queue.queue)] =
        fmt::format("{}", dispatcher_->timers().Pending(queue));
  }
  return absl::OkStatus();
}

absl::Status StoreRig::DescribeTransactions(const std::vector<QueueKey>& queues,
                                            std::map<std::string, std::string>& words) {
  bool whole = true;
  RETURN_IF_ERROR(state_->database().Scan(
      Family::kTransactions, "", [&](std::string_view key, std::string_view value) {
        if (const auto check = DecodeCheckKey(key); check.ok()) {
          words[fmt::format("check of {}", check->id.value())] +=
              fmt::format("at {} ", ToUnixMillis(check->due));
          return true;
        }
        const absl::StatusOr<Transaction> row = DecodeTransactionRow(key, value);
        whole = row.ok();
        if (!whole) return false;
        if (row->place < log_->start()) return true;  // expired: compaction may have taken it
        words[fmt::format("transaction {}", row->id.value())] = fmt::format(
            "at {}, state {}, for {}/{}, tag {}, {} checks, the next at {}", row->place.value(),
            static_cast<int>(row->state), row->queue.topic.value(), row->queue.queue, row->tag_hash,
            row->checks, row->next_check.has_value() ? ToUnixMillis(*row->next_check) : 0);
        return true;
      }));
  if (!whole) return absl::DataLossError("a transaction cannot be decoded");
  const TransactionIndex& transactions = dispatcher_->transactions();
  for (QueueKey queue : queues) {
    words[fmt::format("open in {}/{}", queue.topic.value(), queue.queue)] =
        fmt::format("{}", transactions.Open(queue));
  }
  words["transactions"] =
      fmt::format("{} open, {} parked", transactions.counts().open, transactions.counts().parked);
  return absl::OkStatus();
}

absl::StatusOr<std::map<std::string, std::string>> StoreRig::Describe(
    const std::vector<QueueKey>& queues, const std::vector<std::string>& keys) {
  std::map<std::string, std::string> words;
  ASSIGN_OR_RETURN(const auto topics, state_->ListTopics());
  for (const auto& topic : topics) {
    words[fmt::format("topic {}", topic.id())] = topic.ShortDebugString();
  }
  ASSIGN_OR_RETURN(const auto groups, state_->ListGroups());
  for (const auto& group : groups) {
    words[fmt::format("group {}", group.id())] = group.ShortDebugString();
  }
  ASSIGN_OR_RETURN(const auto users, state_->ListUsers());
  for (const auto& user : users) words["user " + user.name()] = user.ShortDebugString();
  RETURN_IF_ERROR(state_->VisitLiteTopics({}, [&](const storage::v1::LiteTopic& lite) {
    words[fmt::format("lite topic {} {}", lite.topic_id(), lite.queue())] = lite.ShortDebugString();
    return true;
  }));
  for (uint32_t group = 1; group < 10; ++group) {
    ASSIGN_OR_RETURN(const auto progress, state_->ListProgress(GroupId(group)));
    for (const auto& row : progress) {
      words[fmt::format("progress {} {} {}", group, row.topic_id(), row.queue())] =
          row.ShortDebugString();
    }
  }
  for (QueueKey queue : queues) {
    const QueueBounds bounds = dispatcher_->queues().Bounds(queue);
    RETURN_IF_ERROR(dispatcher_->health());
    const std::string name = fmt::format("queue {} {}", queue.topic.value(), queue.queue);
    words[name] = fmt::format("{} to {}, next {}", bounds.min.value(), bounds.max.value(),
                              dispatcher_->NextOffset(queue)->value());
    std::vector<IndexEntry> entries;
    RETURN_IF_ERROR(dispatcher_->queues().Read(queue, bounds.min, 1'000'000, entries));
    for (size_t i = 0; i < entries.size(); ++i) {
      words[fmt::format("{} entry {}", name, bounds.min.value() + i)] =
          fmt::format("at {}, {} bytes, tag {}", entries[i].log_offset.value(), entries[i].length,
                      entries[i].tag_hash);
    }
    for (uint64_t producer = 1; producer < 4; ++producer) {
      const absl::StatusOr<ProducerRow> row = state_->GetProducer(producer, queue);
      // Others have expired: compaction may have taken them.
      if (!row.ok() || row->log_offset < log_->start()) continue;
      words[fmt::format("{} producer {}", name, producer)] =
          fmt::format("{} from {} at {}", row->count, row->first_sequence, row->log_offset.value());
    }
    for (const std::string& key : keys) {
      ASSIGN_OR_RETURN(const auto found,
                       dispatcher_->keys().FindByKey(queue.topic, key, 1'000'000));
      std::string& places = words[fmt::format("key {} of topic {}", key, queue.topic.value())];
      places.clear();
      for (LogOffset offset : found) places += fmt::format("{} ", offset.value());
    }
  }
  RETURN_IF_ERROR(DescribeTimers(queues, words));
  RETURN_IF_ERROR(DescribeTransactions(queues, words));
  words["next ids"] =
      fmt::format("{} {} {}", dispatcher_->next_topic_id().value(),
                  dispatcher_->next_group_id().value(), dispatcher_->next_lite_queue());
  RETURN_IF_ERROR(dispatcher_->health());
  return words;
}

}  // namespace dunlin::store
