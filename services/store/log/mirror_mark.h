// The `mirror` file of a store: what a LogMirror wrote there may not all be on disk.
//
// While it is there, what records say of flushes (RecordHeader::unflushed) is of another machine's
// disk and proves nothing about this one. Set by a LogMirror before it writes; cleared by whoever
// has synced the whole log. Both are durable on return.

#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/file.h"
#include "services/store/log/recovery.h"

namespace dunlin::store {

absl::Status SetMirrorMark(FileSystem& files, const std::string& directory);
absl::Status ClearMirrorMark(FileSystem& files, const std::string& directory);
// What recovery may believe of the log in `directory`.
absl::StatusOr<Unflushed> ReadMirrorMark(FileSystem& files, const std::string& directory);

}  // namespace dunlin::store
