#include "services/replicator/roles/lease.h"

#include <algorithm>

namespace dunlin::replicator {

void LeaseClock::Extend(Instant sent, Duration ttl) {
  if (ttl == Duration::max()) {
    until_ = kNever;
    renew_at_ = kNever;
    return;
  }
  if (until_ >= sent + (ttl - ttl / 8)) return;
  until_ = sent + (ttl - ttl / 8);
  renew_at_ = sent + ttl / 4;
}

}  // namespace dunlin::replicator
