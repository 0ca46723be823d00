#include "services/replicator/roles/vacancy.h"

#include <algorithm>

namespace dunlin::replicator {

void Vacancy::Observe(const GroupView& view, Instant now) {
  if (view.lease.has_value()) {
    since_.reset();
    asked_until_ = Instant();
  } else if (!since_.has_value()) {
    since_ = now;
  }
}

// The former master, who needs nobody's place, and who was chosen by a switchover stand at once;
// so does everybody in a group that never had a master.
Instant Vacancy::StandsAt(const MemberOptions& options, const GroupView& view, Instant now) const {
  const bool held_up = view.record.has_value() && view.record->master != options.name &&
                       view.record->preferred != options.name && now >= asked_until_;
  if (!held_up) return Instant();
  if (options.manual_election || !since_.has_value()) return kNever;
  return *since_ + options.election_delay;
}

Instant Vacancy::UncleanAt(const MemberOptions& options) const {
  if (!options.unclean_after.has_value() || !since_.has_value()) return kNever;
  return *since_ + *options.unclean_after;
}

}  // namespace dunlin::replicator
