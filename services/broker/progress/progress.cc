#include "services/broker/progress/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <random>
#include <utility>

#include "absl/container/flat_hash_map.h"

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/base/mutex.h"
#include "services/base/status_macros.h"
#include "services/broker/codes/public_code.h"
#include "services/broker/progress/agenda.h"
#include "services/broker/progress/concurrent_queue.h"
#include "services/broker/progress/group_queue.h"
#include "services/broker/progress/saved_queue.h"

namespace dunlin::broker {
namespace {

using std::chrono::milliseconds;
using Key = ProgressKey;

// Locks are spread over (group, topic) by hash.
constexpr size_t kShards = 64;
// A message that waits to become a dead letter is hidden for this long per try.
constexpr milliseconds kDeadLetterLease = std::chrono::seconds(10);
// Leases that end within this time are renewed; longer than the interval of RenewLeases.
constexpr milliseconds kRenewAhead = std::chrono::seconds(10);

absl::Status Invalid(std::string_view why) {
  return PublicError(PublicCode::kInvalidReceiptHandle, why);
}

uint64_t RandomStart() {
  std::random_device random;
  return (uint64_t{random()} << 32) | random();
}

}  // namespace

class Progress::Shards {
 public:
  Shards(const ProgressOptions& options, const store::StateStore& state, const Clock& clock)
      : options_(options), state_(state), clock_(clock), next_lease_(RandomStart()) {}

  struct Slot {
    explicit Slot(std::unique_ptr<GroupQueue> initial) : queue(std::move(initial)) {}
    std::unique_ptr<GroupQueue> queue;
    bool changed = false;  // is on the agenda, to be saved
    LogOffset saved_at;    // of a lightweight topic: the PROGRESS record with its last change
  };
  struct Shard {
    Mutex mutex;
    absl::flat_hash_map<Key, std::unique_ptr<Slot>> slots ABSL_GUARDED_BY(mutex);
  };

  Shard& ShardOf(GroupId group, TopicId topic) {
    return shards_[absl::Hash<std::pair<GroupId, TopicId>>()({group, topic}) % kShards];
  }
  Shard& ShardOf(const Key& key) {
    // A group may have progress in a million lightweight topics of one parent.
    if (IsLite(key.queue)) return shards_[absl::Hash<Key>()(key) % kShards];
    return ShardOf(key.group, key.queue.topic);
  }

  // The slot, to be taken from in order or not.
  absl::StatusOr<Slot*> FindToTake(Shard& shard, const Key& key, const ReserveRequest& request,
                                   bool ordered) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex) {
    ASSIGN_OR_RETURN(Slot* const slot, Find(shard, key, request.start));
    if (slot->queue->ordered() != ordered) {
      slot->queue = NewQueue(ordered, slot->queue->committed(), Limits());
    }
    slot->queue->Expire(request.bounds.min, clock_.Now());
    return slot;
  }

  OrderedQueue::Limits Limits() const { return {options_.max_in_flight, options_.max_waiting}; }

