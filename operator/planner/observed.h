// Observed: all that a plan is made from, as it was seen. Plain data.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "operator/k8s/object.h"

namespace dunlin::op {

// How a member takes part, by its group's record.
enum class Seat {
  kVoter,    // counts: may be in sync, and elected
  kJoining,  // follows, and counts as soon as it has caught up
  kLearner,  // follows, and does not count
};

// What the coordinator of a group says. The operator never decides it.
struct Coordination {
  int64_t epoch = 0;
  std::string master;             // a pod; empty: there is none now
  std::set<std::string> in_sync;  // pods, the master included
  std::string hearsay{};          // while nobody says that he is master: whom others take for it
  // All members, pods or not. Empty: the group has no record yet, or an old one that does not say.
  std::map<std::string, Seat> members{};

  friend bool operator==(const Coordination&, const Coordination&) = default;
};

struct Observed {
  k8s::Object group;         // the BrokerGroup
  k8s::Object name_service;  // what nameServiceRef names; null: it is not there, or not named
  k8s::Object stateful_set;  // null: it is not there
  std::vector<k8s::Object> pods;
  // Of the nodes under these pods those that are to be emptied (drain.h). Without nodes in sight:
  // none.
  std::set<std::string> emptied_nodes;
  std::vector<k8s::Object> claims;    // PersistentVolumeClaims
  std::vector<k8s::Object> services;  // of the group
  k8s::Object outside_addresses;      // the ConfigMap NAME-outside; null: it is not there
  // Why the API server does not let claims grow to the size that is asked for. Empty: it was not
  // asked, or does.
  std::string growth_refused;
  // Fingerprints of what was applied last, by kind and name: "Service/orders-a".
  std::map<std::string, std::string> applied;
  // Those objects as they are now, by the same names: what is not as it was applied is mended.
  std::map<std::string, k8s::Object> live;
  // With access control: the name of who may do everything, as his Secret says. An error: the
  // Secret is not there, or does not have what it needs.
  absl::StatusOr<std::string> super_user{""};
  // BrokerGroups of the same cluster with another access.
  std::vector<std::string> others_access;
  // Why an object could not be applied: another one has its name. Empty: none has.
  std::string taken;
  // nullopt: nobody could be asked. Then nothing is done that depends on it.
  std::optional<Coordination> coordination;
};

}  // namespace dunlin::op
