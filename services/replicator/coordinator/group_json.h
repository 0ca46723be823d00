// The group's record and lease as JSON text, as coordinators store them
// (proto/dunlin/coordination/v1/group.proto): readable with the coordinator's own tools.

#pragma once

#include <string>

#include "absl/status/statusor.h"

#include "services/replicator/coordinator/group_record.h"

namespace dunlin::replicator {

std::string ToJson(const GroupRecord& record);
std::string ToJson(const LeaseHolder& lease);

// DATA_LOSS when the text is not what ToJson makes. Fields of newer versions are passed over.
absl::StatusOr<GroupRecord> GroupRecordFromJson(const std::string& text);
absl::StatusOr<LeaseHolder> LeaseHolderFromJson(const std::string& text);

}  // namespace dunlin::replicator
