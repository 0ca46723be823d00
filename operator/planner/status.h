// Status: what the status of a BrokerGroup is to be. Pure; any thread.
//
// | condition | True means |
// |---|---|
// | Ready | the spec holds: every member is ready, in sync and of the newest revision |
// | Available | there is a master, and as many members in sync as sends need |
// | InSync | every member has all that is acknowledged |
// | StorageReady | the volumes have the size that is asked for
// | Draining | the master's node is to be emptied; only then is it there |
// | PreferredMaster | the member that the spec prefers is master; only where it prefers one |
// | Progressing | an update, a scaling or a switchover is under way |
// | Reconciling, Stalled | for tools that follow kstatus: it goes on by itself; somebody has to act
// | | Paused | the annotation dunlin.dev/pause-reconciliation is set |

#pragma once

#include <string>
#include <vector>

#include "operator/k8s/json.h"
#include "operator/planner/drain.h"
#include "operator/planner/members.h"
#include "operator/planner/observed.h"
#include "operator/planner/preference.h"
#include "operator/planner/rollout.h"
#include "operator/planner/spec.h"
#include "operator/planner/volumes.h"
#include "services/base/clock.h"

namespace dunlin::op {

// What came of planning, apart from what is observed.
struct Outcome {
  std::string stalled_reason;  // empty: it is not stalled
  std::string stalled_message;
  RolloutStep rollout;
  bool revision_known = false;  // of what the spec says now, and so which pods are outdated
  ScaleStep scale;
  DrainStep drain;
  VolumesStep volumes;
  PreferenceStep preference;
  std::string config_hash;
  std::string image;
};

k8s::Json StatusOf(const Observed& observed, const BrokerGroupSpec& spec,
                   const std::vector<Member>& members, const Outcome& outcome, Timestamp now);

}  // namespace dunlin::op
