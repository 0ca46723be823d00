// GroupConcernedBy and its kin: which resource has to be looked at after a change.
// Pure; any thread.

#pragma once

#include <optional>

#include "operator/k8s/json.h"
#include "operator/k8s/object.h"
#include "operator/k8s/store.h"

namespace dunlin::op {

// The group itself, or the one whose label the object has. nullopt: nobody, because it belongs to
// no group, or because nothing is different that a plan depends on: a Lease that was renewed, a
// status that the operator wrote itself.
std::optional<k8s::ObjectKey> GroupConcernedBy(const k8s::ResourceType& type,
                                               const k8s::Store::Change& change);

// The same for NameServices.
std::optional<k8s::ObjectKey> NameServiceConcernedBy(const k8s::ResourceType& type,
                                                     const k8s::Store::Change& change);

// The same for a kind of which nothing in the API server is made: the resource itself.
std::optional<k8s::ObjectKey> ResourceConcernedBy(const k8s::ResourceType& kind,
                                                  const k8s::ResourceType& type,
                                                  const k8s::Store::Change& change);

// Whether what brokers keep has to be looked at after a change of a BrokerGroup or of its Lease:
// another spec, or another master.
bool ConcernsWhatBrokersKeep(const k8s::ResourceType& type, const k8s::Store::Change& change);

// Whether the groups of the pods on a node have to be looked at after its change: it is to be
// emptied, or is not any more.
bool ConcernsItsPods(const k8s::Store::Change& node);

// Of a node, what that depends on: nodes are large, and tell how they are all the time.
void TrimNode(k8s::Json& node);

// Of a Secret, what signing depends on: whatever else is in it is not the operator's business.
void TrimSecret(k8s::Json& secret);

// Whether the groups that refer to a NameService have to be looked at after its change.
bool ConcernsItsGroups(const k8s::Store::Change& name_service);

}  // namespace dunlin::op
