#include "services/base/request_signature.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <span>

namespace dunlin {
namespace {

constexpr std::string_view kAlgorithm = "MQv2-HMAC-SHA1";
constexpr size_t kSha1Bytes = 20;
constexpr size_t kFingerprintBytes = 8;

using Digest = std::array<uint8_t, EVP_MAX_MD_SIZE>;

std::span<const uint8_t> Hmac(const EVP_MD* hash, std::string_view key, std::string_view text,
                              Digest& digest) {
  unsigned size = 0;
  // Without memory only.
  if (HMAC(hash, key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(),
           &size) == nullptr) {
    std::abort();
  }
  return {digest.data(), size};
}

std::string Hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) fmt::format_to(std::back_inserter(text), "{:02x}", byte);
  return text;
}

// -1: none.
int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

}  // namespace

std::string ProblemOf(const Credentials& credentials) {
  if (credentials.access_key.empty()) return "the access key is empty";
  if (credentials.secret_key.empty()) return "the secret key is empty";
  // It stands in a header, among others; gRPC ends the program at bytes that no header may have.
  const bool fits =
      std::all_of(credentials.access_key.begin(), credentials.access_key.end(),
                  [](char c) { return c > ' ' && c < 0x7f && c != ',' && c != '=' && c != '/'; });
  return fits ? "" : "the access key has characters other than printable ASCII without , = and /";
}

std::string SignedDateTime(std::chrono::system_clock::time_point time) {
  return fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

std::string Authorization(const Credentials& credentials, std::string_view date_time) {
  Digest digest;
  return fmt::format("{} Credential={}, SignedHeaders={}, Signature={}", kAlgorithm,
                     credentials.access_key, kDateTimeHeader,
                     Hex(Hmac(EVP_sha1(), credentials.secret_key, date_time, digest)));
}

std::optional<Claim> ParseAuthorization(std::string_view value) {
  const size_t space = value.find(' ');
  if (space == std::string_view::npos || value.substr(0, space) != kAlgorithm) return std::nullopt;
  std::string_view rest = value.substr(space + 1);
  Claim claim;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    const std::string_view part = Trim(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string_view key = part.substr(0, equals);
    const std::string_view text = part.substr(equals + 1);
    // "key/region/service" of some SDKs.
    if (key == "Credential") claim.access_key = text.substr(0, text.find('/'));
    if (key == "Signature") claim.signature = text;
  }
  return claim;
}

bool IsSignature(std::string_view signature, std::string_view date_time,
                 std::string_view secret_key) {
  if (signature.size() != 2 * kSha1Bytes) return false;
  std::array<uint8_t, kSha1Bytes> given;
  for (size_t i = 0; i < given.size(); ++i) {
    const int high = HexDigit(signature[2 * i]);
    const int low = HexDigit(signature[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    given[i] = static_cast<uint8_t>(high << 4 | low);
  }
  Digest digest;
  const std::span<const uint8_t> expected = Hmac(EVP_sha1(), secret_key, date_time, digest);
  return CRYPTO_memcmp(given.data(), expected.data(), given.size()) == 0;
}

std::string SecretFingerprint(const Credentials& credentials) {
  Digest digest;
  return Hex(
      Hmac(EVP_sha256(), credentials.secret_key, "dunlin user " + credentials.access_key, digest)
          .first(kFingerprintBytes));
}

}  // namespace dunlin
