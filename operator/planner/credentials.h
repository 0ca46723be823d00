// CredentialsOf: the name and the secret of somebody who signs requests, out of a Secret of
// Kubernetes (keys accessKey and secretKey). Pure; any thread.

#pragma once

#include <string>

#include "absl/status/statusor.h"

#include "operator/k8s/json.h"
#include "services/base/request_signature.h"

namespace dunlin::op {

// Keys of such a Secret.
inline constexpr char kAccessKeyEntry[] = "accessKey";
inline constexpr char kSecretKeyEntry[] = "secretKey";
// Of which type it is.
inline constexpr char kCredentialsType[] = "Opaque";

// `secret`: null: there is none of this name. NOT_FOUND: that. FAILED_PRECONDITION: it does not
// have what it needs. Messages say the way out, and never what the secret is.
absl::StatusOr<Credentials> CredentialsOf(const k8s::Json* secret, const std::string& name);

// The Secret of a User.
std::string CredentialsNameOf(const k8s::Json& user);
// Whether it is made when there is none.
bool GeneratesCredentials(const k8s::Json& user);

// A Secret with these, that goes with the User.
k8s::Json NewCredentialsSecret(const k8s::Json& user, const Credentials& credentials);

}  // namespace dunlin::op
