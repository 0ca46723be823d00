// CoordinationOf: what a group's Lease says: who is master, in which epoch, who is in sync, and who
// the members are.
//
// The group's replicators write it (docs/replication.md): annotation dunlin.dev/record, the
// record as JSON of proto/dunlin/coordination/v1, and dunlin.dev/holder while one of them is
// master. Pure; any thread.

#pragma once

#include <optional>

#include "operator/k8s/json.h"
#include "operator/planner/observed.h"

namespace dunlin::op {

// A Lease without a record is a group that never had a master. nullopt: it says what nobody here
// writes.
std::optional<Coordination> CoordinationOf(const k8s::Json& lease);

}  // namespace dunlin::op