  // How many of request.limit the group may get from `queue` beside what it has in the topic.
  size_t Allowed(Shard& shard, const Key& key, const ReserveRequest& request,
                 const GroupQueue& queue) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex) {
    InFlightLimit* const limit = request.group_limit;
    if (limit == nullptr) return request.limit;
    const Timestamp now = clock_.Now();
    const bool holds_some = queue.cursor() < request.bounds.max ||
                            queue.NextVisible().value_or(Timestamp::max()) <= now;
    if (!holds_some) return request.limit;  // no use counting
    size_t leased = 0;
    Key other = key;
    for (other.queue.queue = 0; other.queue.queue < limit->queues; ++other.queue.queue) {
      auto found = shard.slots.find(other);  // of one topic: all in this shard
      if (found != shard.slots.end()) leased += found->second->queue->Count(now).leased;
    }
    const size_t room = limit->most - std::min<size_t>(limit->most, leased);
    limit->reached |= room == 0;
    return std::min(room, request.limit);
  }

  GroupQueue::Terms TermsOf(const ReserveRequest& request) {
    GroupQueue::Terms terms;
    terms.now = clock_.Now();
    terms.visible_at = terms.now + (request.auto_renew ? options_.renew_step : request.invisible);
    if (request.auto_renew) {
      terms.renewed_for = std::make_shared<const std::string>(request.client_id);
    }
    return terms;
  }

  // When messages end; only an ordered queue wants to know.
  Timestamp NowFor(const GroupQueue& queue) const {
    return queue.ordered() ? clock_.Now() : Timestamp();
  }

  // Tells that messages were unlocked. Without a lock.
  void Unlocked(bool unlocked) const {
    if (unlocked && options_.on_unlocked) options_.on_unlocked();
  }

  // Null when the group never consumed from the queue and `start` says nothing.
  absl::StatusOr<Slot*> Find(Shard& shard, const Key& key, std::optional<QueueOffset> start)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex) {
    auto found = shard.slots.find(key);
    if (found != shard.slots.end() && !options_.follows) return found->second.get();
    const absl::StatusOr<storage::v1::QueueProgress> saved =
        state_.GetProgress(key.group, key.queue);
    if (!saved.ok() && !absl::IsNotFound(saved.status())) return saved.status();
    if (!saved.ok() && !start.has_value()) return nullptr;
    auto slot = std::make_unique<Slot>(saved.ok() ? ToQueue(*saved, Limits())
                                                  : NewQueue(/*ordered=*/false, *start, Limits()));
    Slot* added = (shard.slots[key] = std::move(slot)).get();
    if (options_.follows) return added;
    agenda_.Announce(key, added->queue->NextVisible());
    // It is as the state store has it, and may be forgotten again.
    if (IsLite(key.queue)) agenda_.AddIdle(key, LogOffset(0));
    return added;
  }

  // To be called after every change of a slot.
  void Changed(const Key& key, Slot& slot) {
    const bool freed = IsLite(key.queue) && slot.queue->in_flight().empty();
    // Nothing behind the cursor was looked at while something was in flight.
    if (freed) slot.queue->Unlock();
    agenda_.Changed(key, slot.queue->NextVisible(), !std::exchange(slot.changed, true), freed);
  }

  // Queues whose next lease ended by now, told once: their next end is that of a lease that runs.
  std::vector<Key> TakeEnded(Agenda::Kind kind) {
    const Timestamp now = clock_.Now();
    std::vector<Key> keys = agenda_.EndingBy(now, kind);
    for (const Key& key : keys) {
      Shard& shard = ShardOf(key);
      MutexLock lock(shard.mutex);
      auto found = shard.slots.find(key);
      agenda_.Announce(key, found == shard.slots.end()
                                ? std::nullopt
                                : found->second->queue->NextVisibleAfter(now));
    }
    return keys;
  }

  // Forgets a queue that is as it was saved.
  void ForgetIfIdle(const Key& key, LogOffset dispatched) {
    Shard& shard = ShardOf(key);
    MutexLock lock(shard.mutex);
    auto found = shard.slots.find(key);
    if (found == shard.slots.end()) return;
    const Slot& slot = *found->second;
    if (slot.changed || slot.saved_at >= dispatched || !slot.queue->in_flight().empty()) return;
    shard.slots.erase(found);
  }

  template <typename Matches>
  void Drop(const Matches& matches) {
    for (Shard& shard : shards_) {
      MutexLock lock(shard.mutex);
      for (auto slot = shard.slots.begin(); slot != shard.slots.end();) {
        auto current = slot++;
        if (!matches(current->first)) continue;
        agenda_.Announce(current->first, std::nullopt);
        shard.slots.erase(current);
      }
    }
  }

  // The entry of a handle whose lease runs; INVALID_RECEIPT_HANDLE otherwise, with `done` set when
  // the message is done and the lease it was delivered with would still run.
  absl::StatusOr<const GroupQueue::Entry*> FindRunning(const Slot* slot,
                                                       const ReceiptHandle& handle, bool* done) {
    const Timestamp now = clock_.Now();
    *done = false;
    if (slot == nullptr || handle.offset >= slot->queue->cursor()) {
      return Invalid(
          "the server does not know this delivery (any more); the message will come again");
    }
    const GroupQueue::Entry* entry = slot->queue->FindLease(handle.offset, handle.lease_id);
    if (entry != nullptr) {
      if (entry->second.visible_at > now) {
        *done = entry->second.acknowledged;
        if (!*done) return entry;
        return Invalid("the message was acknowledged");
      }
      return Invalid(fmt::format("the lease ended {} ms ago; the message will come again",
                                 (now - entry->second.visible_at).count()));
    }
    if (slot->queue->in_flight().contains(handle.offset)) {
      return Invalid("the receipt handle was replaced by a later one of the same message");
    }
    const Timestamp end =
        handle.auto_renew ? handle.visible_at + options_.renew_total : handle.visible_at;
    *done = end > now;
    return Invalid("the lease has ended");
  }

  uint64_t NextLease() { return next_lease_.fetch_add(1, std::memory_order_relaxed); }

  const ProgressOptions options_;
  const store::StateStore& state_;
  const Clock& clock_;
  std::array<Shard, kShards> shards_;
  std::atomic<uint64_t> next_lease_;

  // Called with a shard's lock held.
  Agenda agenda_;
};

