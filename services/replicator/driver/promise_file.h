// The `promise` file of a store: the highest epoch that this member has promised, and whether its
// store misses nothing that the group has confirmed (there is a file). docs/formats/promise.md.

#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/file.h"
#include "services/base/strong_int.h"

namespace dunlin::replicator {

// None when there is no file. DATA_LOSS when it is damaged: nothing may be guessed, since a promise
// that is forgotten may be given twice.
absl::StatusOr<std::optional<Epoch>> LoadPromise(FileSystem& files, const std::string& path);
// Durable on return, both.
absl::Status SavePromise(FileSystem& files, const std::string& path, Epoch epoch);
absl::Status RemovePromise(FileSystem& files, const std::string& path);

}  // namespace dunlin::replicator
