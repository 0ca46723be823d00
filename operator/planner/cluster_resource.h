// A cluster resource: a Topic, ConsumerGroup or User, which the masters of a cluster's broker
// groups keep (declared.h, declared_user.h). At which of them, what is to be done there, and what
// the status says of it.
//
// | condition | True means |
// |---|---|
// | Ready | every broker group that is to have it has it as the spec says |
// | Reconciling | it goes on by itself: a master is away or cannot yet, or the data are being
// deleted | | Stalled | somebody has to act: the spec cannot be kept, or a broker refuses it |
//
// Pure; any thread.

#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "operator/k8s/event_recorder.h"
#include "operator/k8s/json.h"
#include "operator/k8s/object.h"
#include "services/base/clock.h"
#include "services/base/request_signature.h"

namespace dunlin::op {

// On resources whose data go with them.
inline constexpr std::string_view kDataFinalizer = "dunlin.dev/data-in-brokers";

// A BrokerGroup, and who is its master.
struct BrokerGroupSight {
  k8s::Object group;
  std::string master;     // a pod; empty: there is none now
  std::string master_ip;  // empty: not known
  // Of who may do everything there. Empty: nobody need sign. An error: they cannot be had, and why.
  absl::StatusOr<Credentials> credentials{Credentials{}};
};

// The broker of one group that can be asked.
struct BrokerAt {
  std::string cluster;
  std::string group;    // as routes call it
  std::string address;  // host:port of the master; empty: there is no master now
  bool tls = false;     // it takes that
  absl::StatusOr<Credentials> credentials{Credentials{}};  // as BrokerGroupSight's
};

struct Placement {
  std::vector<BrokerAt> brokers;     // ascending by group
  std::vector<std::string> missing;  // of spec.brokerGroups: there is no such BrokerGroup
};

// `groups`: those that refer to the resource's NameService. One that is being deleted counts as
// gone.
Placement PlacementOf(const k8s::Json& resource, const std::vector<BrokerGroupSight>& groups);

// "namespace/name" in the cluster.
std::string ClusterNameOf(const k8s::Json& resource);

// The oldest of `resources`, which are of its kind and NameService, that keeps the same thing at
// some broker group, if that is not `resource` itself; empty: none. Two of them would undo each
// other's changes without end.
std::string RivalOf(const k8s::Json& resource, const std::vector<k8s::Object>& resources);

// One of `resources`, which are of its kind and NameService and may be younger, that is for the
// same thing at this broker group too, and stays; empty: none. What is there is not to be deleted
// then.
std::string HeirOf(const k8s::Json& resource, const std::vector<k8s::Object>& resources,
                   const std::string& group);

bool IsDataToGo(const k8s::Json& resource);  // spec.deletionPolicy: Delete
bool IsUser(const k8s::Json& resource);

// What a broker says of it.
struct Found {
  bool exists = false;
  std::vector<std::string> differences{};  // from what is wanted
  int read_queues = 0;                     // of a Topic
  std::set<std::string> clients{};         // of a ConsumerGroup: their ids
};

enum class Step { kNone, kCreate, kUpdate };
Step NextStep(const Found& found);

// What came of it at one broker group.
struct Kept {
  std::string group;
  Found found;          // at last
  absl::Status status;  // OK: it is as it is to be
};

// What to tell of a step that was done at a group where it was found like this. What had been so
// before, and nobody changed the spec since, is a repair.
k8s::Event EventOf(const k8s::Json& resource, const std::string& group, const Found& before);

// What is in the way before any broker is asked.
struct Obstacle {
  std::string reason;  // empty: nothing is
  std::string message;
  bool stalled = true;  // somebody has to act; otherwise it goes on by itself
};

struct ResourceOutcome {
  Obstacle obstacle;
  std::vector<std::string> missing;
  std::vector<Kept> kept;
};

k8s::Json StatusOfResource(const k8s::Json& resource, const ResourceOutcome& outcome,
                           Timestamp now);

}  // namespace dunlin::op
