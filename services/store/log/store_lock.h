// LockStore: the lock of a store directory; who holds it is the one writer of the log there.

#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "services/base/file.h"

namespace dunlin::store {

// Held as long as the file is open. FAILED_PRECONDITION, naming the process that holds it, when it
// is taken; `directory` must exist.
absl::StatusOr<std::unique_ptr<File>> LockStore(FileSystem& files, const std::string& directory);

}  // namespace dunlin::store
