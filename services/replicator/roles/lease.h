// LeaseClock: until when the master may acknowledge, by its own clock.
//
// A lease counts from before the request that got it was sent, less an eighth for clocks that do
// not run at the same rate. So it is over here before the coordinator can give it to another.

#pragma once

#include "services/replicator/coordinator/instant.h"

namespace dunlin::replicator {

class LeaseClock {
 public:
  // Elect or KeepAlive was answered. An answer that is overtaken never shortens the lease.
  void Extend(Instant sent, Duration ttl);
  // Given up or lost: it is over at once.
  void End() { *this = LeaseClock(); }

  Instant until() const { return until_; }
  bool HeldAt(Instant now) const { return now < until_; }
  // When the next KeepAlive should leave: three fit into a lease.
  Instant RenewAt() const { return renew_at_; }

 private:
  Instant until_{};  // the past
  Instant renew_at_ = kNever;
};

}  // namespace dunlin::replicator
