// The keys that requests are signed with, as the command line, the environment and files have them.

#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/request_signature.h"

namespace dunlin::cli {

// Holds the secret itself; named by no option, since others can read command lines.
inline constexpr char kSecretKeyVariable[] = "DUNLIN_SECRET_KEY";

// Sets the secret to that of the file or, when that is empty, to that of the environment.
// INVALID_ARGUMENT: there is an access key and no secret, or the other way round; how to mend it.
absl::Status CompleteCredentials(const std::string& secret_key_file, Credentials& credentials);

// What may help somebody who was turned away.
std::string CredentialsHint(const Credentials& credentials);

// The contents of a file without white space at both ends. INVALID_ARGUMENT: it cannot be read, or
// there is nothing else in it.
absl::StatusOr<std::string> ReadSecret(const std::string& file);

// INVALID_ARGUMENT: no broker takes it as the secret of a user.
absl::Status CheckSecret(std::string_view secret);

// 32 characters, drawn by lot: 160 bits.
std::string GenerateSecret();

}  // namespace dunlin::cli
