// Plan: what is to be done now, in this order. Plain data.

#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "operator/k8s/event_recorder.h"
#include "operator/k8s/json.h"
#include "operator/k8s/object.h"

namespace dunlin::op {

struct Plan {
  struct Apply {
    k8s::ResourceType type;
    k8s::Json object;
  };
  // An object that is not wanted any more.
  struct Removal {
    k8s::ResourceType type;
    k8s::ObjectKey object;
    std::string version = "";  // only if it still is of this one; empty: whichever it is of
    bool orphans = false;      // what it owns stays
  };
  // A claim that is to ask for more.
  struct Growth {
    k8s::ObjectKey claim;
    std::string version;  // only if it still is of this one
    k8s::Json size;
  };
  // Before it is carried out, the pod is read from the API server, not the cache: what was planned
  // from an older state than the last deletion is dropped.
  struct Deletion {
    k8s::ObjectKey pod;
    std::string uid;  // that one, and not its successor
  };
  // A request to the group, which may decline.
  struct Switchover {
    std::string to;     // a pod
    int64_t epoch = 0;  // only in this epoch
  };

  // Of the group's record, asked of the master, which may decline.
  struct MemberChange {
    std::string member;   // a pod
    std::string address;  // host:port of its replicator: it is added; empty: it is removed
    int64_t epoch = 0;    // only in this epoch

    friend bool operator==(const MemberChange&, const MemberChange&) = default;
  };

  // A Secret that is made before anything is applied, if there is none of this name: `key` of it
  // is a random value, that nobody but the group's pods and the operator knows.
  struct NewSecret {
    k8s::Json object;
    std::string key;
  };

  std::optional<NewSecret> secret;
  std::vector<Apply> applies;
  std::vector<Removal> removals;
  std::vector<Growth> growths;
  std::optional<Deletion> deletion;  // one at a time
  std::optional<Switchover> switchover;
  std::optional<MemberChange> member_change;  // one at a time
  // Annotations of the group that were requests, and are answered by this plan: they go.
  std::vector<std::string> answered;
  k8s::Json status;  // all of it
  std::vector<k8s::Event> events;
  std::chrono::seconds look_again{30};
};

}  // namespace dunlin::op
