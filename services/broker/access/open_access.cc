#include "services/broker/access/open_access.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "services/base/log.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"
#include "services/broker/access/super_user_file.h"

namespace dunlin::broker {
namespace {

// Users may have been made while everybody could make them: those that may do everything are named.
void LogUsers(const std::vector<std::shared_ptr<const User>>& users,
              const config::v1::AccessConfig& config, bool has_file) {
  std::vector<std::string> super;
  if (has_file) super.push_back(config.super_user() + " (by its file)");
  for (const auto& user : users) {
    if (user->super) super.push_back(user->name);
  }
  log::Info("access control is on; users: {}; those that may do everything: {}", users.size(),
            super.empty() ? "none" : fmt::format("{}", fmt::join(super, ", ")));
  if (users.empty() && !has_file) {
    log::Warning(
        "access control is on and there is no user: all calls are refused; "
        "access.super_user_secret_file gives access.super_user a secret");
  }
}

}  // namespace

absl::StatusOr<AccessControl> OpenAccess(const config::v1::AccessConfig& config, FileSystem& files,
                                         const UserTable& users) {
  if (!config.enabled()) {
    if (!config.super_user_secret_file().empty()) {
      log::Warning(
          "access.super_user_secret_file is set, and access.enabled is not: everybody may do "
          "everything");
    }
    return AccessControl();
  }
  std::shared_ptr<const SuperUserFile> super_user;
  if (!config.super_user_secret_file().empty()) {
    absl::StatusOr<std::unique_ptr<SuperUserFile>> opened =
        SuperUserFile::Open(files, config.super_user(), config.super_user_secret_file());
    if (!opened.ok()) {
      return absl::Status(opened.status().code(),
                          ToAbsl(fmt::format("access.super_user_secret_file: {}",
                                             std::string(opened.status().message()))));
    }
    super_user = *std::move(opened);
  }
  LogUsers(users.Users(), config, super_user != nullptr);
  return AccessControl(users, std::move(super_user));
}

}  // namespace dunlin::broker
