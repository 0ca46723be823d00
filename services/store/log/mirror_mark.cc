#include "services/store/log/mirror_mark.h"

#include "services/base/status_macros.h"

namespace dunlin::store {
namespace {

std::string PathIn(const std::string& directory) { return directory + "/mirror"; }

}  // namespace

absl::Status SetMirrorMark(FileSystem& files, const std::string& directory) {
  RETURN_IF_ERROR(files.Open(PathIn(directory), OpenMode::kCreate).status());
  return files.SyncDirectory(directory);
}

absl::Status ClearMirrorMark(FileSystem& files, const std::string& directory) {
  const absl::Status removed = files.Remove(PathIn(directory));
  if (absl::IsNotFound(removed)) return absl::OkStatus();
  RETURN_IF_ERROR(removed);
  return files.SyncDirectory(directory);
}

absl::StatusOr<Unflushed> ReadMirrorMark(FileSystem& files, const std::string& directory) {
  const absl::Status found = files.Open(PathIn(directory), OpenMode::kRead).status();
  if (absl::IsNotFound(found)) return Unflushed::kProves;
  RETURN_IF_ERROR(found);
  return Unflushed::kProvesNothing;
}

}  // namespace dunlin::store
