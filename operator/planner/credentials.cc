#include "operator/planner/credentials.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "absl/strings/escaping.h"

#include "operator/k8s/object.h"
#include "operator/planner/resource_types.h"
#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::op {
namespace {

using k8s::Json;

// What brokers take (proto/dunlin/admin/v1, User).
constexpr size_t kNameMax = 64;
constexpr size_t kSecretMin = 8;
constexpr size_t kSecretMax = 256;

bool MayStandInName(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-';
}

absl::StatusOr<std::string> EntryOf(const Json& secret, const std::string& name,
                                    const char* entry) {
  std::string text;
  if (!absl::Base64Unescape(ToAbsl(k8s::StringAt(secret, {"data", entry})), &text) ||
      text.empty()) {
    return absl::FailedPreconditionError(
        fmt::format("Secret {} has no key {}: it needs {} (the name) and {} (the secret)", name,
                    entry, kAccessKeyEntry, kSecretKeyEntry));
  }
  return text;
}

}  // namespace

absl::StatusOr<Credentials> CredentialsOf(const Json* secret, const std::string& name) {
  if (secret == nullptr) {
    return absl::NotFoundError(
        fmt::format("there is no Secret {} of type {} in this namespace: make it, with the keys {} "
                    "(the name) and {} (the secret)",
                    name, kCredentialsType, kAccessKeyEntry, kSecretKeyEntry));
  }
  Credentials credentials;
  ASSIGN_OR_RETURN(credentials.access_key, EntryOf(*secret, name, kAccessKeyEntry));
  ASSIGN_OR_RETURN(credentials.secret_key, EntryOf(*secret, name, kSecretKeyEntry));
  const std::string& user = credentials.access_key;
  if (user.size() > kNameMax || !std::all_of(user.begin(), user.end(), MayStandInName)) {
    return absl::FailedPreconditionError(
        fmt::format("{} of Secret {} is no name of a user: set it to 1 to {} of a-z A-Z 0-9 _ . -, "
                    "without a line break",
                    kAccessKeyEntry, name, kNameMax));
  }
  const std::string& key = credentials.secret_key;
  if (key.size() < kSecretMin || key.size() > kSecretMax ||
      !std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c <= '~'; })) {
    return absl::FailedPreconditionError(
        fmt::format("{} of Secret {} has {} bytes, and is to have {} to {} printable ASCII "
                    "characters without a space or a line break: set it to another one",
                    kSecretKeyEntry, name, key.size(), kSecretMin, kSecretMax));
  }
  return credentials;
}

std::string CredentialsNameOf(const Json& user) {
  const std::string_view given = k8s::StringAt(user, {"spec", "credentials", "secretName"});
  return given.empty() ? k8s::KeyOf(user).name + "-credentials" : std::string(given);
}

bool GeneratesCredentials(const Json& user) {
  return k8s::BoolAt(user, {"spec", "credentials", "generate"}, true);
}

Json NewCredentialsSecret(const Json& user, const Credentials& credentials) {
  Json secret = k8s::NewObject(SecretType(), {k8s::KeyOf(user).space, CredentialsNameOf(user)});
  secret["metadata"]["labels"] = {{"app.kubernetes.io/name", "dunlin"},
                                  {"app.kubernetes.io/component", "user"},
                                  {"app.kubernetes.io/managed-by", "dunlin-operator"}};
  secret["metadata"]["ownerReferences"] = Json::array({k8s::ControllerReference(user)});
  secret["type"] = kCredentialsType;
  secret["data"] = {{kAccessKeyEntry, absl::Base64Escape(credentials.access_key)},
                    {kSecretKeyEntry, absl::Base64Escape(credentials.secret_key)}};
  return secret;
}

}  // namespace dunlin::op
