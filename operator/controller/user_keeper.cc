#include "operator/controller/user_keeper.h"

#include <fmt/format.h>

#include <string>

#include "operator/controller/random_text.h"
#include "operator/k8s/api_call.h"
#include "operator/planner/credentials.h"
#include "operator/planner/declared_user.h"
#include "operator/planner/resource_types.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::op {
namespace {

namespace v1 = admin::v1;
using k8s::Json;
using Stub = BrokerAdmin::Stub;

constexpr int kSecretBytes = 16;  // 32 characters

Found FoundOf(const v1::User& wanted, const v1::User& there) {
  return {.exists = true, .differences = DifferencesOf(wanted, there)};
}

// The Secret of a User that was deleted and made again goes with the former one.
bool IsOfFormer(const Json& secret, const Json& user) {
  const Json* const owners = k8s::Find(secret, {"metadata", "ownerReferences"});
  if (owners == nullptr || !owners->is_array()) return false;
  for (const Json& owner : *owners) {
    if (k8s::StringAt(owner, {"kind"}) == UserType().kind &&
        k8s::StringAt(owner, {"name"}) == k8s::KeyOf(user).name &&
        k8s::StringAt(owner, {"uid"}) != k8s::UidOf(user)) {
      return true;
    }
  }
  return false;
}

}  // namespace

const k8s::ResourceType& UserKeeper::Type() const { return UserType(); }

k8s::Object UserKeeper::SecretOf(const Json& resource) const {
  return caches_.Get(SecretType(), {k8s::KeyOf(resource).space, CredentialsNameOf(resource)});
}

absl::StatusOr<Obstacle> UserKeeper::Prepare(const Json& resource) {
  const std::string name = CredentialsNameOf(resource);
  const k8s::Object secret = SecretOf(resource);
  if (secret == nullptr && GeneratesCredentials(resource)) return MakeSecret(resource);
  if (secret != nullptr && (IsOfFormer(*secret, resource) || k8s::IsBeingDeleted(*secret))) {
    return Obstacle{.reason = "SecretGoes",
                    .message = fmt::format("Secret {} is about to go with a former User", name),
                    .stalled = false};
  }
  const absl::StatusOr<Credentials> credentials = CredentialsOf(secret.get(), name);
  if (absl::IsNotFound(credentials.status())) {
    return Obstacle{.reason = "SecretMissing",
                    .message = std::string(FromAbsl(credentials.status().message())) +
                               ", or set credentials.generate to true"};
  }
  if (!credentials.ok()) {
    return Obstacle{.reason = "SecretInvalid",
                    .message = std::string(FromAbsl(credentials.status().message()))};
  }
  const std::string user = ClusterNameOf(resource);
  if (credentials->access_key != user) {
    return Obstacle{.reason = "SecretInvalid",
                    .message = fmt::format("{} of Secret {} is '{}', and the user is called '{}': "
                                           "set it to that, or name another Secret",
                                           kAccessKeyEntry, name, credentials->access_key, user)};
  }
  return Obstacle{};
}

absl::StatusOr<Obstacle> UserKeeper::MakeSecret(const Json& resource) const {
  const std::string name = CredentialsNameOf(resource);
  const Json secret =
      NewCredentialsSecret(resource, {ClusterNameOf(resource), RandomText(kSecretBytes)});
  const absl::Status made = writer_.Write(k8s::Create(SecretType(), secret)).status();
  if (absl::IsFailedPrecondition(made)) return made;  // another operator leads
  if (made.ok()) {
    events_.Record(resource,
                   {.type = k8s::EventType::kNormal,
                    .reason = "SecretMade",
                    .action = "Create",
                    .note = fmt::format("Secret {} is made, with a random secret", name)});
  }
  // It goes on when the Secret is seen.
  if (made.ok()) {
    return Obstacle{.reason = "MakingSecret",
                    .message = fmt::format("Secret {} is made", name),
                    .stalled = false};
  }
  // One that is there and was not seen is of another type, unless it is about to be.
  if (absl::IsAlreadyExists(made)) {
    return Obstacle{
        .reason = "SecretInvalid",
        .message = fmt::format("Secret {} is there, and not of type {}, unless somebody "
                               "has just made it: make it of that type, or name "
                               "another Secret",
                               name, kCredentialsType),
        .stalled = false};
  }
  return Obstacle{
      .reason = "MakingSecret",
      .message = fmt::format("Secret {} cannot be made: {}", name, FromAbsl(made.message())),
      .stalled = false};
}

absl::StatusOr<v1::User> UserKeeper::Wanted(const Json& resource) const {
  const k8s::Object secret = SecretOf(resource);
  const absl::StatusOr<Credentials> credentials =
      CredentialsOf(secret.get(), CredentialsNameOf(resource));
  // It was well when this look began.
  if (!credentials.ok()) return absl::AbortedError(credentials.status().message());
  return UserOf(resource, *credentials);
}

absl::StatusOr<Found> UserKeeper::Look(const BrokerAt& at, const Json& resource) {
  ASSIGN_OR_RETURN(const v1::User wanted, Wanted(resource));
  v1::GetUserRequest request;
  request.set_name(wanted.name());
  const absl::StatusOr<v1::User> there = admin_.Ask(at, &Stub::GetUser, request);
  if (absl::IsNotFound(there.status())) return Found{};
  RETURN_IF_ERROR(there.status());
  return FoundOf(wanted, *there);
}

absl::StatusOr<Found> UserKeeper::Create(const BrokerAt& at, const Json& resource) {
  RETURN_IF_ERROR(admin_.CheckIdentity(at));
  v1::CreateUserRequest request;
  ASSIGN_OR_RETURN(*request.mutable_user(), Wanted(resource));
  ASSIGN_OR_RETURN(const v1::User made, admin_.Ask(at, &Stub::CreateUser, request));
  return FoundOf(request.user(), made);
}

absl::StatusOr<Found> UserKeeper::Update(const BrokerAt& at, const Json& resource) {
  RETURN_IF_ERROR(admin_.CheckIdentity(at));
  v1::UpdateUserRequest request;
  ASSIGN_OR_RETURN(*request.mutable_user(), Wanted(resource));
  ASSIGN_OR_RETURN(const v1::User updated, admin_.Ask(at, &Stub::UpdateUser, request));
  return FoundOf(request.user(), updated);
}

absl::Status UserKeeper::Delete(const BrokerAt& at, const Json& resource) {
  RETURN_IF_ERROR(admin_.CheckIdentity(at));
  v1::DeleteUserRequest request;
  request.set_name(ClusterNameOf(resource));
  const absl::Status deleted = admin_.Ask(at, &Stub::DeleteUser, request).status();
  return absl::IsNotFound(deleted) ? absl::OkStatus() : deleted;
}

}  // namespace dunlin::op
