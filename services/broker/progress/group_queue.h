// GroupQueue: how far one consumer group is in one queue; a pure state machine without lock or
// clock. ConcurrentQueue and OrderedQueue decide what is delivered next; what a lease is, is here.
//
// Everything below the cursor is done or has an entry: in flight (delivered, with a lease that
// runs, hidden until `visible_at`, or has ended) or, in an ordered queue, waiting for its turn.
// Operations cost O(log n) of what has an entry.

#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_set.h"

#include "services/base/clock.h"
#include "services/base/strong_int.h"

namespace dunlin::broker {

class GroupQueue {
 public:
  using Client = std::shared_ptr<const std::string>;

  // A message below the cursor that is not done.
  struct InFlight {
    uint32_t attempts = 0;  // deliveries so far
    Timestamp visible_at;   // end of the lease: deliverable again from then on
    uint64_t lease_id = 0;
    Client renewed_for;   // whose life renews the lease; null: it just ends
    Timestamp leased_at;  // of the current lease, before any renewal
    // Of OrderedQueue: which messages it is in order with, and whether it was acknowledged before
    // one of them that comes first.
    uint32_t lane = 0;
    bool acknowledged = false;

    // Looked at, never delivered.
    bool waits() const { return lease_id == 0 && attempts == 0; }
  };
  using Entry = std::pair<const QueueOffset, InFlight>;

  virtual ~GroupQueue() = default;

  virtual bool ordered() const { return false; }
  QueueOffset cursor() const { return cursor_; }
  QueueOffset committed() const { return in_flight_.empty() ? cursor_ : in_flight_.begin()->first; }
  const std::map<QueueOffset, InFlight>& in_flight() const { return in_flight_; }
  // When there is the next thing to do: a message to deliver, a lease that ends (or ended).
  virtual std::optional<Timestamp> NextVisible() const;
  // When the first lease that runs at `now` ends.
  std::optional<Timestamp> NextVisibleAfter(Timestamp now) const;
  // Leases that run at `now`, and that have ended.
  struct Counts {
    size_t leased = 0;
    size_t ended = 0;
  };
  Counts Count(Timestamp now) const;

  // Puts back an entry as it was saved, in ascending order. REQUIRES: `offset` is below the cursor.
  void Restore(QueueOffset offset, const InFlight& entry);

  // Everything below `min` has expired: nothing of it is delivered any more.
  void Expire(QueueOffset min, Timestamp now);
  // Everything from `cursor` on is to be delivered, nothing below it.
  void Reset(QueueOffset cursor);
  // The first `count` messages below `end` that are not done are, from now on; how many that were.
  uint64_t Skip(uint64_t count, QueueOffset end, Timestamp now);

  struct Terms {
    uint64_t lease_id = 0;
    Timestamp visible_at;
    Timestamp now;
    Client renewed_for;
  };

  // The entry if its current lease is `lease_id`.
  const Entry* FindLease(QueueOffset offset, uint64_t lease_id) const;
  // The consumer is done with the message. REQUIRES: FindLease finds it.
  virtual void Acknowledge(QueueOffset offset, Timestamp now);
  // Nobody is to get the message (any more). False when it has no entry.
  bool Finish(QueueOffset offset, Timestamp now);
  // Changes the terms of the current lease; `uncount` takes the last delivery out of the count.
  void Change(QueueOffset offset, const Terms& terms, bool uncount);

  struct Renewal {
    Timestamp now;
    Timestamp until;
    std::chrono::milliseconds step{0};
    std::chrono::milliseconds total{0};
    std::function<std::chrono::milliseconds(uint32_t attempt)> retry_delay;
  };
  // Extends leases that end at or before `until` and belong to a living client by `step`, to at
  // most `total` after they began; then, for the last time, by the retry delay. How many.
  size_t Renew(const Renewal& renewal, const std::function<bool(std::string_view)>& is_alive);
  // Leases kept for one of `clients` end no later than `at`. How many.
  size_t Release(const absl::flat_hash_set<std::string>& clients, Timestamp now, Timestamp at);

  // Whether since the last call something became deliverable by anything but time.
  bool TakeUnlocked() { return std::exchange(unlocked_, false); }
  void Unlock() { unlocked_ = true; }

 protected:
  explicit GroupQueue(QueueOffset cursor) : cursor_(cursor) {}

  // An entry for the message at the cursor, which moves on; with its lease, unless it waits.
  Entry& Add(InFlight entry);
  void Lease(Entry& entry, const Terms& terms);
  void Move(Entry& entry, Timestamp visible_at);
  // Ends the lease without another one.
  void EndLease(Entry& entry) { by_end_.erase({entry.second.visible_at, entry.first}); }

  // An entry has come (restored) or is about to go.
  virtual void Entering(Entry& /*entry*/) {}
  virtual void Leaving(Entry& /*entry*/) {}
  virtual void Clear() {}
  // Entries of `lane` have gone, or their leases have changed.
  virtual void Touched(uint32_t /*lane*/, Timestamp /*now*/) {}

  QueueOffset cursor_;
  std::map<QueueOffset, InFlight> in_flight_;
  std::set<std::pair<Timestamp, QueueOffset>> by_end_;  // (visible_at, offset) of leases
  bool unlocked_ = false;

 private:
  void Erase(std::map<QueueOffset, InFlight>::iterator entry);
};

}  // namespace dunlin::broker
