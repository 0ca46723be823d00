#include "services/replicator/transport/secret.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <utility>

#include "services/base/bytes.h"
#include "services/base/check.h"
#include "services/base/status_macros.h"

namespace dunlin::replicator {
namespace {

constexpr char kSpace[] = " \t\r\n";

}  // namespace

Secret::Secret(std::string bytes) : bytes_(std::move(bytes)) { CHECK(bytes_.size() >= kMinBytes); }

absl::StatusOr<Secret> Secret::Load(FileSystem& files, const std::string& path) {
  if (path.empty()) return Secret();
  ASSIGN_OR_RETURN(std::string bytes, ReadWholeFile(files, path));
  return Parse(std::move(bytes), path);
}

absl::StatusOr<Secret> Secret::Parse(std::string bytes, std::string_view where) {
  bytes.erase(bytes.find_last_not_of(kSpace) + 1);
  bytes.erase(0, bytes.find_first_not_of(kSpace));
  if (bytes.size() < kMinBytes) {
    return absl::InvalidArgumentError(
        fmt::format("{} holds a secret of {} characters; use {} or more, for instance from "
                    "`openssl rand -hex 32`",
                    where, bytes.size(), kMinBytes));
  }
  return Secret(std::move(bytes));
}

std::string Secret::Nonce() {
  std::string nonce(kNonceBytes, '\0');
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(nonce.data()),
                   static_cast<int>(nonce.size())) == 1);
  return nonce;
}

std::string Secret::Proof(std::initializer_list<std::string_view> fields) const {
  if (empty()) return "";
  std::string text;
  for (const std::string_view field : fields) {
    char length[8];
    StoreLittle(length, static_cast<uint64_t>(field.size()));
    text.append(length, sizeof(length)).append(field);
  }
  std::string proof(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  CHECK(HMAC(EVP_sha256(), bytes_.data(), static_cast<int>(bytes_.size()),
             reinterpret_cast<const unsigned char*>(text.data()), text.size(),
             reinterpret_cast<unsigned char*>(proof.data()), &size) != nullptr);
  proof.resize(size);
  return proof;
}

absl::Status Secret::Check(std::string_view proof, std::string_view who,
                           std::initializer_list<std::string_view> fields) const {
  if (empty()) return absl::OkStatus();
  if (proof.empty()) {
    return absl::PermissionDeniedError(
        fmt::format("{} proves nothing, and this group has a secret: replication.secret_file "
                    "(--secret-file) names "
                    "it",
                    who));
  }
  const std::string expected = Proof(fields);
  // Takes as long wherever they differ.
  if (proof.size() == expected.size() &&
      CRYPTO_memcmp(proof.data(), expected.data(), expected.size()) == 0) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(
      fmt::format("{} has another secret: replication.secret_file must hold the same everywhere in "
                  "the group",
                  who));
}

}  // namespace dunlin::replicator
