// OpenAccess: access control as it is configured.

#pragma once

#include "absl/status/statusor.h"

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/file.h"
#include "services/broker/access/access_control.h"

namespace dunlin::broker {

// Both must outlive it. Errors: those of SuperUserFile::Open.
absl::StatusOr<AccessControl> OpenAccess(const config::v1::AccessConfig& config, FileSystem& files,
                                         const UserSource& users);

}  // namespace dunlin::broker
