#include "clients/cli/credentials.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "services/base/strings.h"

namespace dunlin::cli {
namespace {

constexpr size_t kMinSecret = 8;
constexpr size_t kMaxSecret = 256;
constexpr size_t kGenerated = 32;
constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::string_view kWhite = " \t\r\n";

absl::Status Invalid(const std::string& message) {
  return absl::InvalidArgumentError(ToAbsl(message));
}

}  // namespace

absl::Status CompleteCredentials(const std::string& secret_key_file, Credentials& credentials) {
  if (!secret_key_file.empty()) {
    absl::StatusOr<std::string> secret = ReadSecret(secret_key_file);
    if (!secret.ok()) return secret.status();
    credentials.secret_key = *std::move(secret);
  } else if (const char* const secret = std::getenv(kSecretKeyVariable); secret != nullptr) {
    credentials.secret_key = secret;
  }
  if (credentials.access_key.empty() && credentials.secret_key.empty()) return absl::OkStatus();
  if (credentials.access_key.empty()) {
    return Invalid(
        "there is a secret key and no access key: --access-key NAME (or DUNLIN_ACCESS_KEY) says "
        "whose it is; without --secret-key-file, DUNLIN_SECRET_KEY_FILE and DUNLIN_SECRET_KEY "
        "requests are not signed");
  }
  if (credentials.secret_key.empty()) {
    return Invalid(
        fmt::format("there is an access key, {}, and no secret key: --secret-key-file FILE (or "
                    "DUNLIN_SECRET_KEY_FILE) says where it is, or {} is the secret itself; without "
                    "--access-key and DUNLIN_ACCESS_KEY requests are not signed",
                    credentials.access_key, kSecretKeyVariable));
  }
  const std::string problem = ProblemOf(credentials);
  return problem.empty() ? absl::OkStatus() : Invalid(problem + ": see --access-key");
}

std::string CredentialsHint(const Credentials& credentials) {
  if (credentials.empty()) {
    return "The request was not signed. Where access is controlled, give the keys of a user: "
           "--access-key NAME --secret-key-file FILE, or DUNLIN_ACCESS_KEY and "
           "DUNLIN_SECRET_KEY_FILE.";
  }
  return fmt::format(
      "The request was signed as user {0}. A super user sees with `dunlinctl user get {0}` whether "
      "there is one and what it may do, and changes its rules with `dunlinctl user update {0} "
      "--add-allow`, its secret with `--secret-file` or `--generate`.",
      credentials.access_key);
}

absl::StatusOr<std::string> ReadSecret(const std::string& file) {
  std::stringstream contents;
  if (!(contents << std::ifstream(file, std::ios::binary).rdbuf())) {
    return Invalid(fmt::format("cannot read a secret from {}, or it is empty", file));
  }
  const std::string text = contents.str();
  const size_t first = text.find_first_not_of(kWhite);
  if (first == std::string::npos) return Invalid(fmt::format("there is no secret in {}", file));
  return text.substr(first, text.find_last_not_of(kWhite) - first + 1);
}

absl::Status CheckSecret(std::string_view secret) {
  const bool printable =
      std::all_of(secret.begin(), secret.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (printable && secret.size() >= kMinSecret && secret.size() <= kMaxSecret) {
    return absl::OkStatus();
  }
  return Invalid(fmt::format(
      "the secret has {} bytes{}: it takes {} to {} printable ASCII characters without "
      "a space; --generate makes one",
      secret.size(), printable ? "" : ", and others than it may", kMinSecret, kMaxSecret));
}

std::string GenerateSecret() {
  static_assert(kLetters.size() == 32, "five bits of each byte");
  std::array<uint8_t, kGenerated> bytes;
  // Without a source of randomness only.
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) std::abort();
  std::string secret;
  for (const uint8_t byte : bytes) secret += kLetters[byte % kLetters.size()];
  return secret;
}

}  // namespace dunlin::cli
