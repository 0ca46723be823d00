// What a member of a broker group is to name services when it is not the master.

#pragma once

#include "absl/status/statusor.h"

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/broker/broker.h"
#include "services/store/log/control_page.h"

namespace dunlin::broker {

// What the group's record says, as the replicator has put it on the control page (`said`). Before
// that, and for good in a group without a record: the id of a member is its place in
// replication.members, from 1 on; who comes first there stands in first for a missing master.
// Names that are added at the end change no id. UNAVAILABLE: only the record knows the member.
absl::StatusOr<Broker::Standing> StandingOf(const config::v1::ReplicationConfig& config,
                                            store::MemberStanding said);

}  // namespace dunlin::broker
