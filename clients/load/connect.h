// Connect: the SDK's client for a target.

#pragma once

#include "absl/status/statusor.h"
#include "dunlin/client.h"

#include "clients/load/load.h"

namespace dunlin::load {

absl::StatusOr<Client> Connect(const Target& target);

}  // namespace dunlin::load
