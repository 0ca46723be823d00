// UserAdmin: commands about users. Errors as of Admin.

#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/admin/v1/admin.pb.h"
#include "services/broker/access/access_control.h"
#include "services/broker/access/user_table.h"

namespace dunlin::broker {

class UserAdmin {
 public:
  // Both must outlive it.
  UserAdmin(UserTable& users, const AccessControl& access) : users_(users), access_(access) {}

  absl::StatusOr<admin::v1::User> Create(const admin::v1::CreateUserRequest& request);
  absl::StatusOr<admin::v1::User> Update(const admin::v1::UpdateUserRequest& request);
  absl::StatusOr<admin::v1::User> Get(const admin::v1::GetUserRequest& request) const;
  absl::StatusOr<admin::v1::ListUsersResponse> List(
      const admin::v1::ListUsersRequest& request) const;
  absl::Status Delete(const admin::v1::DeleteUserRequest& request);

 private:
  UserTable& users_;
  const AccessControl& access_;
};

}  // namespace dunlin::broker
