// MasterHandshake, SlaveHandshake: both sides of how a Follow stream begins, up to where each knows
// who the other is. Pure: messages in, messages out.

#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/replication/v1/replication.pb.h"
#include "services/replicator/coordinator/group_record.h"
#include "services/replicator/transport/secret.h"

namespace dunlin::replicator {

namespace v1 = dunlin::replication::v1;

// Credit below this would stop the stream at each frame.
inline constexpr uint64_t kMinCreditBytes = 64u << 10;

// Members and tools say little: what is long, the log, goes the other way. What is longer is
// refused before it is parsed. gRPC 1.51 still gathers all of a message before it looks at its
// length: that the quota of the server bounds (grpc_server.cc), which cuts off everybody when it is
// too small.
inline constexpr uint32_t kMaxRequestBytes = 1u << 20;

// This member, its group, and who else is in it.
struct Identity {
  std::string group;
  MemberName member;
  std::set<MemberName> others;  // learners included
  Secret secret;
};

class MasterHandshake {
 public:
  // `identity` must outlive it.
  explicit MasterHandshake(const Identity& identity) : identity_(identity) {}

  // Errors: FAILED_PRECONDITION (another group), PERMISSION_DENIED (no such member),
  // INVALID_ARGUMENT (nonce, credit).
  absl::StatusOr<v1::Challenge> OnHello(const v1::Hello& hello);
  // PERMISSION_DENIED: it has another secret, or none.
  absl::Status OnProof(const v1::Proof& proof) const;

 private:
  const Identity& identity_;
  MemberName slave_;
  std::string slave_nonce_;
  std::string nonce_;
};

class SlaveHandshake {
 public:
  // `master`: who is expected. `identity` must outlive it.
  SlaveHandshake(const Identity& identity, MemberName master);

  // Fills in what says who this is.
  void Sign(v1::Hello& hello) const;
  // PERMISSION_DENIED: it is another member, or has another secret.
  absl::StatusOr<v1::Proof> OnChallenge(const v1::Challenge& challenge) const;

 private:
  const Identity& identity_;
  const MemberName master_;
  const std::string nonce_;
};

}  // namespace dunlin::replicator
