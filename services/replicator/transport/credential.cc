#include "services/replicator/transport/credential.h"

#include <fmt/format.h>

#include <chrono>

#include "services/base/bytes.h"

namespace dunlin::replicator {
namespace {

namespace v1 = dunlin::replication::v1;

constexpr std::string_view kCallProof = "dunlin.replication.v1 call";
// Clocks of members and operators need not agree better than this.
constexpr std::chrono::minutes kMaxAge{5};

std::string TimeBytes(int64_t time_ms) {
  std::string bytes(sizeof(time_ms), '\0');
  StoreLittle(bytes.data(), time_ms);
  return bytes;
}

}  // namespace

v1::Credential MakeCredential(const Secret& secret, std::string_view caller, const Purpose& purpose,
                              Timestamp now) {
  v1::Credential credential;
  credential.set_caller(std::string(caller));
  credential.set_time_ms(ToUnixMillis(now));
  credential.set_proof(
      secret.Proof({kCallProof, purpose.method, purpose.group, caller, purpose.called,
                    TimeBytes(credential.time_ms()), purpose.argument}));
  return credential;
}

absl::Status CheckCredential(const Secret& secret, const v1::Credential& credential,
                             const Purpose& purpose, Timestamp now) {
  if (secret.empty()) return absl::OkStatus();
  const std::chrono::milliseconds age = now - FromUnixMillis(credential.time_ms());
  if (!credential.proof().empty() && (age > kMaxAge || age < -kMaxAge)) {
    return absl::PermissionDeniedError(
        fmt::format("the credential of {} is {} s old by the clock of {}; at most {} s either way "
                    "are taken: set the clocks",
                    credential.caller(), age.count() / 1000, purpose.called,
                    std::chrono::seconds(kMaxAge).count()));
  }
  return secret.Check(credential.proof(), credential.caller(),
                      {kCallProof, purpose.method, purpose.group, credential.caller(),
                       purpose.called, TimeBytes(credential.time_ms()), purpose.argument});
}

}  // namespace dunlin::replicator
