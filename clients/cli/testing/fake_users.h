// The users of one broker, in the test's own process.

#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/request_signature.h"

namespace dunlin::cli {

// Users by name, and what goes wrong. Their secrets are kept as the fingerprints.
class FakeUsers final : public admin::v1::AdminService::Service {
 public:
  grpc::Status CreateUser(grpc::ServerContext* context, const admin::v1::CreateUserRequest* request,
                          admin::v1::User* made) override {
    Note(*context);
    if (!create_fails.ok()) return create_fails;
    *made = Stored(request->user());
    users[made->name()] = *made;
    return grpc::Status::OK;
  }
  grpc::Status UpdateUser(grpc::ServerContext* context, const admin::v1::UpdateUserRequest* request,
                          admin::v1::User* updated) override {
    Note(*context);
    const auto user = users.find(request->user().name());
    if (user == users.end()) return NotThere();
    if (!update_fails.ok()) return update_fails;
    const std::string before = user->second.secret_fingerprint();
    user->second = Stored(request->user());
    if (request->user().secret().empty()) user->second.set_secret_fingerprint(before);
    *updated = user->second;
    return grpc::Status::OK;
  }
  grpc::Status GetUser(grpc::ServerContext* context, const admin::v1::GetUserRequest* request,
                       admin::v1::User* found) override {
    Note(*context);
    if (!get_fails.ok()) return get_fails;
    const auto user = users.find(request->name());
    if (user == users.end()) return NotThere();
    *found = user->second;
    return grpc::Status::OK;
  }
  grpc::Status ListUsers(grpc::ServerContext* context, const admin::v1::ListUsersRequest* /*all*/,
                         admin::v1::ListUsersResponse* response) override {
    Note(*context);
    for (const auto& [name, user] : users) *response->add_users() = user;
    return grpc::Status::OK;
  }
  grpc::Status DeleteUser(grpc::ServerContext* context, const admin::v1::DeleteUserRequest* request,
                          admin::v1::DeleteUserResponse* /*response*/) override {
    Note(*context);
    if (!delete_fails.ok()) return delete_fails;
    return users.erase(request->name()) > 0 ? grpc::Status::OK : NotThere();
  }

  std::map<std::string, admin::v1::User> users;
  grpc::Status create_fails;
  grpc::Status update_fails;
  grpc::Status get_fails;
  grpc::Status delete_fails;
  // Headers of each call.
  std::vector<std::pair<std::string, std::string>> signatures;

 private:
  static grpc::Status NotThere() { return {grpc::StatusCode::NOT_FOUND, "no such user"}; }
  static admin::v1::User Stored(const admin::v1::User& user) {
    admin::v1::User stored = user;
    stored.set_secret_fingerprint(user.secret());
    stored.clear_secret();
    return stored;
  }
  void Note(const grpc::ServerContext& context) {
    auto& [date_time, authorization] = signatures.emplace_back();
    for (const auto& [key, value] : context.client_metadata()) {
      if (key == kDateTimeHeader) date_time.assign(value.data(), value.size());
      if (key == kAuthorizationHeader) authorization.assign(value.data(), value.size());
    }
  }
};

}  // namespace dunlin::cli
