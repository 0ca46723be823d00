// A group's record and lease as one Lease object of Kubernetes (coordination.k8s.io/v1), so that
// both change in one write.
//
// spec says who holds the lease, for tools that know Leases; annotations say the rest:
//   dunlin.dev/record          the GroupRecord as JSON
//   dunlin.dev/record-version  how often the record was written: the version of its views
//   dunlin.dev/holder          the LeaseHolder as JSON; there while spec.holderIdentity is set
//   dunlin.dev/grant           tells a grant of the lease from those before and after it
//   dunlin.dev/writes          how often the object was written: orders what is heard of it
// Whether a lease that is held is over is not in it: whoever looks counts for himself. Pure.

#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

#include "operator/k8s/json.h"
#include "operator/k8s/object.h"
#include "services/base/clock.h"
#include "services/replicator/coordinator/group_record.h"

namespace dunlin::replicator {

const k8s::ResourceType& LeaseType();

// What such an object says; a null Json is a group that has none yet.
struct LeaseObject {
  int64_t writes = 0;
  int64_t version = 0;  // of the record; 0: there is none
  std::optional<GroupRecord> record;
  std::optional<LeaseHolder> holder;
  std::string grant;
  std::chrono::seconds duration{0};

  // DATA_LOSS: somebody wrote what nobody here writes; says which annotation.
  static absl::StatusOr<LeaseObject> Read(const k8s::Json& object);
};

// These change an object as read, or one new from NewObject; each write is one BeginWrite and any
// of the others.
void BeginWrite(k8s::Json& object, Timestamp now);  // also renews
void WriteRecord(k8s::Json& object, const GroupRecord& record);
void WriteGrant(k8s::Json& object, const LeaseHolder& holder, const std::string& grant,
                std::chrono::seconds duration, Timestamp now);
void EraseGrant(k8s::Json& object);

}  // namespace dunlin::replicator
