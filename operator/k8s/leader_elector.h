// LeaderElector: at most one of several processes leads, by a Lease.
//
// The holder renews every `retry_period`. Its leadership lasts `renew_deadline` from the moment at
// which it sent the last renewal that was answered; another takes over when it has seen no renewal
// for the lease's duration, which is longer. Each counts with its own clock from what it did or saw
// itself, so clocks need not agree, only run at about the same rate.
//
// Whoever has lost it never leads again: the process ends and starts anew, since no one can say
// what its threads are still about to do. IsLeader() turns false by time alone, even when this
// loop's thread stands still; ask it before each write.
//
// Callbacks come on the loop's thread. Stop the loop first, then destroy this.

#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "operator/k8s/client.h"
#include "operator/k8s/object.h"
#include "operator/k8s/transport.h"

namespace dunlin::k8s {

struct LeaderElectorOptions {
  ObjectKey lease;
  std::string identity;  // of this process: no other, before or after, has the same
  std::chrono::milliseconds lease_duration{15'000};
  std::chrono::milliseconds renew_deadline{10'000};
  std::chrono::milliseconds retry_period{2'000};
  std::function<void()> on_started;
  std::function<void()> on_lost;  // not after Release
  // Told whenever another one is seen to lead.
  std::function<void(std::string_view identity)> on_other;
};

class LeaderElector {
 public:
  // Both outlive this. REQUIRES: retry_period < renew_deadline < lease_duration.
  LeaderElector(Transport& transport, Scheduler& scheduler, LeaderElectorOptions options);
  LeaderElector(const LeaderElector&) = delete;
  LeaderElector& operator=(const LeaderElector&) = delete;

  // Once.
  void Start();
  // Any thread.
  bool IsLeader() const;
  // Gives the lease back, so that another need not wait; `done` when the API server knows, or
  // cannot be told. IsLeader() is false from now on. REQUIRES: no work of the leader goes on.
  void Release(std::function<void()> done);

 private:
  enum class State { kFollowing, kLeading, kLost, kReleased };

  void Tick();
  void OnRead(Client::Answer lease);
  void Observe(const Json& lease);
  bool MayTake(const Json& lease) const;
  Json NewSpec(const Json* before) const;
  void Write(ApiCall call);
  void OnWritten(Timestamp sent_at, const Client::Answer& answer);
  void CheckDeadline();
  void Lose();

  Scheduler& scheduler_;
  const LeaderElectorOptions options_;
  Client client_;  // one attempt at a time: the next tick is the next
  std::atomic<Timestamp> leads_until_{Timestamp{}};

  // Of the loop's thread.
  State state_ = State::kFollowing;
  bool busy_ = false;  // a call is under way
  std::string seen_version_;
  std::string seen_holder_;
  Timestamp seen_at_{};
  Json lease_;  // as last read or written; null: none
};

}  // namespace dunlin::k8s
