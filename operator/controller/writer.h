// Writer: puts what a plan wants of one resource into the API server: the objects that it consists
// of, and its status. Remembers what came of that, so that nothing is written twice to no effect.
//
// Thread-safe; one thread at a time for a Written.

#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "operator/k8s/client.h"
#include "operator/k8s/event_recorder.h"
#include "operator/k8s/json.h"
#include "operator/k8s/object.h"
#include "operator/planner/plan.h"

namespace dunlin::op {

inline constexpr char kFieldManager[] = "dunlin-operator";

// What was written last for a resource. Never needed: after a restart it is simply done once more.
struct Written {
  std::string uid;                              // of the resource
  std::map<std::string, std::string> versions;  // of its objects, by kind and name
  std::string status;
};

class Writer {
 public:
  // All outlive this. `may_write` is asked before each write: whoever is not the leader writes
  // nothing.
  Writer(k8s::Client& client, k8s::EventRecorder& events, std::function<bool()> may_write)
      : client_(client), events_(events), may_write_(std::move(may_write)) {}

  // FAILED_PRECONDITION: another operator leads.
  absl::StatusOr<k8s::Json> Write(k8s::ApiCall call) const;
  absl::Status MayWrite() const;

  // An object that is refused is told of in an Event of `resource`. `known`: the objects in the
  // cache, which are the resource's own. Before another one is applied, it is looked for.
  // ALREADY_EXISTS: there is one of this name that is somebody else's; it is left alone.
  absl::Status Apply(const k8s::Json& resource, const Plan::Apply& apply,
                     const std::map<std::string, std::string>& known, Written& written) const;

  // What is gone already is well, and so is what has changed meanwhile: the next plan is of that.
  absl::Status Remove(const Plan::Removal& removal) const;

  // If it is another one than there is.
  absl::Status WriteStatus(const k8s::ResourceType& type, const k8s::Json& resource,
                           const k8s::Json& status, Written& written) const;

 private:
  absl::Status CheckOwner(const Plan::Apply& apply, const std::string& name) const;

  k8s::Client& client_;
  k8s::EventRecorder& events_;
  const std::function<bool()> may_write_;
};

// "Service/orders": by which plans know objects.
std::string PlanNameOf(const k8s::ResourceType& type, const k8s::Json& object);

// Adds objects of a type, as they are in the cache, to what a plan is made from. What is still as
// it was written is not compared with what is wanted: the API server may have put it in other
// words.
void AddObserved(const k8s::ResourceType& type, const std::vector<k8s::Object>& objects,
                 const Written& written, std::map<std::string, std::string>& applied,
                 std::map<std::string, k8s::Object>& live);

}  // namespace dunlin::op
