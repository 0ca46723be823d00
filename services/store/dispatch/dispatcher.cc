#include "services/store/dispatch/dispatcher.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/check.h"
#include "services/base/log.h"
#include "services/base/mutex.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/store/dispatch/applier.h"
#include "services/store/dispatch/relocation.h"
#include "services/store/index/pointer_rows.h"
#include "services/store/index/timer_rows.h"
#include "services/store/index/transaction_rows.h"
#include "services/store/state/state_keys.h"

namespace dunlin::store {
namespace {

// Records applied before they become readable together; more would delay the first of them.
constexpr int kBatchRecords = 2048;
// Memory that RocksDB may hold before a checkpoint writes it out; far below its own limit, so that
// it never writes out on its own (state/database.cc).
constexpr uint64_t kMaxPendingBytes = 32u << 20;
constexpr size_t kSnapshotPartBytes = 1u << 20;
constexpr std::chrono::milliseconds kNap{1000};
// While this much or more is appended a millisecond and nobody waits for what is dispatched,
// records are left to collect that long: being woken for each costs more than applying it.
constexpr std::chrono::milliseconds kCollect{1};
constexpr uint64_t kCollectBytes = 4096;

class RealDispatcher final : public Dispatcher {
 public:
  RealDispatcher(const DispatcherOptions& options, CommitLog& log, StateStore& state,
                 const storage::v1::Checkpoint& checkpoint)
      : options_(options),
        log_(log),
        queues_(state.database(), log),
        keys_(state.database(), log),
        pointers_(state.database()),
        timers_(state.database(), log),
        transactions_(state.database(), log),
        applier_(log, {state.database(), queues_, keys_, pointers_, timers_, transactions_},
                 checkpoint),
        relocation_(log, state.database(), queues_, pointers_, timers_, transactions_),
        database_(state.database()),
        checkpointed_(LogOffset(checkpoint.dispatched())) {}
  ~RealDispatcher() override {
    if (const absl::Status stopped = Stop(); !stopped.ok()) {
      log::Error("the dispatcher did not stop cleanly: {}", stopped.ToString());
    }
  }

  // Applies everything below the log's end, in the calling thread; then starts the thread.
  absl::Status Recover(LogOffset from, bool rebuilding);

  const Watermark& dispatched() const override { return dispatched_; }
  const QueueIndex& queues() const override { return queues_; }
  const KeyIndex& keys() const override { return keys_; }
  TimerIndex& timers() override { return timers_; }
  TransactionIndex& transactions() override { return transactions_; }
  absl::StatusOr<std::optional<LogOffset>> FindDelivery(LogOffset parked) const override;
  std::vector<TopicId> TakeChangedTopics() override ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<QueueKey> TakeChangedLiteTopics() override ABSL_LOCKS_EXCLUDED(mutex_);
  ChangedConfig TakeChangedConfig() override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<QueueOffset> NextOffset(QueueKey queue) const override {
    return queues_.NextOffset(queue);
  }
  absl::Status VisitNextOffsets(
      absl::FunctionRef<void(QueueKey, QueueOffset)> visit) const override {
    return queues_.VisitTails(visit);
  }
  TopicId next_topic_id() const override ABSL_LOCKS_EXCLUDED(mutex_);
  GroupId next_group_id() const override ABSL_LOCKS_EXCLUDED(mutex_);
  uint32_t next_lite_queue() const override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Checkpoint() override {
    return RunOnThread([this] { return DoCheckpoint(/*wait=*/true); });
  }
  absl::Status Snapshot() override;
  absl::Status MoveBefore(LogOffset begin) override;
  absl::Status Remove(std::span<const NewRecord> records) override;
  absl::Status AppendPointers(std::span<const NewRecord> records, LogOffset oldest) override;
  absl::Status DropBefore(LogOffset begin) override;
  SnapshotInfo snapshot() const override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status health() const override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Stop() override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Job = absl::AnyInvocable<absl::Status()>;

