// BrokerGroupController: brings one BrokerGroup to where its spec says, a step at a time.
//
// Looks in the caches, has the planner make a plan (planner/planner.h), and carries it out: a
// Secret that is missing, objects by server-side apply, at most one pod that goes or one request to
// the group (to hand over, to take in or remove a member), the status, Events. What it remembers of
// a group between two looks saves work and is never needed: after a restart it is simply done once
// more, to no effect.
//
// A group that is as it should be costs no request. Thread-safe; one thread at a time for a key.

#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "operator/controller/caches.h"
#include "operator/controller/group_control.h"
#include "operator/controller/writer.h"
#include "operator/k8s/client.h"
#include "operator/k8s/event_recorder.h"
#include "operator/k8s/object.h"
#include "operator/planner/objects.h"
#include "operator/planner/observed.h"
#include "operator/planner/plan.h"
#include "services/base/clock.h"
#include "services/base/mutex.h"

namespace dunlin::op {

class BrokerGroupController {
 public:
  // All outlive this.
  struct Surroundings {
    const Caches& caches;
    k8s::Client& client;
    k8s::EventRecorder& events;
    const Writer& writer;
    GroupControl& control;
    const Clock& clock;
  };

  BrokerGroupController(Surroundings surroundings, Defaults defaults);
  BrokerGroupController(const BrokerGroupController&) = delete;
  BrokerGroupController& operator=(const BrokerGroupController&) = delete;

  // After how long to look again though nothing has changed; zero: never, the group is gone. An
  // error: some of it could not be done, and is to be tried again.
  absl::StatusOr<std::chrono::milliseconds> Reconcile(const k8s::ObjectKey& key)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Memory;
  struct Round;
  struct Request;

  std::shared_ptr<Memory> MemoryOf(const k8s::Json& group) ABSL_LOCKS_EXCLUDED(mutex_);
  void Observe(Round& round);
  absl::StatusOr<std::string> SuperUserOf(const k8s::Json& group) const;
  std::optional<Coordination> AskWhoIsMaster(const Round& round);

  absl::Status CarryOut(Round& round);
  absl::Status MakeSecret(Round& round);
  absl::Status ApplyAll(Round& round);
  absl::Status GrowVolumes(Round& round);
  absl::Status DeletePod(Round& round);
  absl::StatusOr<bool> MayGo(const Round& round, const Plan::Deletion& deletion);
  absl::Status SwitchOver(Round& round);
  absl::Status ChangeMembers(Round& round);
  bool AskedJustNow(Round& round, Request& request, const std::string& what);
  absl::StatusOr<GroupControl::Master> MasterOf(const Round& round);
  absl::StatusOr<std::string> SecretOf(const Round& round);
  absl::Status AnswerAnnotations(Round& round);
  absl::Status WriteStatus(Round& round);

  const Surroundings around_;
  const Defaults defaults_;
  Mutex mutex_;
  std::map<k8s::ObjectKey, std::shared_ptr<Memory>> memories_ ABSL_GUARDED_BY(mutex_);
};

// The types of objects that a BrokerGroup consists of, and that are watched for it. Claims, which
// its StatefulSet makes, and nodes are watched, too.
const std::vector<k8s::ResourceType>& OwnedTypes();

}  // namespace dunlin::op
