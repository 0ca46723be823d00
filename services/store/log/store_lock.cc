#include "services/store/log/store_lock.h"

#include <fmt/format.h>
#include <unistd.h>

#include <string_view>

#include "services/base/status_macros.h"
#include "services/base/strings.h"

namespace dunlin::store {

absl::StatusOr<std::unique_ptr<File>> LockStore(FileSystem& files, const std::string& directory) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> lock, files.Open(directory + "/LOCK", OpenMode::kCreate));
  const absl::Status locked = lock->Lock();
  if (absl::IsFailedPrecondition(locked)) {
    const absl::StatusOr<std::string> holder = lock->ReadAt(0, 32);
    return absl::FailedPreconditionError(fmt::format(
        "the store is in use by process {}: {}. Stop that process, or give this one another "
        "data directory",
        holder.ok() && !holder->empty() ? *holder : "?", FromAbsl(locked.message())));
  }
  RETURN_IF_ERROR(locked);
  RETURN_IF_ERROR(lock->Truncate(0));
  const std::string pid = std::to_string(getpid());
  const std::string_view piece = pid;
  RETURN_IF_ERROR(lock->WriteAt(0, {&piece, 1}));
  return lock;
}

}  // namespace dunlin::store
