// Between the messages of dunlin.replication.v1 and the values that the roles work with. Pure.

#pragma once

#include "absl/status/statusor.h"

#include "proto/dunlin/replication/v1/replication.pb.h"
#include "services/replicator/roles/types.h"

namespace dunlin::replicator {

namespace v1 = dunlin::replication::v1;

// Everything but what authentication and credit need.
v1::Hello ToWire(const Hello& hello);
// INVALID_ARGUMENT when the epochs are not in order, or go beyond the end.
absl::StatusOr<Hello> FromWire(const v1::Hello& hello);

v1::Start ToWire(const StreamStart& start);
// INVALID_ARGUMENT when no position is set.
absl::StatusOr<StreamStart> FromWire(const v1::Start& start);

v1::Ack ToWire(const Ack& ack);
// INVALID_ARGUMENT when more is flushed than received.
absl::StatusOr<Ack> FromWire(const v1::Ack& ack);

v1::PromiseResponse ToWire(const PromiseAnswer& answer);
PromiseAnswer FromWire(const v1::PromiseResponse& answer);

// All but the credential and the group.
v1::PledgeRequest ToWire(const PledgeRequest& request);
PledgeRequest FromWire(const v1::PledgeRequest& request);
v1::PledgeResponse ToWire(const PledgeAnswer& answer);
PledgeAnswer FromWire(const v1::PledgeResponse& answer);
// What the credential of the request proves.
std::string ArgumentOf(const v1::PledgeRequest& request);

}  // namespace dunlin::replicator
