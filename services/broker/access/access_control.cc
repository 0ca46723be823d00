#include "services/broker/access/access_control.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "services/base/request_signature.h"
#include "services/base/status_macros.h"
#include "services/broker/admission/text.h"

namespace dunlin::broker {
namespace {

std::array<std::atomic<uint64_t>, AccessControl::kRefusals.size()>& Counters() {
  static std::array<std::atomic<uint64_t>, AccessControl::kRefusals.size()> counters;
  return counters;
}

void Count(AccessControl::Refusal reason) {
  Counters()[static_cast<size_t>(reason)].fetch_add(1, std::memory_order_relaxed);
}

absl::Status Stranger(AccessControl::Refusal reason, const std::string& message) {
  Count(reason);
  return absl::UnauthenticatedError(message);
}

absl::Status Disabled(std::string_view name) {
  return Stranger(AccessControl::Refusal::kDisabledUser,
                  fmt::format("user {} is disabled; `dunlinctl user update {} --enabled` changes "
                              "that",
                              name, name));
}

absl::Status UnknownUser(std::string_view name) {
  return Stranger(AccessControl::Refusal::kUnknownUser,
                  fmt::format("there is no user (access key) {} at this broker; `dunlinctl user "
                              "create` makes one",
                              Quoted(name)));
}

absl::Status WrongSecret(std::string_view name) {
  return Stranger(
      AccessControl::Refusal::kSignature,
      fmt::format("the signature is not one of user {}: its secret key is another one", name));
}

}  // namespace

uint64_t AccessControl::refusals(Refusal reason) {
  return Counters()[static_cast<size_t>(reason)].load(std::memory_order_relaxed);
}

std::shared_ptr<const User> AccessControl::Find(std::string_view name) const {
  if (super_user_ != nullptr) {
    if (std::shared_ptr<const User> found = super_user_->Find(name); found != nullptr) return found;
  }
  return users_->Find(name);
}

Caller AccessControl::Identify(const SignedHeaders& headers) const {
  Caller caller;
  caller.status = absl::OkStatus();
  if (!enabled()) return caller;
  caller.from = IpAddress::OfPeer(headers.peer);
  const std::optional<Claim> claim = ParseAuthorization(headers.authorization);
  if (!claim.has_value() || claim->access_key.empty()) {
    caller.status = Stranger(
        Refusal::kAnonymous,
        headers.authorization.empty() || claim.has_value()
            ? "the call is not signed, and this broker has access control: give the client an "
              "access key and a secret key"
            : "the header authorization is not one of MQv2-HMAC-SHA1: give the client an access "
              "key and a secret key");
    return caller;
  }
  caller.user = Find(claim->access_key);
  if (caller.user == nullptr) {
    caller.status = UnknownUser(claim->access_key);
  } else if (headers.date_time.empty() ||
             !IsSignature(claim->signature, headers.date_time, caller.user->secret)) {
    caller.status = WrongSecret(caller.user->name);
  } else if (!caller.user->enabled) {
    caller.status = Disabled(caller.user->name);
  }
  if (!caller.status.ok()) caller.user = nullptr;
  return caller;
}

absl::StatusOr<std::shared_ptr<const User>> AccessControl::Now(const Caller& caller) const {
  RETURN_IF_ERROR(caller.status);
  if (caller.user == nullptr) return absl::UnauthenticatedError("nobody has looked who calls");
  std::shared_ptr<const User> now = Find(caller.user->name);
  if (now == nullptr) return UnknownUser(caller.user->name);
  if (now->secret != caller.user->secret) return WrongSecret(now->name);
  if (!now->enabled) return Disabled(now->name);
  return now;
}

absl::Status AccessControl::Check(const Caller& caller, const Need& need) const {
  if (!enabled()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::shared_ptr<const User> user, Now(caller));
  if (Allows(*user, need, caller.from)) return absl::OkStatus();
  Count(Refusal::kNotAllowed);
  return absl::PermissionDeniedError(
      fmt::format("user {} is not allowed {}; `dunlinctl user update {} --allow ...` changes that",
                  user->name, Describe(need), user->name));
}

absl::Status AccessControl::CheckNewUser(std::string_view name) const {
  if (super_user_ == nullptr || super_user_->Find(name) == nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("user {} is the one of access.super_user, whose secret is in a file: choose "
                  "another name",
                  name));
}

uint64_t AccessControl::version() const {
  if (!enabled()) return 0;
  return users_->version() + (super_user_ == nullptr ? 0 : super_user_->version());
}

}  // namespace dunlin::broker
