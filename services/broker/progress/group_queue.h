// GroupQueue: how far one consumer group is in one queue; a pure state machine without lock or
// clock.
//
// Everything below the cursor is done, or in flight: delivered, with a lease that runs (hidden
// until `visible_at`) or has ended (to be delivered again). Operations cost O(log n) of what is in
// flight.

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
#include <vector>

#include "services/base/clock.h"
#include "services/base/strong_int.h"

namespace dunlin::broker {

class GroupQueue {
 public:
  using Client = std::shared_ptr<const std::string>;

  // A message that was delivered and is not done.
  struct InFlight {
    uint32_t attempts = 0;  // deliveries so far
    Timestamp visible_at;   // end of the lease: deliverable again from then on
    uint64_t lease_id = 0;
    Client renewed_for;   // whose life renews the lease; null: it just ends
    Timestamp leased_at;  // of the current lease, before any renewal
  };
  using Entry = std::pair<const QueueOffset, InFlight>;

  explicit GroupQueue(QueueOffset cursor) : cursor_(cursor) {}

  QueueOffset cursor() const { return cursor_; }
  QueueOffset committed() const { return in_flight_.empty() ? cursor_ : in_flight_.begin()->first; }
  const std::map<QueueOffset, InFlight>& in_flight() const { return in_flight_; }
  // When the next lease ends (or ended).
  std::optional<Timestamp> NextVisible() const;
  // When the first lease that runs at `now` ends.
  std::optional<Timestamp> NextVisibleAfter(Timestamp now) const;
  // Messages whose lease has ended.
  size_t CountVisible(Timestamp now) const;

  // Puts back an entry as it was saved. REQUIRES: `offset` is below the cursor.
  void Restore(QueueOffset offset, const InFlight& entry);

  // Everything below `min` has expired: nothing of it is delivered any more.
  void Expire(QueueOffset min);
  // Everything from `cursor` on is to be delivered, nothing below it.
  void Reset(QueueOffset cursor);

  struct Terms {
    uint64_t lease_id = 0;
    Timestamp visible_at;
    Timestamp now;
    Client renewed_for;
  };
  // Delivers the message whose lease ended first, at or before terms.now; null when there is none.
  const Entry* Redeliver(const Terms& terms);
  // Delivers the message at the cursor.
  const Entry* DeliverNext(const Terms& terms);

  // The entry if its current lease is `lease_id`.
  const Entry* FindLease(QueueOffset offset, uint64_t lease_id) const;
  // Ends a flight. False when the message is not in flight.
  bool Finish(QueueOffset offset);
  // Changes the terms of the current lease; `uncount` takes the last delivery out of the count.
  void Change(QueueOffset offset, const Terms& terms, bool uncount);

  // Extends leases that end at or before `until` and belong to a living client by `step`, to at
  // most `total` after they began. How many.
  size_t Renew(Timestamp now, Timestamp until, std::chrono::milliseconds step,
               std::chrono::milliseconds total,
               const std::function<bool(std::string_view)>& is_alive);
  // Leases kept for `client` end no later than `at`. How many.
  size_t Release(const std::string& client, Timestamp at);

 private:
  void Move(QueueOffset offset, InFlight& entry, Timestamp visible_at);

  QueueOffset cursor_;
  std::map<QueueOffset, InFlight> in_flight_;
  std::set<std::pair<Timestamp, QueueOffset>> by_end_;  // (visible_at, offset) of in_flight_
};

}  // namespace dunlin::broker