Progress::Progress(const ProgressOptions& options, const store::StateStore& state,
                   const Clock& clock)
    : shards_(std::make_unique<Shards>(options, state, clock)) {}
Progress::~Progress() = default;

absl::Status Progress::Reserve(const ReserveRequest& request, std::vector<Reservation>& reserved) {
  const Key key{request.group, request.queue};
  Shards::Shard& shard = shards_->ShardOf(key);
  MutexLock lock(shard.mutex);
  ASSIGN_OR_RETURN(Shards::Slot* const slot,
                   shards_->FindToTake(shard, key, request, /*ordered=*/false));
  auto& queue = static_cast<ConcurrentQueue&>(*slot->queue);
  GroupQueue::Terms terms = shards_->TermsOf(request);
  const size_t limit = shards_->Allowed(shard, key, request, queue);
  for (size_t taken = 0; taken < limit; ++taken) {
    terms.lease_id = shards_->NextLease();
    const GroupQueue::Entry* entry = queue.Redeliver(terms);
    if (entry == nullptr && queue.cursor() < request.bounds.max &&
        queue.in_flight().size() < shards_->options_.max_in_flight) {
      entry = queue.DeliverNext(terms);
    }
    if (entry == nullptr) break;
    Reservation reservation;
    reservation.handle = {
        key.group,        key.queue,         entry->first, terms.lease_id, entry->second.attempts,
        terms.visible_at, request.auto_renew};
    if (entry->second.attempts > request.max_attempts) {
      reservation.exhausted = true;
      GroupQueue::Terms dead = terms;
      dead.visible_at = terms.now + kDeadLetterLease;
      dead.renewed_for = nullptr;
      queue.Change(entry->first, dead, /*uncount=*/true);
    }
    reserved.push_back(reservation);
  }
  if (!reserved.empty()) shards_->Changed(key, *slot);
  return absl::OkStatus();
}

absl::Status Progress::ReserveInOrder(const ReserveRequest& request, const OrderedRequest& ordered,
                                      OrderedReserved& reserved) {
  reserved = OrderedReserved();
  const Key key{request.group, request.queue};
  Shards::Shard& shard = shards_->ShardOf(key);
  MutexLock lock(shard.mutex);
  ASSIGN_OR_RETURN(Shards::Slot* const slot,
                   shards_->FindToTake(shard, key, request, /*ordered=*/true));
  auto& queue = static_cast<OrderedQueue&>(*slot->queue);
  const QueueOffset cursor = queue.cursor();
  OrderedQueue::Take take;
  take.lease = shards_->TermsOf(request);
  take.lease.lease_id = shards_->NextLease();
  // What is given again is in flight already.
  take.limit = ordered.repeat ? request.limit : shards_->Allowed(shard, key, request, queue);
  take.lane_limit = ordered.lane_limit;
  take.max_attempts = request.max_attempts;
  take.attempt = ordered.attempt_id;
  take.dead_until = take.lease.now + kDeadLetterLease;
  std::vector<OrderedQueue::Delivered> delivered;
  if (ordered.repeat) {
    queue.Repeat(take, delivered);
  } else {
    queue.DeliverReady(take, delivered);
    queue.DeliverAhead(ordered.first, ordered.ahead, take, delivered);
  }
  for (const auto& [entry, exhausted] : delivered) {
    Reservation& reservation = reserved.messages.emplace_back();
    reservation.handle = {key.group,
                          key.queue,
                          entry->first,
                          take.lease.lease_id,
                          entry->second.attempts + (exhausted ? 1 : 0),
                          entry->second.visible_at,
                          request.auto_renew};
    reservation.exhausted = exhausted;
    reservation.lane = entry->second.lane;
  }
  reserved.next = queue.cursor();
  if (!ordered.repeat && queue.cursor() < request.bounds.max) {
    // Of one lane nothing more can go out before what is in flight is done.
    const size_t one_lane =
        queue.in_flight().empty() ? std::min(request.limit, ordered.lane_limit) : 0;
    reserved.room = ordered.one_lane ? one_lane : queue.Room();
  }
  if (!delivered.empty() || queue.cursor() != cursor) shards_->Changed(key, *slot);
  return absl::OkStatus();
}

