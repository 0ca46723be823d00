// OrderedQueue: a queue whose messages are delivered in the order of their message groups.
//
// A lane is what must be kept in order: the messages of one message group (of all with the same
// hash, so that a name costs four bytes; two groups that share a lane merely wait for each other).
// A lane gives out a batch of neighbours and then nothing, to anybody, while a message of that
// batch has a lease that runs and is not acknowledged. Acknowledgements count up to the first
// message that has none: once the lane is free, it begins again there, with all that was delivered
// behind it, acknowledged or not, and with nothing beyond. Other lanes do not notice.
//
// To find messages of other lanes behind one that is blocked, messages are looked at before their
// turn: the caller reads them at cursor() (this class reads nothing) and tells their lanes. Those
// that cannot be delivered yet wait in their lanes, an entry each. How many may wait is limited:
// memory is taken by what is in flight and by the window, however long the queue is and however
// many message groups it has.

#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"

#include "services/base/strings.h"
#include "services/broker/progress/group_queue.h"

namespace dunlin::broker {

// A message that was read before its turn.
struct LookedAt {
  uint32_t lane = 0;
  // Not for this group: the filter says so, or it cannot be read.
  bool passed_over = false;
};

class OrderedQueue final : public GroupQueue {
 public:
  struct Limits {
    size_t in_flight = 0;  // delivered and not done
    size_t waiting = 0;    // looked at, not delivered
  };
  OrderedQueue(QueueOffset cursor, const Limits& limits) : GroupQueue(cursor), limits_(limits) {}

  bool ordered() const override { return true; }
  size_t waiting() const { return waiting_; }
  std::optional<Timestamp> NextVisible() const override;

  // One take: `lease` with one number for all of its messages.
  struct Take {
    Terms lease;
    size_t limit = 1;
    size_t lane_limit = SIZE_MAX;  // of one lane; 1 or more
    uint32_t max_attempts = 17;
    // Names the call, for who repeats it without having seen the answer. May be empty.
    std::string_view attempt;
    Timestamp dead_until;  // hides a message that must become a dead letter
  };
  struct Delivered {
    const Entry* entry = nullptr;
    // It was delivered max_attempts times: it becomes a dead letter, and its lane waits for that.
    bool exhausted = false;
  };
  // Each appends to `out` until that has take.limit.

  // What the attempt of this name was given and still blocks, again: same messages, same counts.
  void Repeat(const Take& take, std::vector<Delivered>& out);
  // From lanes that are free, the one that became so first first.
  void DeliverReady(const Take& take, std::vector<Delivered>& out);
  // From the cursor on, as far as the caller looked; `first` is where it began. What is behind the
  // cursor by now was dealt with by somebody else.
  void DeliverAhead(QueueOffset first, std::span<const LookedAt> ahead, const Take& take,
                    std::vector<Delivered>& out);
  // How many messages may be looked at now, from the cursor on.
  size_t Room();

  // Of the message alone while one before it in its lane is not done.
  void Acknowledge(QueueOffset offset, Timestamp now) override;

 private:
  struct Lane {
    std::vector<Entry*> entries;  // ascending: what was delivered, then what waits
    Timestamp ready_at;           // free from then on; as in by_ready_
    std::string attempt;          // that has the batch; empty: unknown
  };

  void Entering(Entry& entry) override;
  void Leaving(Entry& entry) override;
  void Clear() override;
  void Touched(uint32_t lane, Timestamp now) override;

  void DeliverLane(uint32_t id, Lane& lane, const Take& take, std::vector<Delivered>& out);
  void Deliver(Entry& entry, const Take& take, std::vector<Delivered>& out);
  void SetReady(uint32_t id, Lane& lane, Timestamp ready_at);
  void SetAttempt(uint32_t id, Lane& lane, std::string_view attempt);
  void Drop(uint32_t id);

  const Limits limits_;
  absl::flat_hash_map<uint32_t, Lane> lanes_;          // those with entries
  std::set<std::pair<Timestamp, uint32_t>> by_ready_;  // (ready_at, lane) of each
  StringMap<std::vector<uint32_t>> attempts_;          // the lanes each was given
  size_t waiting_ = 0;
  bool full_ = false;  // something was left out for the limits
};

}  // namespace dunlin::broker
