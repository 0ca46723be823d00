#include "operator/controller/testing/stand_in_broker.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "services/base/check.h"

namespace dunlin::op {
namespace {

namespace v1 = admin::v1;
using grpc::StatusCode;

std::string_view HeaderOf(const grpc::ServerContext& context, const char* name) {
  const auto found = context.client_metadata().find(name);
  if (found == context.client_metadata().end()) return {};
  return {found->second.data(), found->second.size()};
}

grpc::Status NoSuchUser(const std::string& name) {
  return {StatusCode::NOT_FOUND, fmt::format("there is no user {}", name)};
}

}  // namespace

StandInBroker::StandInBroker(std::string name, const std::string& address)
    : name_(std::move(name)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  CHECK(server_ != nullptr, address);
}

std::string StandInBroker::Address() const { return fmt::format("127.0.0.1:{}", port_); }

void StandInBroker::SetSuperUser(Credentials credentials) {
  MutexLock lock(mutex_);
  super_user_ = std::move(credentials);
}

void StandInBroker::SetAnswer(grpc::Status answer) {
  MutexLock lock(mutex_);
  answer_ = std::move(answer);
}

std::optional<v1::User> StandInBroker::UserOf(const std::string& name) const {
  MutexLock lock(mutex_);
  const auto found = users_.find(name);
  if (found == users_.end()) return std::nullopt;
  return found->second;
}

void StandInBroker::Put(const v1::User& user) {
  MutexLock lock(mutex_);
  users_[user.name()] = user;
}

int StandInBroker::Calls() const {
  MutexLock lock(mutex_);
  return calls_;
}

grpc::Status StandInBroker::Check(const grpc::ServerContext& context) {
  ++calls_;
  if (super_user_.empty()) return grpc::Status::OK;
  const std::optional<Claim> claim = ParseAuthorization(HeaderOf(context, kAuthorizationHeader));
  if (!claim.has_value() || claim->access_key != super_user_.access_key ||
      !IsSignature(claim->signature, HeaderOf(context, kDateTimeHeader), super_user_.secret_key)) {
    return {StatusCode::UNAUTHENTICATED, "the call is not signed by a user that is known"};
  }
  return grpc::Status::OK;
}

void StandInBroker::Show(const v1::User& user, v1::User& response) {
  response = user;
  response.set_secret_fingerprint(SecretFingerprint({user.name(), user.secret()}));
  response.clear_secret();
}

grpc::Status StandInBroker::GetBroker(grpc::ServerContext* context,
                                      const v1::GetBrokerRequest* /*request*/,
                                      v1::Broker* response) {
  MutexLock lock(mutex_);
  if (grpc::Status refused = Check(*context); !refused.ok()) return refused;
  response->set_cluster("DefaultCluster");
  response->set_name(name_);
  return grpc::Status::OK;
}

grpc::Status StandInBroker::CreateUser(grpc::ServerContext* context,
                                       const v1::CreateUserRequest* request, v1::User* response) {
  MutexLock lock(mutex_);
  if (grpc::Status refused = Check(*context); !refused.ok()) return refused;
  if (!answer_.ok()) return answer_;
  const v1::User& user = request->user();
  if (!users_.emplace(user.name(), user).second) {
    return {StatusCode::ALREADY_EXISTS, fmt::format("there is a user {}", user.name())};
  }
  Show(user, *response);
  return grpc::Status::OK;
}

grpc::Status StandInBroker::UpdateUser(grpc::ServerContext* context,
                                       const v1::UpdateUserRequest* request, v1::User* response) {
  MutexLock lock(mutex_);
  if (grpc::Status refused = Check(*context); !refused.ok()) return refused;
  if (!answer_.ok()) return answer_;
  const auto found = users_.find(request->user().name());
  if (found == users_.end()) return NoSuchUser(request->user().name());
  const std::string secret = found->second.secret();
  found->second = request->user();
  if (found->second.secret().empty()) found->second.set_secret(secret);
  Show(found->second, *response);
  return grpc::Status::OK;
}

grpc::Status StandInBroker::GetUser(grpc::ServerContext* context, const v1::GetUserRequest* request,
                                    v1::User* response) {
  MutexLock lock(mutex_);
  if (grpc::Status refused = Check(*context); !refused.ok()) return refused;
  const auto found = users_.find(request->name());
  if (found == users_.end()) return NoSuchUser(request->name());
  Show(found->second, *response);
  return grpc::Status::OK;
}

grpc::Status StandInBroker::DeleteUser(grpc::ServerContext* context,
                                       const v1::DeleteUserRequest* request,
                                       v1::DeleteUserResponse* /*response*/) {
  MutexLock lock(mutex_);
  if (grpc::Status refused = Check(*context); !refused.ok()) return refused;
  if (!answer_.ok()) return answer_;
  return users_.erase(request->name()) == 1 ? grpc::Status::OK : NoSuchUser(request->name());
}

}  // namespace dunlin::op
