// Secret: what the members of a group know and strangers do not; proves it without showing it.
//
// A value. A group without one has the empty secret, whose proofs are empty.

#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/file.h"

namespace dunlin::replicator {

class Secret {
 public:
  static constexpr size_t kMinBytes = 16;
  static constexpr size_t kNonceBytes = 32;

  Secret() = default;
  // REQUIRES: kMinBytes or more.
  explicit Secret(std::string bytes);
  // The contents of a file without white space at both ends; no path: the empty secret.
  // INVALID_ARGUMENT when it is too short.
  static absl::StatusOr<Secret> Load(FileSystem& files, const std::string& path);
  // The same of its text, which is `where`.
  static absl::StatusOr<Secret> Parse(std::string bytes, std::string_view where);
  // Random, new each time.
  static std::string Nonce();

  bool empty() const { return bytes_.empty(); }

  // HMAC-SHA-256 over the fields, each preceded by its length (8 bytes, little-endian).
  std::string Proof(std::initializer_list<std::string_view> fields) const;

  // PERMISSION_DENIED unless `proof` is the one of `fields`; `who` gave it. Without a secret
  // anything will do.
  absl::Status Check(std::string_view proof, std::string_view who,
                     std::initializer_list<std::string_view> fields) const;

 private:
  std::string bytes_;
};

}  // namespace dunlin::replicator
