// Members: the pods of a group, joined with what the coordinator says of them. Pure; any thread.
//
// Who is a member is what the group's record says (docs/replication.md); the list in the
// configuration is what a group begins with. Without a record all pods are taken to be members.

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/k8s/object.h"
#include "operator/planner/observed.h"
#include "operator/planner/spec.h"

namespace dunlin::op {

struct Member {
  int ordinal = 0;
  std::string pod;       // its name
  k8s::Object object;    // null: it is not there
  bool running = false;  // its containers have started
  bool ready = false;
  bool terminating = false;
  bool outdated = false;  // of another revision than the StatefulSet's newest
  bool in_sync = false;
  bool master = false;
  bool leaving = false;  // its node is to be emptied
  // By the group's record. nullopt: it is no member, not yet or not any more, and cannot be in
  // sync.
  std::optional<Seat> seat;

  bool is_serving() const { return object != nullptr && ready && !terminating; }
};

// Annotation of the StatefulSet's pods: how many members the configuration lists.
inline constexpr std::string_view kMembersAnnotation = "dunlin.dev/members";

// One for each ordinal below `replicas`, and for each pod and member there is beyond; by ordinal,
// ascending. Members that are not called like pods of the StatefulSet are not the operator's.
std::vector<Member> MembersOf(const Observed& observed, const BrokerGroupSpec& spec, int replicas);

// Whether the StatefulSet's controller has seen its newest spec, so that its newest revision is
// known.
bool IsRevisionKnown(const Observed& observed);

}  // namespace dunlin::op