void Progress::Finish(const ReceiptHandle& handle) {
  const Key key{handle.group, handle.queue};
  Shards::Shard& shard = shards_->ShardOf(key);
  bool unlocked = false;
  {
    MutexLock lock(shard.mutex);
    auto found = shard.slots.find(key);
    if (found == shard.slots.end()) return;
    GroupQueue& queue = *found->second->queue;
    if (!queue.Finish(handle.offset, shards_->NowFor(queue))) return;
    shards_->Changed(key, *found->second);
    unlocked = queue.TakeUnlocked();
  }
  shards_->Unlocked(unlocked);
}

void Progress::Return(const ReceiptHandle& handle, milliseconds delay, bool counts) {
  const Key key{handle.group, handle.queue};
  Shards::Shard& shard = shards_->ShardOf(key);
  bool unlocked = false;
  {
    MutexLock lock(shard.mutex);
    auto found = shard.slots.find(key);
    if (found == shard.slots.end()) return;
    GroupQueue& queue = *found->second->queue;
    const GroupQueue::Entry* const entry = queue.FindLease(handle.offset, handle.lease_id);
    if (entry == nullptr || entry->second.acknowledged) return;
    GroupQueue::Terms terms;
    terms.now = shards_->clock_.Now();
    terms.visible_at = terms.now + delay;
    terms.lease_id = shards_->NextLease();
    queue.Change(handle.offset, terms, /*uncount=*/!counts);
    shards_->Changed(key, *found->second);
    unlocked = queue.TakeUnlocked();
  }
  shards_->Unlocked(unlocked);
}

absl::Status Progress::Ack(const ReceiptHandle& handle) {
  const Key key{handle.group, handle.queue};
  Shards::Shard& shard = shards_->ShardOf(key);
  bool unlocked = false;
  {
    MutexLock lock(shard.mutex);
    ASSIGN_OR_RETURN(Shards::Slot* const slot, shards_->Find(shard, key, std::nullopt));
    bool done = false;
    const absl::StatusOr<const GroupQueue::Entry*> entry =
        shards_->FindRunning(slot, handle, &done);
    if (done) return absl::OkStatus();
    RETURN_IF_ERROR(entry.status());
    slot->queue->Acknowledge(handle.offset, shards_->NowFor(*slot->queue));
    shards_->Changed(key, *slot);
    unlocked = slot->queue->TakeUnlocked();
  }
  shards_->Unlocked(unlocked);
  return absl::OkStatus();
}

absl::StatusOr<ReceiptHandle> Progress::ChangeInvisible(const ReceiptHandle& handle,
                                                        milliseconds invisible, bool suspend) {
  const Key key{handle.group, handle.queue};
  Shards::Shard& shard = shards_->ShardOf(key);
  GroupQueue::Terms terms;
  bool unlocked = false;
  {
    MutexLock lock(shard.mutex);
    ASSIGN_OR_RETURN(Shards::Slot* const slot, shards_->Find(shard, key, std::nullopt));
    bool done = false;
    RETURN_IF_ERROR(shards_->FindRunning(slot, handle, &done).status());
    terms.now = shards_->clock_.Now();
    terms.visible_at = terms.now + invisible;
    terms.lease_id = shards_->NextLease();
    slot->queue->Change(handle.offset, terms, /*uncount=*/suspend);
    shards_->Changed(key, *slot);
    unlocked = slot->queue->TakeUnlocked();
  }
  shards_->Unlocked(unlocked);
  ReceiptHandle changed = handle;
  changed.lease_id = terms.lease_id;
  changed.visible_at = terms.visible_at;
  changed.auto_renew = false;
  return changed;
}

