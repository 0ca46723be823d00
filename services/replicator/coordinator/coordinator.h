// Coordinator: the existing consensus system that says who is master of a broker group.
//
// Holds one GroupRecord and one lease per group (group_record.h). The promise that everything else
// stands on: the record changes only by compare-and-swap, and a lease that was granted for a time
// `ttl` is nobody else's before `ttl` has passed since its last renewal was sent.
//
// Thread-safe; no call waits for anything: results and views come on a thread of the coordinator,
// one at a time. A callback may call any method but Stop.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "services/replicator/coordinator/group_record.h"
#include "services/replicator/coordinator/instant.h"

namespace dunlin::replicator {

class Coordinator {
 public:
  // Codes of every call:
  //   OK                   it is so; `view` shows it
  //   ABORTED              refused: the version is not the present one, or the lease is not free
  //                        (Elect) or not ours (others); `view` shows what is; nothing was changed
  //   UNAVAILABLE          the outcome is unknown: it may still happen, later
  struct Result {
    absl::Status status;
    std::optional<GroupView> view;
    Instant sent;     // before the request left: what a lease is counted from
    Duration ttl{0};  // Elect, KeepAlive: of the lease, from `sent`; Duration::max(): for ever
  };
  using Done = absl::AnyInvocable<void(Result)>;
  using Watcher = std::function<void(const GroupView&)>;

  virtual ~Coordinator() = default;

  // `watcher` is told the present view, and each later one; revisions ascend, some may be left out.
  // REQUIRES: once, before other calls.
  virtual void Start(Watcher watcher) = 0;

  // Takes the free lease and writes `record`, both or neither. `version` is that of the view that
  // the election is based on; 0: there is no record.
  virtual void Elect(int64_t version, const GroupRecord& record, Done done) = 0;
  // The master writes the record. REQUIRES: of its own epoch.
  virtual void Update(int64_t version, const GroupRecord& record, Done done) = 0;
  // The master renews its lease.
  virtual void KeepAlive(Done done) = 0;
  // Gives the lease up and writes `record`, both or neither. Also frees a lease that a former life
  // of this member left behind. The lease counts as given up from the call on, whatever the result.
  virtual void Release(int64_t version, const GroupRecord& record, Done done) = 0;

  // False: who is master is fixed, and a lease that its holder gives up is taken by nobody else.
  virtual bool elects() const { return true; }

  // What is under way ends as UNAVAILABLE; after it returned nothing is called any more.
  // Idempotent. The lease is not given up.
  virtual void Stop() = 0;
};

}  // namespace dunlin::replicator
