// A user as an object of the cluster: made at all chosen broker groups, or at none; changed and
// deleted at all of them, and compared when it is shown.

#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "clients/cli/connection.h"

namespace dunlin::cli {

using ShowUser = std::function<void(const Connection& at, const admin::v1::User&)>;

// On success `shown` is called with what was made, which is the same everywhere.
int CreateUserEverywhere(Connection& connection, const admin::v1::User& user,
                         const ShowUser& shown);

struct UserChange {
  std::string name;
  std::function<void(admin::v1::User&)> apply;
  // How to do at a group that is left what was done at the others: "the same with".
  std::string again;
};
// At all that have it, each from what is there, so that what is not changed stays as it is. When
// one does not do it, or has no such user, says group by group what is where, and how to go on.
// `changed`: whether the change is in force anywhere, or may be.
int UpdateUserEverywhere(Connection& connection, const UserChange& change, const ShowUser& shown,
                         bool& changed);

// Shows it at each group, and says where it is not the same.
int GetUserEverywhere(Connection& connection, const std::string& name, const ShowUser& show);
int DeleteUserEverywhere(Connection& connection, const std::string& name);

// What groups say of one user; null: there is none.
using UserByGroup = std::vector<std::pair<std::string, std::unique_ptr<admin::v1::User>>>;
// In what the groups differ from the first that has the user, one phrase each: "b: other rules".
std::vector<std::string> DifferencesOf(const UserByGroup& users);

}  // namespace dunlin::cli
