// KubernetesCoordinator: a Coordinator over one Lease object per group (lease_object.h).
//
// Every change is a replacement of the object as it was last read: the API server refuses it when
// anything came in between, and the coordinator reads again and decides again. The API server does
// not end leases; each member counts from the last write that it saw, by its own boot clock, and a
// lease of which no write was seen for its duration is free. So the holder's own count, which
// begins before a write leaves it, ends first.
//
// All of it runs on the thread of one CurlLoop.

#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "operator/k8s/client.h"
#include "operator/k8s/credentials.h"
#include "operator/k8s/curl_loop.h"
#include "operator/k8s/reflector.h"
#include "operator/k8s/store.h"
#include "services/base/clock.h"
#include "services/replicator/coordinator/coordinator.h"
#include "services/replicator/coordinator/instant.h"
#include "services/replicator/coordinator/lease_object.h"

namespace dunlin::replicator {

class KubernetesCoordinator final : public Coordinator {
 public:
  struct Options {
    k8s::ApiServer server;
    k8s::ObjectKey lease;  // its namespace and name
    MemberName member;
    std::chrono::seconds ttl{5};
    std::chrono::milliseconds call_timeout{1000};
    std::chrono::milliseconds retry{200};
  };
  // `clock` outlives this.
  KubernetesCoordinator(Options options, const Clock& clock, InstantSource now = BootClock::now);
  ~KubernetesCoordinator() override;

  void Start(Watcher watcher) override;
  void Elect(int64_t version, const GroupRecord& record, Done done) override;
  void Update(int64_t version, const GroupRecord& record, Done done) override;
  void KeepAlive(Done done) override;
  void Release(int64_t version, const GroupRecord& record, Done done) override;
  void Stop() override;

 private:
  // A change of the object: made as often as somebody else was quicker.
  struct Change {
    std::function<absl::Status(const LeaseObject& present)> check;  // not OK: why it is refused
    std::function<void(k8s::Json& object)> edit;
    std::function<void(Result& result)> on_written;  // before `done`
    Done done;
    int conflicts = 0;
  };

  // All below belongs to the loop's thread.
  void Read();
  void Make(std::shared_ptr<Change> change);
  void OnWritten(const std::shared_ptr<Change>& change, Instant sent, const absl::Status& refused);
  void ReadAgainAndMake(std::shared_ptr<Change> change, Instant sent);

  // What was heard; null: there is no object.
  void Adopt(k8s::Json object);
  bool IsOver() const;
  void CheckExpiry(uint64_t sighting);
  void Tell();
  absl::Status CheckVersion(const LeaseObject& present, int64_t version) const;
  absl::Status CheckOurs(const LeaseObject& present) const;

  const Options options_;
  const Clock& clock_;
  const InstantSource now_;
  k8s::CurlLoop loop_;
  k8s::Client client_;
  k8s::Store store_;
  k8s::Reflector reflector_;

  Watcher watcher_;
  k8s::Json object_;                    // as last heard; null: there is none
  std::optional<LeaseObject> present_;  // of object_; none: nothing was heard, or it is damaged
  uint64_t sighting_ = 0;               // counts what was heard
  Instant seen_at_{};                   // when the present object was heard of first
  std::optional<GroupView> told_;       // newest view
  std::string grant_;                   // of the lease that this life holds; empty: none
  Instant held_until_{};                // of it
  // So that an outage makes one line.
  bool reachable_ = true;
  std::string problem_;
};

}  // namespace dunlin::replicator