absl::Status Progress::CheckLease(const ReceiptHandle& handle) const {
  const Key key{handle.group, handle.queue};
  Shards::Shard& shard = shards_->ShardOf(key);
  MutexLock lock(shard.mutex);
  ASSIGN_OR_RETURN(Shards::Slot* const slot, shards_->Find(shard, key, std::nullopt));
  bool done = false;
  return shards_->FindRunning(slot, handle, &done).status();
}

bool Progress::IsPending(const ReceiptHandle& handle) const {
  const Key key{handle.group, handle.queue};
  Shards::Shard& shard = shards_->ShardOf(key);
  MutexLock lock(shard.mutex);
  auto slot = shard.slots.find(key);
  if (slot == shard.slots.end()) return false;
  auto entry = slot->second->queue->in_flight().find(handle.offset);
  // Fewer: a delivery that was not to be, or was taken back, is not counted.
  return entry != slot->second->queue->in_flight().end() && !entry->second.acknowledged &&
         entry->second.attempts <= handle.attempt;
}

void Progress::ReleaseClients(const absl::flat_hash_set<std::string>& client_ids,
                              milliseconds delay) {
  const Timestamp now = shards_->clock_.Now();
  for (Shards::Shard& shard : shards_->shards_) {
    MutexLock lock(shard.mutex);
    for (auto& [key, slot] : shard.slots) {
      if (slot->queue->Release(client_ids, now, now + delay) > 0) shards_->Changed(key, *slot);
    }
  }
}

void Progress::RenewLeases(const std::function<bool(std::string_view client_id)>& is_alive) {
  const ProgressOptions& options = shards_->options_;
  GroupQueue::Renewal renewal;
  renewal.now = shards_->clock_.Now();
  renewal.until = renewal.now + kRenewAhead;
  renewal.step = options.renew_step;
  renewal.total = options.renew_total;
  std::vector<Key> ending = shards_->agenda_.EndingBy(renewal.until, Agenda::Kind::kOthers);
  const std::vector<Key> lite = shards_->agenda_.EndingBy(renewal.until, Agenda::Kind::kLite);
  ending.insert(ending.end(), lite.begin(), lite.end());
  for (const Key& key : ending) {
    renewal.retry_delay = [&](uint32_t attempts) {
      return options.retry_delay ? options.retry_delay(key.group, attempts) : milliseconds(0);
    };
    Shards::Shard& shard = shards_->ShardOf(key);
    MutexLock lock(shard.mutex);
    auto found = shard.slots.find(key);
    if (found == shard.slots.end()) continue;
    if (found->second->queue->Renew(renewal, is_alive) > 0) shards_->Changed(key, *found->second);
  }
}

std::vector<Progress::Due> Progress::TakeDue() {
  std::vector<Due> due;
  for (const Key& key : shards_->TakeEnded(Agenda::Kind::kOthers)) {
    due.push_back({key.group, key.queue.topic});
  }
  std::sort(due.begin(), due.end());
  due.erase(std::unique(due.begin(), due.end()), due.end());
  return due;
}

std::vector<Progress::DueLite> Progress::TakeDueLite() {
  std::vector<DueLite> due;
  for (const Key& key : shards_->TakeEnded(Agenda::Kind::kLite)) {
    due.push_back({key.group, key.queue});
  }
  for (const Key& key : shards_->agenda_.TakeFreed()) due.push_back({key.group, key.queue});
  return due;
}

std::optional<Timestamp> Progress::NextDue() const { return shards_->agenda_.NextEnd(); }

absl::StatusOr<QueueOffset> Progress::CommittedOffset(GroupId group, QueueKey queue) const {
  const Key key{group, queue};
  Shards::Shard& shard = shards_->ShardOf(key);
  MutexLock lock(shard.mutex);
  ASSIGN_OR_RETURN(const Shards::Slot* const slot, shards_->Find(shard, key, std::nullopt));
  if (slot == nullptr) {
    return PublicError(PublicCode::kOffsetNotFound, "the group never consumed from this queue");
  }
  return slot->queue->committed();
}

absl::Status Progress::SetOffset(GroupId group, QueueKey queue, QueueOffset offset) {
  return Edit(group, queue, offset, [offset](GroupQueue& edited, uint64_t) {
    edited.Reset(offset);
    return absl::OkStatus();
  });
}

