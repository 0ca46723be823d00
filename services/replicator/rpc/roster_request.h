// ChangeMembersRequest as what it asks for, and back.

#pragma once

#include "absl/status/statusor.h"

#include "proto/dunlin/replication/v1/replication.pb.h"
#include "services/replicator/roles/roster_change.h"

namespace dunlin::replicator {

// INVALID_ARGUMENT: a name or an address that can be none, or no change at all.
absl::StatusOr<RosterChange> RosterChangeOf(
    const dunlin::replication::v1::ChangeMembersRequest& request);
// Group and credential are left out.
dunlin::replication::v1::ChangeMembersRequest RequestOf(const RosterChange& change);

}  // namespace dunlin::replicator
