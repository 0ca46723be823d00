// GroupControl: what the operator asks of a broker group's members: who is master, to hand over,
// and to take in or remove a member. They may decline; the operator never decides who is master.

#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "operator/planner/observed.h"
#include "operator/planner/plan.h"
#include "proto/dunlin/replication/v1/replication.pb.h"
#include "services/base/clock.h"

namespace dunlin::op {

class GroupControl {
 public:
  // Who is asked.
  struct Master {
    std::string group;  // as its members call it
    std::string member;
    std::string address;  // host:port of its replicator
    int64_t epoch = 0;    // only in this one
    std::string secret;
  };

  virtual ~GroupControl() = default;

  // Waits for the answer, some seconds at most. OK: it has begun. FAILED_PRECONDITION and other
  // codes: it was declined, by what the message says. UNAVAILABLE, DEADLINE_EXCEEDED: nobody
  // answered.
  virtual absl::Status SwitchOver(const Master& master, const std::string& to) = 0;

  // The same codes. OK: it is on its way to the group's record, or there is nothing to change.
  virtual absl::Status ChangeMembers(const Master& master, const Plan::MemberChange& change) = 0;

  // By the words of whoever says that he is master in the highest epoch. All are asked at once.
  // UNAVAILABLE: nobody answers.
  virtual absl::StatusOr<Coordination> Ask(const std::vector<std::string>& addresses) = 0;
};

// By gRPC: dunlin.replication.v1. Thread-safe.
class GrpcGroupControl final : public GroupControl {
 public:
  // `caller`: what tells this operator from others, in logs of members. `clock` outlives this.
  GrpcGroupControl(std::string caller, const Clock& clock)
      : caller_(std::move(caller)), clock_(clock) {}

  absl::Status SwitchOver(const Master& master, const std::string& to) override;
  absl::Status ChangeMembers(const Master& master, const Plan::MemberChange& change) override;
  absl::StatusOr<Coordination> Ask(const std::vector<std::string>& addresses) override;

 private:
  absl::StatusOr<replication::v1::Credential> CredentialFor(const Master& master,
                                                            std::string_view method,
                                                            std::string_view argument) const;

  const std::string caller_;
  const Clock& clock_;
};

}  // namespace dunlin::op
