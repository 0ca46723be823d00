// Users as the log and the state store have them.

#pragma once

#include "absl/status/statusor.h"

#include "proto/dunlin/storage/v1/storage.pb.h"
#include "services/broker/access/user.h"

namespace dunlin::broker {

storage::v1::User RowOf(const User& user);
// INVALID_ARGUMENT: a version that allows more has written it.
absl::StatusOr<User> UserOf(const storage::v1::User& row);

}  // namespace dunlin::broker
