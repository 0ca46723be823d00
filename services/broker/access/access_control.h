// AccessControl: who calls, and whether that user may do what it asks for.
//
// A call is signed by a user of the table, or by the one user whose secret is in a file, which may
// do everything and which the broker need not have been told of: so that there is a first one, and
// one that tools of the cluster use. Without access control everybody may do everything, and calls
// are not looked at.
//
// Thread-safe; nothing waits.

#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/broker/access/user.h"
#include "services/broker/access/user_source.h"

namespace dunlin::broker {

// Who calls, as found out by AccessControl::Identify. The default: nobody.
struct Caller {
  absl::Status status = absl::UnauthenticatedError("nobody has looked who calls");
  std::shared_ptr<const User> user;  // null without access control
  IpAddress from;
};

// What of a call's headers says who calls.
struct SignedHeaders {
  std::string_view authorization;
  std::string_view date_time;  // x-mq-date-time
  std::string_view peer;       // as gRPC names it
};

class AccessControl {
 public:
  // Why calls were turned away, for metrics.
  enum class Refusal { kAnonymous, kUnknownUser, kDisabledUser, kSignature, kNotAllowed };
  static constexpr std::array<std::string_view, 5> kRefusals = {
      "anonymous", "unknown_user", "disabled_user", "signature", "not_allowed"};

  // Everybody may do everything.
  AccessControl() = default;
  // `users` must outlive it. Null `super_user`: there is no such file; what it has comes first.
  AccessControl(const UserSource& users, std::shared_ptr<const UserSource> super_user)
      : users_(&users), super_user_(std::move(super_user)) {}

  bool enabled() const { return users_ != nullptr; }

  // UNAUTHENTICATED in the caller: it did not sign, is not known or not enabled, or has another
  // secret.
  Caller Identify(const SignedHeaders& headers) const;

  // PERMISSION_DENIED: the caller may not do this. UNAUTHENTICATED: as of Identify, also of a user
  // that was deleted, disabled or given another secret since.
  absl::Status Check(const Caller& caller, const Need& need) const;
  // UNAUTHENTICATED: as of Check, whatever the caller may do.
  absl::Status CheckIdentity(const Caller& caller) const;
  // Whether a rule of the caller's, as it was when it called, denies it: for what is left out of
  // lists. Counts nothing.
  bool IsDenied(const Caller& caller, const Need& need) const;
  // INVALID_ARGUMENT: no user of the table may have that name, it is the one of the file.
  absl::Status CheckNotOfFile(std::string_view name) const;

  // Another one whenever what Check said may not be so any more.
  uint64_t version() const;
  // Of the program, since its start.
  static uint64_t refusals(Refusal reason);

 private:
  std::shared_ptr<const User> Find(std::string_view name) const;
  // The caller as it is now.
  absl::StatusOr<std::shared_ptr<const User>> Now(const Caller& caller) const;

  const UserSource* users_ = nullptr;
  std::shared_ptr<const UserSource> super_user_;
};

}  // namespace dunlin::broker
