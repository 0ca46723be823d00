// Progress: how far each consumer group is in each queue; leases, attempts, redelivery.
//
// Owns the in-memory truth of what is delivered and not yet acknowledged. A queue's progress is
// loaded from the state store on first use; changes are collected and leave as the payload of
// PROGRESS records, at most ~100 ms late: a crash can repeat a delivery, never lose one.
//
// Thread-safe; one lock per (group, topic), or lightweight topic; no lock is held across I/O except
// the first load of a queue. Decisions are those of GroupQueue (group_queue.h), a pure state
// machine. A queue is kept in the way its group last took from it, in order or not; when that
// changes, it goes back to the first message that is not done: what was done behind that one comes
// again.

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/clock.h"
#include "services/base/strong_int.h"
#include "services/broker/progress/group_queue.h"
#include "services/broker/progress/ordered_queue.h"
#include "services/broker/progress/receipt_handle.h"
#include "services/store/index/queue_index.h"
#include "services/store/state/state_store.h"

namespace dunlin::broker {

struct ProgressOptions {
  // Delivered and unacknowledged messages per group and queue; more are not handed out.
  uint32_t max_in_flight = 10'000;
  // Messages per queue that an ordered group looks at before their turn: so far it sees past
  // message groups that are in flight.
  uint32_t max_waiting = 4'096;
  // Auto-renewed leases: length of a step, and for how long in all.
  std::chrono::milliseconds renew_step = std::chrono::seconds(60);
  std::chrono::milliseconds renew_total = std::chrono::hours(3);
  // Before the next delivery, after the attempt of this number: for messages whose leases were
  // renewed for as long as may be. Empty: none. Called under a lock: must not call back.
  std::function<std::chrono::milliseconds(GroupId group, uint32_t attempt)> retry_delay;
  // Lightweight topics, of all groups, whose progress is kept in memory although nothing of them is
  // in flight; it is read again when it is needed.
  size_t max_idle_lite_topics = 65'536;
  // Of a slave: the state store changes by itself and is right; a queue is read from it whenever it
  // is asked for. Only what looks may be called then.
  bool follows = false;
  // Called, on any thread and without a lock, when messages became deliverable by anything but
  // time: TakeDue() and TakeDueLite() name them. May be empty.
  std::function<void()> on_unlocked;
};

// What a group may have in flight in one topic, all of its queues together.
struct InFlightLimit {
  uint32_t most = 0;
  uint32_t queues = 0;   // of the topic
  bool reached = false;  // set when there is no room for any more
};

struct ReserveRequest {
  GroupId group;
  QueueKey queue;
  store::QueueBounds bounds;  // of the queue, now
  // Where a group starts in a queue it never consumed from.
  QueueOffset start;
  size_t limit = 1;
  uint32_t max_attempts = 17;
  std::chrono::milliseconds invisible{0};  // length of the lease; ignored when auto_renew
  bool auto_renew = false;
  std::string_view client_id;            // whose life keeps auto-renewed leases alive
  InFlightLimit* group_limit = nullptr;  // null: none
};

struct Reservation {
  ReceiptHandle handle;
  // The message has been delivered max_attempts times already: it must become a dead letter
  // instead of being delivered (then Finish), handle.attempt being one too many.
  bool exhausted = false;
  // Of an ordered group: see OrderedQueue. What is not handed out keeps back all of its lane.
  uint32_t lane = 0;
};

// What an ordered group asks for beyond a ReserveRequest.
struct OrderedRequest {
  std::string_view attempt_id;   // of the call; may be empty
  size_t lane_limit = SIZE_MAX;  // messages of one message group
  bool repeat = false;           // only what this attempt was given before and still holds
  // All messages of the queue are of one lane: none is looked at while any is in flight.
  bool one_lane = false;
  // Messages that were read before their turn, from `first` on, as `room` allowed last time.
  QueueOffset first;
  std::span<const LookedAt> ahead;
};

struct OrderedReserved {
  std::vector<Reservation> messages;
  // To get more: look at so many messages, or fewer, from there on.
  QueueOffset next;
  size_t room = 0;
};

class Progress {
 public:
  // All arguments must outlive the progress.
  Progress(const ProgressOptions& options, const store::StateStore& state, const Clock& clock);
  ~Progress();

  // Leases at most `limit` messages of one queue to one consumer: first those whose lease has
  // ended, by time, then new ones from the cursor on. Each counts as an attempt. The caller then
  // reads them without a lock and settles each: delivers it, or Finish()es it (filtered out,
  // damaged, dead letter), or Return()s it (no room).
  // Offsets below bounds.min have expired and are passed over.
  absl::Status Reserve(const ReserveRequest& request, std::vector<Reservation>& reserved);
  // The same for a group that consumes in order (ordered_queue.h). `reserved` is replaced.
  absl::Status ReserveInOrder(const ReserveRequest& request, const OrderedRequest& ordered,
                              OrderedReserved& reserved);