  void Loop();
  // Whether appends follow each other closely; `bytes` were applied just now.
  bool Busy(uint64_t bytes);
  // The log that was applied up to `at` begins behind 0, or may: its state is in a snapshot that is
  // yet to come. A slave's that begins anew.
  bool AwaitsSnapshot(LogOffset at) const {
    return !applier_.checkpoint().has_snapshot() &&
           (log_.start() > LogOffset(0) || at == LogOffset(0));
  }
  // Applies what is below `limit`; returns where it stopped.
  absl::StatusOr<LogOffset> ApplyUpTo(LogOffset from, LogOffset limit, int max_records);
  // What other threads may ask for.
  void Publish() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status DoCheckpoint(bool wait);
  // Of a snapshot.
  absl::Status AppendPart(std::string_view part);
  bool CheckpointIsDue();
  absl::StatusOr<Appended> AppendAllAndWait(std::span<const NewRecord> records);  // not empty
  // Returns when all that has been appended so far is on disk and dispatched.
  absl::Status WaitForAppended();
  // Returns when the record at `offset` is dispatched.
  absl::Status WaitUntilAbove(LogOffset offset);
  absl::Status RunOnThread(Job job) ABSL_LOCKS_EXCLUDED(mutex_);
  bool RunJobs() ABSL_LOCKS_EXCLUDED(mutex_);
  // What waits for the thread learns that it is about to end.
  void Fail(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  const DispatcherOptions options_;
  CommitLog& log_;
  QueueChunks queues_;
  KeyRows keys_;
  PointerRows pointers_;
  TimerRows timers_;
  TransactionRows transactions_;
  Applier applier_;
  Relocation relocation_;
  // MoveBefore has looked at all records before it; of the thread that calls it, and DropBefore.
  LogOffset looked_up_to_;
  Database& database_;
  Watermark dispatched_;
  LogOffset checkpointed_;
  std::chrono::steady_clock::time_point measured_since_ = std::chrono::steady_clock::now();
  uint64_t measured_bytes_ = 0;
  bool busy_ = false;
  std::optional<LogOffset> due_since_;  // what was dispatched when a checkpoint became due
  std::chrono::steady_clock::time_point last_checkpoint_ = std::chrono::steady_clock::now();

  mutable Mutex mutex_;
  CondVar job_done_;
  absl::flat_hash_set<TopicId> changed_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_set<QueueKey> changed_lite_ ABSL_GUARDED_BY(mutex_);
  Applier::Config changed_config_ ABSL_GUARDED_BY(mutex_);
  Job* job_ ABSL_GUARDED_BY(mutex_) = nullptr;
  absl::Status job_result_ ABSL_GUARDED_BY(mutex_);
  TopicId next_topic_ ABSL_GUARDED_BY(mutex_);
  GroupId next_group_ ABSL_GUARDED_BY(mutex_);
  uint32_t next_lite_queue_ ABSL_GUARDED_BY(mutex_) = kFirstLiteQueue;
  SnapshotInfo snapshot_ ABSL_GUARDED_BY(mutex_);
  absl::Status health_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  Mutex one_job_;  // callers of RunOnThread take turns; taken before mutex_
  std::thread thread_;
};

absl::StatusOr<LogOffset> RealDispatcher::ApplyUpTo(LogOffset from, LogOffset limit,
                                                    int max_records) {
  LogOffset at = from;
  const std::unique_ptr<RecordReader> reader = log_.NewReader();
  for (int applied = 0; applied < max_records && at < limit; ++applied) {
    const absl::StatusOr<RecordView> record = reader->ReadNext(at, limit);
    if (absl::IsOutOfRange(record.status())) {
      at = limit;  // padding or damage up to there
      break;
    }
    RETURN_IF_ERROR(record.status());
    RETURN_IF_ERROR(applier_.Apply(*record));
    at = record->end();
  }
  RETURN_IF_ERROR(applier_.Commit(at));
  Publish();
  return at;
}

void RealDispatcher::Publish() {
  const std::vector<TopicId> topics = applier_.TakeTopics();
  const std::vector<QueueKey> lite_topics = applier_.TakeLiteTopics();
  const Applier::Config config = applier_.TakeConfig();
  const storage::v1::Checkpoint& applied = applier_.checkpoint();
  MutexLock lock(mutex_);
  changed_.insert(topics.begin(), topics.end());
  changed_lite_.insert(lite_topics.begin(), lite_topics.end());
  if (options_.tell_config) {
    changed_config_.topics.insert(config.topics.begin(), config.topics.end());
    changed_config_.groups.insert(config.groups.begin(), config.groups.end());
    changed_config_.users |= config.users;
    changed_config_.all |= config.all;
  }
  snapshot_ = {applied.has_snapshot(), LogOffset(applied.snapshot_as_of())};
  next_topic_ = TopicId(applied.next_topic_id());
  next_group_ = GroupId(applied.next_group_id());
  next_lite_queue_ = applied.next_lite_queue();
}

uint32_t RealDispatcher::next_lite_queue() const {
  MutexLock lock(mutex_);
  return next_lite_queue_;
}

TopicId RealDispatcher::next_topic_id() const {
  MutexLock lock(mutex_);
  return next_topic_;
}

GroupId RealDispatcher::next_group_id() const {
  MutexLock lock(mutex_);
  return next_group_;
}

absl::Status RealDispatcher::Recover(LogOffset from, bool rebuilding) {
  const LogOffset end = log_.confirmed().Get();
  applier_.SetRebuilding(rebuilding);
  RETURN_IF_ERROR(timers_.LoadCounts());
  RETURN_IF_ERROR(transactions_.Load());
  auto last_line = std::chrono::steady_clock::now();
  LogOffset at = from;
  while (at < end) {
    ASSIGN_OR_RETURN(at, ApplyUpTo(at, end, kBatchRecords));
    if (applier_.pending_bytes() > kMaxPendingBytes) {
      RETURN_IF_ERROR(log_.FlushUpTo(at));
      RETURN_IF_ERROR(applier_.Checkpoint(at, /*wait=*/false));
    }
    const auto now = std::chrono::steady_clock::now();
    if (now - last_line > std::chrono::seconds(1)) {
      last_line = now;
      log::Info("{} the index: {} of {} MiB of log", rebuilding ? "rebuilding" : "completing",
                (at - from) >> 20, (end - from) >> 20);
    }
  }
  applier_.SetRebuilding(rebuilding && AwaitsSnapshot(end));
  if (end != from) {
    log::Info("index {} from {} MiB of log", rebuilding ? "rebuilt" : "completed",
              (end - from) >> 20);
  }
  RETURN_IF_ERROR(applier_.Commit(end));
  Publish();
  dispatched_.Advance(end);
  checkpointed_ = from;
  log_.SetViewed(from);
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "dispatcher");
  return absl::OkStatus();
}

std::vector<TopicId> RealDispatcher::TakeChangedTopics() {
  MutexLock lock(mutex_);
  std::vector<TopicId> topics(changed_.begin(), changed_.end());
  changed_.clear();
  return topics;
}

std::vector<QueueKey> RealDispatcher::TakeChangedLiteTopics() {
  MutexLock lock(mutex_);
  std::vector<QueueKey> queues(changed_lite_.begin(), changed_lite_.end());
  changed_lite_.clear();
  return queues;
}

Dispatcher::ChangedConfig RealDispatcher::TakeChangedConfig() {
  mutex_.Lock();
  const Applier::Config taken = std::exchange(changed_config_, Applier::Config());
  mutex_.Unlock();
  return {{taken.topics.begin(), taken.topics.end()},
          {taken.groups.begin(), taken.groups.end()},
          taken.users,
          taken.all};
}

Dispatcher::SnapshotInfo RealDispatcher::snapshot() const {
  MutexLock lock(mutex_);
  return snapshot_;
}

absl::Status RealDispatcher::health() const {
  RETURN_IF_ERROR(database_.health());
  MutexLock lock(mutex_);
  return health_;
}

bool RealDispatcher::CheckpointIsDue() {
  const LogOffset at = dispatched_.Get();
  const uint64_t behind = at - checkpointed_;
  const auto waited = std::chrono::steady_clock::now() - last_checkpoint_;
  const bool due = behind >= options_.checkpoint_bytes ||
                   applier_.pending_bytes() >= kMaxPendingBytes ||
                   waited >= options_.checkpoint_interval;
  if (behind == 0 || !due) return false;
  // A checkpoint needs the log on disk. Deliveries do not wait for that here: the log's own flusher
  // brings it there soon, and what then remains to be flushed is little.
  if (!due_since_.has_value()) due_since_ = at;
  return log_.flushed().Get() >= *due_since_ || applier_.pending_bytes() >= 2 * kMaxPendingBytes ||
         waited >= 2 * options_.checkpoint_interval + kNap;
}

absl::Status RealDispatcher::DoCheckpoint(bool wait) {
  const LogOffset at = dispatched_.Get();
  // The log first: the view must never be ahead of what it is a view of.
  RETURN_IF_ERROR(log_.FlushUpTo(at));
  RETURN_IF_ERROR(applier_.Checkpoint(at, wait));
  if (wait) log_.SetViewed(at);
  checkpointed_ = at;
  due_since_.reset();
  last_checkpoint_ = std::chrono::steady_clock::now();
  return absl::OkStatus();
}

bool RealDispatcher::Busy(uint64_t bytes) {
  measured_bytes_ += bytes;
  const auto now = std::chrono::steady_clock::now();
  const auto passed = now - measured_since_;
  if (passed >= kCollect) {
    busy_ = measured_bytes_ >= kCollectBytes * static_cast<uint64_t>(passed / kCollect);
    measured_since_ = now;
    measured_bytes_ = 0;
  }
  return busy_;
}

void RealDispatcher::Loop() {
  LogOffset at = dispatched_.Get();
  for (;;) {
    const LogOffset confirmed = log_.confirmed().WaitAbove(
        at, std::min<std::chrono::milliseconds>(kNap, options_.checkpoint_interval));
    absl::Status status;
    if (confirmed > at) {
      absl::StatusOr<LogOffset> applied = ApplyUpTo(at, confirmed, kBatchRecords);
      status = applied.status();
      if (status.ok()) {
        const bool busy = Busy(*applied - at);
        at = *applied;
        if (applier_.checkpoint().rebuilding()) applier_.SetRebuilding(AwaitsSnapshot(at));
        dispatched_.Advance(at);
        if (busy && at == confirmed) dispatched_.AwaitWaiter(kCollect);
      }
    }
    if (status.ok() && CheckpointIsDue()) status = DoCheckpoint(/*wait=*/false);
    if (!status.ok()) Fail(status);
    const bool stopping = RunJobs();
    // Readers of the view may have met damage, too.
    if (status = health(); !status.ok()) return Fail(status);
    if (stopping && log_.confirmed().Get() <= at) return;
  }
}

void RealDispatcher::Fail(const absl::Status& status) {
  MutexLock lock(mutex_);
  if (!health_.ok()) return;
  log::Critical("the dispatcher stops, nothing new becomes visible: {}", status.ToString());
  health_ = status;
}

bool RealDispatcher::RunJobs() {
  Job* job = nullptr;
  bool stopping = false;
  absl::Status result;
  {
    MutexLock lock(mutex_);
    job = job_;
    stopping = stopping_;
    result = health_;
  }
  if (job != nullptr) {
    if (result.ok()) result = (*job)();
    MutexLock lock(mutex_);
    job_ = nullptr;
    job_result_ = result;
    job_done_.SignalAll();
  }
  return stopping;
}

absl::Status RealDispatcher::RunOnThread(Job job) {
  MutexLock turn(one_job_);
  {
    MutexLock lock(mutex_);
    if (stopping_) return absl::UnavailableError("the dispatcher is stopping");
    RETURN_IF_ERROR(health_);
    job_ = &job;
  }
  log_.confirmed().Interrupt();
  MutexLock lock(mutex_);
  while (job_ != nullptr) {
    if (!health_.ok()) {
      job_ = nullptr;
      return health_;
    }
    job_done_.WaitUntil(mutex_, std::chrono::steady_clock::now() + std::chrono::milliseconds(50));
  }
  return job_result_;
}

absl::Status RealDispatcher::Snapshot() {
  RETURN_IF_ERROR(RunOnThread([this]() -> absl::Status {
    // Tails that are only in memory must be among the rows.
    RETURN_IF_ERROR(DoCheckpoint(/*wait=*/false));
    return applier_.MakeSnapshot(kSnapshotPartBytes,
                                 [this](std::string_view part) { return AppendPart(part); });
  }));
  return WaitForAppended();
}

absl::Status RealDispatcher::AppendPart(std::string_view part) {
  NewRecord record;
  record.kind = RecordKind::kSnapshot;
  record.payload = {&part, 1};
  std::array<Appended, 1> appended;
  const absl::Status status = log_.Append({&record, 1}, appended, nullptr);
  if (!absl::IsResourceExhausted(status)) return status;
  // A large state may come faster than the disk takes it.
  RETURN_IF_ERROR(log_.FlushUpTo(log_.end()));
  return log_.Append({&record, 1}, appended, nullptr);
}

absl::Status RealDispatcher::MoveBefore(LogOffset begin) {
  // What is in other hands ends by a record that stands further on; it is applied soon.
  for (bool again = true; again;) {
    ASSIGN_OR_RETURN(const bool more_parked, relocation_.MoveParked(begin));
    ASSIGN_OR_RETURN(const bool more_open, relocation_.MoveOpen(begin));
    again = more_parked || more_open;
    RETURN_IF_ERROR(WaitForAppended());
  }
  RETURN_IF_ERROR(relocation_.MoveKept(begin));
  // Last, and until there are none: dead letters are made meanwhile, also of what is about to go.
  for (bool again = true; again;) {
    looked_up_to_ = log_.end();
    RETURN_IF_ERROR(WaitForAppended());
    ASSIGN_OR_RETURN(again, relocation_.MovePointed(begin));
  }
  return absl::OkStatus();
}

absl::Status RealDispatcher::DropBefore(LogOffset begin) {
  MutexLock lock(relocation_.removal());
  RETURN_IF_ERROR(WaitForAppended());
  ASSIGN_OR_RETURN(const bool moved, relocation_.MovePointedSince(looked_up_to_, begin));
  if (moved) RETURN_IF_ERROR(WaitForAppended());
  RETURN_IF_ERROR(log_.DropBefore(begin));
  // Rows that point there may go, too.
  database_.SetExpiry(begin);
  return absl::OkStatus();
}

absl::Status RealDispatcher::AppendPointers(std::span<const NewRecord> records, LogOffset oldest) {
  MutexLock lock(relocation_.removal());
  if (oldest < log_.start()) {
    return absl::NotFoundError(fmt::format("the message at {} has expired", oldest.value()));
  }
  return AppendAllAndWait(records).status();
}

absl::StatusOr<Appended> RealDispatcher::AppendAllAndWait(std::span<const NewRecord> records) {
  // Once the last one is durable, so are those before it.
  std::vector<Appended> appended(records.size() - 1);
  if (!appended.empty()) {
    RETURN_IF_ERROR(log_.Append(records.first(appended.size()), appended, nullptr));
  }
  return log_.AppendAndWait(records.back());
}

absl::Status RealDispatcher::Remove(std::span<const NewRecord> records) {
  if (records.empty()) return absl::OkStatus();
  MutexLock lock(relocation_.removal());
  const absl::StatusOr<Appended> last = AppendAllAndWait(records);
  if (last.ok()) return WaitUntilAbove(last->log_offset);
  // Those before it are there, and must be applied all the same.
  WaitForAppended().IgnoreError();
  return last.status();
}

absl::StatusOr<std::optional<LogOffset>> RealDispatcher::FindDelivery(LogOffset parked) const {
  return pointers_.Find(parked, [this](LogOffset delivery) {
    const absl::StatusOr<RecordView> record = log_.Read(delivery);
    return record.ok() && (record->header().flags & kFlagDue) != 0;
  });
}

absl::Status RealDispatcher::WaitForAppended() {
  const LogOffset end = log_.end();
  RETURN_IF_ERROR(log_.FlushUpTo(end));
  return end == LogOffset(0) ? absl::OkStatus() : WaitUntilAbove(end - 1);
}

absl::Status RealDispatcher::WaitUntilAbove(LogOffset offset) {
  for (LogOffset at = dispatched_.Get(); at <= offset;) {
    RETURN_IF_ERROR(health());
    if (dispatched_.closed()) return absl::UnavailableError("the dispatcher is stopping");
    at = dispatched_.WaitAbove(at, std::chrono::milliseconds(100));
  }
  return absl::OkStatus();
}

absl::Status RealDispatcher::Stop() {
  {
    MutexLock lock(mutex_);
    if (stopped_) return health_;
    stopped_ = true;
    stopping_ = true;
  }
  if (!thread_.joinable()) return absl::OkStatus();
  log_.confirmed().Interrupt();
  thread_.join();
  dispatched_.Close();
  RETURN_IF_ERROR(health());
  return DoCheckpoint(/*wait=*/true);
}

}  // namespace

namespace {

// Reads every row that the broker cannot do without; RocksDB checks what is read. The bulk (chunks,
// keys) is checked when it is read.
absl::Status CheckState(StateStore& state) {
  const Database& database = state.database();
  RETURN_IF_ERROR(state.ListTopics().status());
  RETURN_IF_ERROR(state.ListGroups().status());
  bool whole = true;
  RETURN_IF_ERROR(
      database.Scan(Family::kProgress, "", [&](std::string_view key, std::string_view value) {
        storage::v1::QueueProgress progress;
        whole = key.size() == 12 &&
                progress.ParseFromArray(value.data(), static_cast<int>(value.size()));
        return whole;
      }));
  if (!whole) return database.Damaged("a row of the progress");
  RETURN_IF_ERROR(
      database.Scan(Family::kTails, "", [&](std::string_view key, std::string_view value) {
        whole = key.size() == 8 && DecodeTail(value).ok();
        return whole;
      }));
  if (!whole) return database.Damaged("the tail of a queue");
  return absl::OkStatus();
}

// Empty when the view can be completed from its checkpoint; else why it must be rebuilt.
std::string WhyRebuild(const storage::v1::Checkpoint& checkpoint, const CommitLog& log,
                       LogOffset end, StateStore& state) {
  const LogOffset dispatched(checkpoint.dispatched());
  if (checkpoint.format_version() == 0) return "there is no checkpoint";
  if (checkpoint.format_version() != kFormatVersion) {
    return fmt::format("it has format {}, not {}", checkpoint.format_version(), kFormatVersion);
  }
  if (checkpoint.rebuilding()) return "rebuilding it was interrupted";
  if (dispatched > end || dispatched < log.start()) {
    return fmt::format("it goes up to {}, the log from {} to {}", dispatched.value(),
                       log.start().value(), end.value());
  }
  if (const Epoch epoch(checkpoint.epoch()); epoch != Epoch(0)) {
    const Epoch there = log.EpochAt(dispatched - 1);
    if (there != epoch && there != Epoch(0)) {
      return fmt::format("before {} it has epoch {}, the log {}: what it knows was cut off",
                         dispatched.value(), epoch.value(), there.value());
    }
  }
  const absl::Status checked = CheckState(state);
  return checked.ok() ? "" : std::string(FromAbsl(checked.message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Dispatcher>> Dispatcher::Start(const DispatcherOptions& options,
                                                              CommitLog& log, StateStore& state) {
  const LogOffset end = log.confirmed().Get();
  for (bool rebuilt = false;;) {
    storage::v1::Checkpoint checkpoint = state.GetCheckpoint();
    const std::string why = WhyRebuild(checkpoint, log, end, state);
    if (!why.empty()) {
      if (end > log.start()) log::Warning("the index is rebuilt from the log: {}", why);
      RETURN_IF_ERROR(state.database().Clear());
      checkpoint.Clear();
      checkpoint.set_dispatched(log.start().value());
      rebuilt = true;
    }
    state.database().SetExpiry(log.start());
    auto dispatcher = std::make_unique<RealDispatcher>(options, log, state, checkpoint);
    const absl::Status recovered =
        dispatcher->Recover(LogOffset(checkpoint.dispatched()), /*rebuilding=*/rebuilt);
    if (recovered.ok()) return std::unique_ptr<Dispatcher>(std::move(dispatcher));
    if (rebuilt || !absl::IsDataLoss(recovered)) return recovered;
    log::Warning("the index is damaged: {}", recovered.ToString());
    dispatcher.reset();
    RETURN_IF_ERROR(state.database().Clear());
  }
}

}  // namespace dunlin::store
