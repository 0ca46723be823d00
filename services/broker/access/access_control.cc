#include "services/broker/access/access_control.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

#include "services/base/request_signature.h"
#include "services/base/status_macros.h"
#include "services/broker/access/refusal_log.h"
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

// `user`: as it calls itself.
absl::Status Stranger(AccessControl::Refusal reason, std::string_view user, const IpAddress& from,
                      const std::string& message) {
  Count(reason);
  const auto index = static_cast<size_t>(reason);
  static_assert(AccessControl::kRefusals.size() == RefusalLog::kReasons);
  RefusalLog::Get(index).Add(AccessControl::kRefusals[index], user, from, "");
  return absl::UnauthenticatedError(message);
}

absl::Status Disabled(std::string_view name, const IpAddress& from) {
  return Stranger(AccessControl::Refusal::kDisabledUser, name, from,
                  fmt::format("user {} is disabled; `dunlinctl user update {} --enabled` changes "
                              "that",
                              name, name));
}

// The same for both: who guesses is not to learn which users there are. The log and the metric tell
// them apart.
absl::Status WrongKeys(AccessControl::Refusal reason, std::string_view name,
                       const IpAddress& from) {
  return Stranger(reason, name, from,
                  fmt::format("the signature is not one of user {}: this broker has no user with "
                              "that access key, or its secret key is another one",
                              Quoted(name)));
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
        Refusal::kAnonymous, "", caller.from,
        headers.authorization.empty() || claim.has_value()
            ? "the call is not signed, and this broker has access control: give the client an "
              "access key and a secret key"
            : "the header authorization is not one of MQv2-HMAC-SHA1: give the client an access "
              "key and a secret key");
    return caller;
  }
  caller.user = Find(claim->access_key);
  if (caller.user == nullptr) {
    caller.status = WrongKeys(Refusal::kUnknownUser, claim->access_key, caller.from);
  } else if (headers.date_time.empty() ||
             !IsSignature(claim->signature, headers.date_time, caller.user->secret)) {
    caller.status = WrongKeys(Refusal::kSignature, caller.user->name, caller.from);
  } else if (!caller.user->enabled) {
    caller.status = Disabled(caller.user->name, caller.from);
  }
  if (!caller.status.ok()) caller.user = nullptr;
  return caller;
}

absl::StatusOr<std::shared_ptr<const User>> AccessControl::Now(const Caller& caller) const {
  RETURN_IF_ERROR(caller.status);
  if (caller.user == nullptr) return absl::UnauthenticatedError("nobody has looked who calls");
  std::shared_ptr<const User> now = Find(caller.user->name);
  if (now == nullptr) return WrongKeys(Refusal::kUnknownUser, caller.user->name, caller.from);
  if (now->secret != caller.user->secret) {
    return WrongKeys(Refusal::kSignature, now->name, caller.from);
  }
  if (!now->enabled) return Disabled(now->name, caller.from);
  return now;
}

absl::Status AccessControl::CheckIdentity(const Caller& caller) const {
  return enabled() ? Now(caller).status() : absl::OkStatus();
}

bool AccessControl::IsDenied(const Caller& caller, const Need& need) const {
  return enabled() && caller.user != nullptr && DenyingRule(*caller.user, need, caller.from) > 0;
}

absl::Status AccessControl::Check(const Caller& caller, const Need& need) const {
  if (!enabled()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::shared_ptr<const User> user, Now(caller));
  if (Allows(*user, need, caller.from)) return absl::OkStatus();
  Count(Refusal::kNotAllowed);
  const std::string what = Describe(need);
  constexpr auto kIndex = static_cast<size_t>(Refusal::kNotAllowed);
  RefusalLog::Get(kIndex).Add(kRefusals[kIndex], user->name, caller.from, what);
  if (IsForSuperUsers(need)) {
    return absl::PermissionDeniedError(
        fmt::format("user {} is not allowed {}; `dunlinctl user update {} --super` makes it one",
                    user->name, what, user->name));
  }
  const size_t rule = DenyingRule(*user, need, caller.from);
  const std::string why =
      rule == 0 ? std::string("no rule allows it") : fmt::format("its rule {} denies it", rule);
  return absl::PermissionDeniedError(fmt::format(
      "user {0} is not allowed {1}: {2}; `dunlinctl user get {0}` shows its rules, `dunlinctl user "
      "update {0} --{3} ...` changes them",
      user->name, what, why, rule == 0 ? "add-allow" : "remove-deny"));
}

absl::Status AccessControl::CheckNotOfFile(std::string_view name) const {
  if (super_user_ == nullptr || super_user_->Find(name) == nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("user {} is the one of access.super_user, which may do everything and whose "
                  "secret is in the file of access.super_user_secret_file at each broker: it is in "
                  "no list, and is changed there; another user needs another name",
                  name));
}

uint64_t AccessControl::version() const {
  if (!enabled()) return 0;
  return users_->version() + (super_user_ == nullptr ? 0 : super_user_->version());
}

}  // namespace dunlin::broker
