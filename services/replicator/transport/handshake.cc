#include "services/replicator/transport/handshake.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"

#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::replicator {
namespace {

constexpr std::string_view kMasterProof = "dunlin.replication.v1 master";
constexpr std::string_view kSlaveProof = "dunlin.replication.v1 slave";

// What a stranger says, fit for a line of a log: names are short, and a stranger's need not be one.
std::string Quoted(std::string_view said) {
  constexpr size_t kMost = 127;
  return fmt::format("\"{}\"{}", absl::CHexEscape(ToAbsl(said.substr(0, kMost))),
                     said.size() > kMost ? "..." : "");
}

absl::Status CheckNonce(std::string_view nonce) {
  if (nonce.size() == Secret::kNonceBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("a nonce of {} bytes; it must have {}", nonce.size(), Secret::kNonceBytes));
}

}  // namespace

absl::StatusOr<v1::Challenge> MasterHandshake::OnHello(const v1::Hello& hello) {
  if (hello.group() != identity_.group) {
    return absl::FailedPreconditionError(fmt::format(
        "{} is of group {}, this is \"{}\" of group \"{}\": check broker.broker_name",
        Quoted(hello.member()), Quoted(hello.group()), identity_.member, identity_.group));
  }
  if (identity_.others.count(hello.member()) == 0) {
    return absl::PermissionDeniedError(fmt::format(
        "{} is no slave of {}: the other members of group {} are {}; `dunlinctl replica add` takes "
        "one in (with STATIC: replication.members)",
        Quoted(hello.member()), identity_.member, identity_.group,
        fmt::join(identity_.others, ", ")));
  }
  RETURN_IF_ERROR(CheckNonce(hello.nonce()));
  if (hello.credit_bytes() < kMinCreditBytes) {
    return absl::InvalidArgumentError(fmt::format("a credit of {} bytes; give {} or more",
                                                  hello.credit_bytes(), kMinCreditBytes));
  }
  slave_ = hello.member();
  slave_nonce_ = hello.nonce();
  nonce_ = Secret::Nonce();
  v1::Challenge challenge;
  challenge.set_member(identity_.member);
  challenge.set_nonce(nonce_);
  challenge.set_proof(identity_.secret.Proof(
      {kMasterProof, identity_.group, identity_.member, slave_, slave_nonce_, nonce_}));
  return challenge;
}

absl::Status MasterHandshake::OnProof(const v1::Proof& proof) const {
  return identity_.secret.Check(
      proof.proof(), slave_,
      {kSlaveProof, identity_.group, identity_.member, slave_, slave_nonce_, nonce_});
}

SlaveHandshake::SlaveHandshake(const Identity& identity, MemberName master)
    : identity_(identity), master_(std::move(master)), nonce_(Secret::Nonce()) {}

void SlaveHandshake::Sign(v1::Hello& hello) const {
  hello.set_group(identity_.group);
  hello.set_member(identity_.member);
  hello.set_nonce(nonce_);
}

absl::StatusOr<v1::Proof> SlaveHandshake::OnChallenge(const v1::Challenge& challenge) const {
  if (challenge.member() != master_) {
    return absl::PermissionDeniedError(
        fmt::format("at the address of {} is {}: `dunlinctl replica list` shows who is where",
                    master_, Quoted(challenge.member())));
  }
  RETURN_IF_ERROR(CheckNonce(challenge.nonce()));
  RETURN_IF_ERROR(identity_.secret.Check(
      challenge.proof(), master_,
      {kMasterProof, identity_.group, master_, identity_.member, nonce_, challenge.nonce()}));
  v1::Proof proof;
  proof.set_proof(identity_.secret.Proof(
      {kSlaveProof, identity_.group, master_, identity_.member, nonce_, challenge.nonce()}));
  return proof;
}

}  // namespace dunlin::replicator