  // The message is done, whatever the state of its lease (filtered out, damaged, dead letter).
  void Finish(const ReceiptHandle& handle);
  // Takes the delivery back: it did not happen (`counts` false: the attempt is not counted) or
  // nobody received it; visible again after `delay`.
  void Return(const ReceiptHandle& handle, std::chrono::milliseconds delay, bool counts);

  // Acknowledges. OK also for a message that is done already while the handle's lease runs.
  // INVALID_RECEIPT_HANDLE when the lease has ended or was replaced.
  absl::Status Ack(const ReceiptHandle& handle);
  // Ends or extends the lease: visible again `invisible` from now. `suspend`: the next delivery
  // does not count as an attempt. The result replaces the handle. Errors as Ack.
  absl::StatusOr<ReceiptHandle> ChangeInvisible(const ReceiptHandle& handle,
                                                std::chrono::milliseconds invisible, bool suspend);
  // OK while the handle's lease runs and the message is not done. Errors as Ack.
  absl::Status CheckLease(const ReceiptHandle& handle) const;
  // True while the message is not done and was not delivered again since the delivery of `handle`,
  // whether or not its lease runs.
  bool IsPending(const ReceiptHandle& handle) const;
  // These consumers are gone: their auto-renewed leases end `delay` from now. Costs as much for one
  // as for all: looks at every queue.
  void ReleaseClients(const absl::flat_hash_set<std::string>& client_ids,
                      std::chrono::milliseconds delay);
  // Extends auto-renewed leases that are about to end, of clients that `is_alive`; others run out.
  // One that was renewed for renew_total ends a retry delay later, once and for all.
  void RenewLeases(const std::function<bool(std::string_view client_id)>& is_alive);

  // (group, topic) pairs that have messages whose lease ended since the last call; and when the
  // next lease ends (nullopt: none runs). Costs do not grow with queues that have nothing due.
  struct Due {
    GroupId group;
    TopicId topic;
    friend constexpr auto operator<=>(const Due&, const Due&) = default;
  };
  std::vector<Due> TakeDue();
  // The same of lightweight topics, which TakeDue() does not name, each by itself. Also those whose
  // messages in flight are all done: there may be more behind them.
  struct DueLite {
    GroupId group;
    QueueKey queue;
  };
  std::vector<DueLite> TakeDueLite();
  std::optional<Timestamp> NextDue() const;

  // First offset not done. OFFSET_NOT_FOUND when the group never consumed from the queue.
  absl::StatusOr<QueueOffset> CommittedOffset(GroupId group, QueueKey queue) const;
  // Everything below `offset` is done, everything from it on is to be delivered (again).
  absl::Status SetOffset(GroupId group, QueueKey queue, QueueOffset offset);

  // Changes what the group has of one queue by hand, under the queue's lock: `edit` gets the queue,
  // which begins at `start` when the group never consumed from it, and the number of a new lease.
  // When it fails, it must have changed nothing.
  using EditQueue = absl::FunctionRef<absl::Status(GroupQueue& queue, uint64_t lease)>;
  absl::Status Edit(GroupId group, QueueKey queue, QueueOffset start, EditQueue edit);
  // The same, only to look; null when the group never consumed from the queue.
  using LookAtQueue = absl::FunctionRef<void(const GroupQueue* queue)>;
  absl::Status Look(GroupId group, QueueKey queue, LookAtQueue look) const;

  // Numbers of one queue for monitoring; zeros when the group never consumed from it.
  struct Counts {
    QueueOffset committed;
    QueueOffset cursor;
    uint64_t in_flight = 0;  // leased now
    uint64_t retrying = 0;   // waiting for redelivery
    uint64_t waiting = 0;    // looked at by an ordered group, and waiting for their turn
  };
  absl::StatusOr<Counts> GetCounts(GroupId group, QueueKey queue) const;

  // Payload of the next PROGRESS record: serialised storage.v1.ProgressChanges of at most about
  // `max_bytes`, empty when nothing changed. What is taken must be appended, or given back.
  std::string TakeChanges(size_t max_bytes);
  // The last TakeChanges() was not appended: its queues count as changed again.
  void GiveBackChanges();
  // The last TakeChanges() was appended as this record.
  void ChangesSaved(LogOffset record);
  // The state store has every record below `dispatched`: progress in lightweight topics that is
  // there, and at rest, need not be in memory.
  void ForgetIdle(LogOffset dispatched);

  // Forgets a deleted group or topic, or a lightweight topic that was removed.
  void DropGroup(GroupId group);
  void DropTopic(TopicId topic);
  void DropQueue(GroupId group, QueueKey queue);

 private:
  class Shards;
  const std::unique_ptr<Shards> shards_;
};

}  // namespace dunlin::broker
