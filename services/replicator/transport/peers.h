// Peers: what a member asks the others, one call each: how far they are, their promises and
// pledges.
//
// Thread-safe; nothing waits. Answers come on gRPC's threads; who does not answer in time is left
// out.

#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "proto/dunlin/replication/v1/replication.grpc.pb.h"
#include "services/base/clock.h"
#include "services/base/mutex.h"
#include "services/replicator/roles/types.h"
#include "services/replicator/transport/callback_threads.h"
#include "services/replicator/transport/handshake.h"

namespace dunlin::replicator {

class Peers {
 public:
  struct Options {
    std::chrono::milliseconds timeout{1000};
    std::shared_ptr<grpc::ChannelCredentials> credentials;  // null: plaintext
  };
  using OnState = std::function<void(const MemberName&, const PeerState&)>;
  using OnPledge = std::function<void(const MemberName&, const PledgeAnswer&)>;
  using OnPromise = std::function<void(const MemberName&, const PromiseAnswer&)>;
  using OnReached = std::function<void(const absl::Status&)>;

  // `addresses`: of the others at least. `clock` must outlive it.
  Peers(Identity identity, std::map<MemberName, std::string> addresses, Options options,
        const Clock& clock);
  ~Peers();  // Stop

  // The others are these from now on, there; this member may be among them.
  void SetAddresses(std::map<MemberName, std::string> addresses) ABSL_LOCKS_EXCLUDED(mutex_);

  // Asks all others.
  void AskStates(const OnState& told) ABSL_LOCKS_EXCLUDED(mutex_);
  void AskPromises(Epoch epoch, const OnPromise& told) ABSL_LOCKS_EXCLUDED(mutex_);
  // As master of `epoch`.
  void AskPledges(Epoch epoch, Duration time, const OnPledge& told) ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether this member reaches `peer`. OK, NOT_FOUND (there is none), or UNAVAILABLE, why not;
  // told once, perhaps before this returns.
  void Reach(const MemberName& peer, OnReached told) ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether all of `from` reach `peer`; UNAVAILABLE says who does not and why. Told once, as above.
  // A member of a version that cannot be asked counts as one that does.
  void AskReached(const std::vector<MemberName>& from, const MemberName& peer, OnReached told)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Cancels what is under way, and returns when nothing will be told any more. Idempotent.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  template <typename Request, typename Response>
  struct Call;

  std::vector<MemberName> Others() ABSL_LOCKS_EXCLUDED(mutex_);
  // A call to `peer`, which counts as open until its last trace is gone; null when stopping, or
  // when it is no member any more.
  template <typename Request, typename Response>
  std::shared_ptr<Call<Request, Response>> Open(const MemberName& peer) ABSL_LOCKS_EXCLUDED(mutex_);
  // It was answered.
  void Answered(grpc::ClientContext& context) ABSL_LOCKS_EXCLUDED(mutex_);
  // One for each call: a channel that could not connect would wait before it tries again.
  std::unique_ptr<v1::ReplicationService::Stub> StubOf(const std::string& address) const;

  const Identity identity_;
  const Options options_;
  const Clock& clock_;
  const CallbackThreads threads_;

  Mutex mutex_;
  CondVar idle_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<MemberName, std::string> addresses_ ABSL_GUARDED_BY(mutex_);
  std::set<grpc::ClientContext*> under_way_ ABSL_GUARDED_BY(mutex_);
  int open_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace dunlin::replicator
