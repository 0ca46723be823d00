// StandInBroker: the admin service of a master, as far as users go: keeps them, and with access
// control answers nobody but who signs as its super user.
//
// In plaintext. Thread-safe.

#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "proto/dunlin/admin/v1/admin.grpc.pb.h"
#include "services/base/mutex.h"
#include "services/base/request_signature.h"

namespace dunlin::op {

class StandInBroker final : public admin::v1::AdminService::Service {
 public:
  // Of the group `name` of DefaultCluster. `address`: host:port; port 0: any.
  StandInBroker(std::string name, const std::string& address);
  ~StandInBroker() override { server_->Shutdown(); }

  // 127.0.0.1:PORT.
  std::string Address() const;
  // From now on; empty: there is no access control.
  void SetSuperUser(Credentials credentials) ABSL_LOCKS_EXCLUDED(mutex_);
  // What changes are answered with from now on; OK: they are done.
  void SetAnswer(grpc::Status answer) ABSL_LOCKS_EXCLUDED(mutex_);

  // With its secret; nullopt: there is none.
  std::optional<admin::v1::User> UserOf(const std::string& name) const ABSL_LOCKS_EXCLUDED(mutex_);
  // As somebody would with dunlinctl.
  void Put(const admin::v1::User& user) ABSL_LOCKS_EXCLUDED(mutex_);
  // Calls that came, refused ones included.
  int Calls() const ABSL_LOCKS_EXCLUDED(mutex_);

  grpc::Status GetBroker(grpc::ServerContext* context, const admin::v1::GetBrokerRequest* request,
                         admin::v1::Broker* response) override;
  grpc::Status CreateUser(grpc::ServerContext* context, const admin::v1::CreateUserRequest* request,
                          admin::v1::User* response) override;
  grpc::Status UpdateUser(grpc::ServerContext* context, const admin::v1::UpdateUserRequest* request,
                          admin::v1::User* response) override;
  grpc::Status GetUser(grpc::ServerContext* context, const admin::v1::GetUserRequest* request,
                       admin::v1::User* response) override;
  grpc::Status DeleteUser(grpc::ServerContext* context, const admin::v1::DeleteUserRequest* request,
                          admin::v1::DeleteUserResponse* response) override;

 private:
  grpc::Status Check(const grpc::ServerContext& context) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void Show(const admin::v1::User& user, admin::v1::User& response);

  const std::string name_;
  mutable Mutex mutex_;
  Credentials super_user_ ABSL_GUARDED_BY(mutex_);
  grpc::Status answer_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, admin::v1::User> users_ ABSL_GUARDED_BY(mutex_);
  int calls_ ABSL_GUARDED_BY(mutex_) = 0;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace dunlin::op
