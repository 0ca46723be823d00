#include "services/broker/access/open_access.h"

#include <memory>
#include <utility>

#include "services/base/status_macros.h"
#include "services/broker/access/super_user_file.h"

namespace dunlin::broker {

absl::StatusOr<AccessControl> OpenAccess(const config::v1::AccessConfig& config, FileSystem& files,
                                         const UserSource& users) {
  if (!config.enabled()) return AccessControl();
  std::shared_ptr<const SuperUserFile> super_user;
  if (!config.super_user_secret_file().empty()) {
    ASSIGN_OR_RETURN(super_user, SuperUserFile::Open(files, config.super_user(),
                                                     config.super_user_secret_file()));
  }
  return AccessControl(users, std::move(super_user));
}

}  // namespace dunlin::broker
