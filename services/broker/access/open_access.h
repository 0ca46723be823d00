// OpenAccess: access control as it is configured.

#pragma once

#include "absl/status/statusor.h"

#include "proto/dunlin/config/v1/config.pb.h"
#include "services/base/file.h"
#include "services/broker/access/access_control.h"
#include "services/broker/access/user_table.h"

namespace dunlin::broker {

// Both must outlive it. Logs whether there is any, who may do everything, and settings that make no
// sense together. Errors: those of SuperUserFile::Open, with the name of the setting.
absl::StatusOr<AccessControl> OpenAccess(const config::v1::AccessConfig& config, FileSystem& files,
                                         const UserTable& users);

}  // namespace dunlin::broker