absl::Status Progress::Edit(GroupId group, QueueKey queue, QueueOffset start, EditQueue edit) {
  const Key key{group, queue};
  Shards::Shard& shard = shards_->ShardOf(key);
  bool unlocked = false;
  {
    MutexLock lock(shard.mutex);
    ASSIGN_OR_RETURN(Shards::Slot* const slot, shards_->Find(shard, key, start));
    RETURN_IF_ERROR(edit(*slot->queue, shards_->NextLease()));
    shards_->Changed(key, *slot);
    unlocked = slot->queue->TakeUnlocked();
  }
  shards_->Unlocked(unlocked);
  return absl::OkStatus();
}

absl::Status Progress::Look(GroupId group, QueueKey queue, LookAtQueue look) const {
  const Key key{group, queue};
  Shards::Shard& shard = shards_->ShardOf(key);
  MutexLock lock(shard.mutex);
  ASSIGN_OR_RETURN(const Shards::Slot* const slot, shards_->Find(shard, key, std::nullopt));
  look(slot == nullptr ? nullptr : slot->queue.get());
  return absl::OkStatus();
}

absl::StatusOr<Progress::Counts> Progress::GetCounts(GroupId group, QueueKey queue) const {
  const Key key{group, queue};
  Shards::Shard& shard = shards_->ShardOf(key);
  MutexLock lock(shard.mutex);
  ASSIGN_OR_RETURN(const Shards::Slot* const slot, shards_->Find(shard, key, std::nullopt));
  Counts counts;
  if (slot == nullptr) return counts;
  counts.committed = slot->queue->committed();
  counts.cursor = slot->queue->cursor();
  const GroupQueue::Counts leases = slot->queue->Count(shards_->clock_.Now());
  counts.retrying = leases.ended;
  counts.in_flight = leases.leased;
  if (slot->queue->ordered()) counts.waiting = static_cast<OrderedQueue&>(*slot->queue).waiting();
  return counts;
}

std::string Progress::TakeChanges(size_t max_bytes) {
  storage::v1::ProgressChanges changes;
  size_t bytes = 0;
  while (bytes < max_bytes) {
    const std::optional<Key> taken = shards_->agenda_.TakeChange(changes.queues_size() == 0);
    if (!taken.has_value()) break;
    const Key& key = *taken;
    Shards::Shard& shard = shards_->ShardOf(key);
    MutexLock lock(shard.mutex);
    auto found = shard.slots.find(key);
    if (found == shard.slots.end()) continue;  // dropped meanwhile
    found->second->changed = false;            // a further change is a new one
    storage::v1::QueueProgress& proto = *changes.add_queues();
    FillRow({key.group, key.queue}, *found->second->queue, proto);
    bytes += proto.ByteSizeLong();
  }
  return changes.SerializeAsString();
}

void Progress::GiveBackChanges() {
  for (const Key& key : shards_->agenda_.GiveBack()) {
    Shards::Shard& shard = shards_->ShardOf(key);
    MutexLock lock(shard.mutex);
    auto found = shard.slots.find(key);
    if (found != shard.slots.end()) shards_->Changed(key, *found->second);
  }
}

void Progress::ChangesSaved(LogOffset record) {
  for (const Key& key : shards_->agenda_.Taken()) {
    if (!IsLite(key.queue)) continue;
    Shards::Shard& shard = shards_->ShardOf(key);
    MutexLock lock(shard.mutex);
    auto found = shard.slots.find(key);
    if (found == shard.slots.end()) continue;
    found->second->saved_at = record;
    shards_->agenda_.AddIdle(key, record);
  }
}

void Progress::ForgetIdle(LogOffset dispatched) {
  const size_t keep = shards_->options_.max_idle_lite_topics;
  while (const std::optional<Key> key = shards_->agenda_.TakeIdle(keep, dispatched)) {
    shards_->ForgetIfIdle(*key, dispatched);
  }
}

void Progress::DropQueue(GroupId group, QueueKey queue) {
  const Key key{group, queue};
  Shards::Shard& shard = shards_->ShardOf(key);
  MutexLock lock(shard.mutex);
  if (shard.slots.erase(key) > 0) shards_->agenda_.Announce(key, std::nullopt);
}

void Progress::DropGroup(GroupId group) {
  shards_->Drop([group](const Key& key) { return key.group == group; });
}

void Progress::DropTopic(TopicId topic) {
  shards_->Drop([topic](const Key& key) { return key.queue.topic == topic; });
}

}  // namespace dunlin::broker
