// GroupMark: the file `group` of a store: whose log it holds; docs/formats/group.md.
//
// Without it what is in the store is somebody's only copy, and is not given up for the group's log.
// Durable before the first of the group's log is written there.

#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/file.h"
#include "services/base/strong_int.h"

namespace dunlin::replicator {

struct GroupMark {
  std::string group;
  // The store takes nothing of a lower epoch: for one that has to catch up anew, and has no promise
  // until it has.
  Epoch seen;

  friend bool operator==(const GroupMark&, const GroupMark&) = default;
};

// None when there is no file; DATA_LOSS when it is damaged.
absl::StatusOr<std::optional<GroupMark>> LoadGroupMark(FileSystem& files, const std::string& path);
// Durable on return.
absl::Status SaveGroupMark(FileSystem& files, const std::string& path, const GroupMark& mark);

}  // namespace dunlin::replicator
