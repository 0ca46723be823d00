// Taker: gets messages out of the log for a consumer: leases them, filters, reads, verifies.
//
// For a group that consumes in order it reads ahead of the leases: which message group a message is
// of stands in its record, which is read anyway when the message goes out. An index of message
// groups would cost every topic bytes and every send work, to spare a second look at those that
// must wait.
//
// Thread-safe; keeps nothing between calls. No lock is held while the log is read. What cannot be
// read because it is damaged or has expired is passed over, counted and logged, never delivered.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "services/broker/delivery/dead_letters.h"
#include "services/broker/filter/message_filter.h"
#include "services/broker/progress/progress.h"
#include "services/broker/topics/topic_table.h"
#include "services/store/dispatch/dispatcher.h"
#include "services/store/log/commit_log.h"

namespace dunlin::broker {

// The lightweight topics in which there may be something for a consumer, by their queues.
class LiteQueues {
 public:
  // The next one to look into; it stays what it is until the next call.
  virtual std::optional<uint32_t> Next() = 0;
  // That one was not looked at to its end.
  virtual void LookAgain(uint32_t queue) = 0;

 protected:
  ~LiteQueues() = default;
};

// What one ReceiveMessage asks for.
struct Subscription {
  std::shared_ptr<const Group> group;
  std::shared_ptr<const Topic> topic;
  MessageFilter filter;
  size_t batch = 1;
  size_t bytes = 8u << 20;  // of payload; one message may go beyond it
  std::chrono::milliseconds invisible{0};
  bool auto_renew = false;
  std::string client_id;
  // For ordered groups: the name of the call, if it has one; and how many neighbours of a message
  // group it may get.
  std::string attempt_id;
  size_t message_group_batch = SIZE_MAX;
  // Instead of the queues of the topic; each is delivered in its order. Null: none.
  LiteQueues* lite = nullptr;
};

// What one PullMessage asks for: messages of one queue from `offset` on.
struct Reading {
  std::shared_ptr<const Topic> topic;
  uint32_t queue = 0;
  QueueOffset offset;
  size_t batch = 1;
  MessageFilter filter;
  std::shared_ptr<const Group> group;  // that reads; null: none, which sees what is for any group
};

// A message on its way to a consumer.
struct Delivered {
  ReceiptHandle handle;       // queue, offset, attempt; a lease unless it was pulled
  store::RecordView message;  // the MESSAGE record
  bool dead_letter = false;   // it stands in a dead-letter topic: show where it came from
  bool pointed_to = false;    // a DELIVERY record led to it: the log has it at another place
  GroupId only_group;         // a dead letter sent again: for this group alone; 0: for all
};

class Taker {
 public:
  // All arguments must outlive the taker.
  Taker(store::CommitLog& log, const store::Dispatcher& dispatcher, Progress& progress,
        DeadLetters& dead_letters);

  // `exhausted`: nothing more is there now; otherwise the batch or the budget of one call is full.
  // `throttled`: the limits of the group allow no more now. A group that is paused gets nothing.
  struct Taken {
    std::vector<Delivered> messages;
    bool exhausted = true;
    bool throttled = false;
  };
  Taken Take(const Subscription& subscription);

  // Where the group begins in a queue, if it never consumed from it. May read the log.
  QueueOffset StartOf(const Group& group, QueueKey queue) const;

  // Without leases; `next` is where to go on. `throttled`, and a group that is paused, as above.
  // Errors: ILLEGAL_OFFSET when the offset is outside the queue.
  struct Pulled {
    std::vector<Delivered> messages;
    QueueOffset next;
    bool throttled = false;
  };
  absl::StatusOr<Pulled> Pull(const Reading& reading);

  // The MESSAGE record that an index entry leads to, directly or through a DELIVERY record.
  absl::StatusOr<Delivered> ReadEntry(const store::IndexEntry& entry) const;

  // Messages passed over because their record is damaged.
  uint64_t damaged() const { return damaged_.load(std::memory_order_relaxed); }

 private:
  struct Budget;
  class Ahead;
  // Where to look first, and whether to go on downwards.
  struct Path {
    uint32_t first = 0;
    bool down = false;
  };
  static Path PathOf(const Subscription& subscription);
  static ReserveRequest RequestOf(const Subscription& subscription, uint32_t queue, Budget& budget);
  void SetBounds(const Subscription& subscription, ReserveRequest& request) const;
  void TakeFromQueue(const Subscription& subscription, uint32_t queue, Budget& budget,
                     std::vector<Delivered>& messages);
  void TakeInOrder(const Subscription& subscription, uint32_t queue, Budget& budget,
                   std::vector<Delivered>& messages);
  void TakeLite(const Subscription& subscription, Budget& budget, Taken& taken);
  // What an attempt was given before, in all queues.
  void TakeAgain(const Subscription& subscription, Budget& budget,
                 std::vector<Delivered>& messages);
  // Reads at most `limit` messages from `from` on.
  void LookAhead(const Subscription& subscription, QueueKey queue, QueueOffset from, size_t limit,
                 Budget& budget, Ahead& ahead);
  // Hands out what was leased, or gives it back. Of `ahead` what was read already.
  void SettleAll(const Subscription& subscription, const std::vector<Reservation>& reserved,
                 Ahead* ahead, Budget& budget, std::vector<Delivered>& messages);
  // False: the message is neither on its way nor done.
  bool Settle(const Subscription& subscription, const Reservation& reservation,
              const store::IndexEntry* entry, Budget& budget, std::vector<Delivered>& messages);
  bool HandOut(const Subscription& subscription, const Reservation& reservation, Delivered message,
               Budget& budget, std::vector<Delivered>& messages);
  // Reads and filters for `reader`; nullopt when the message is to be passed over. Takes what the
  // filter looked at off `search`.
  std::optional<Delivered> ReadMatching(const Topic& topic, const store::IndexEntry& entry,
                                        const MessageFilter& filter, GroupId reader,
                                        size_t& search);

  store::CommitLog& log_;
  const store::Dispatcher& dispatcher_;
  Progress& progress_;
  DeadLetters& dead_letters_;
  std::atomic<uint64_t> damaged_{0};
};

}  // namespace dunlin::broker
