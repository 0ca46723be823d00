// SavedState: the little that a name service keeps on disk: configuration values, the broker groups
// that it knew, those that are read-only.
//
// One small file (docs/formats/name_service.md), replaced as a whole with each change: a crash
// leaves the state before or after it. Thread-safe; what changes something waits for the disk.

#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/dunlin/storage/v1/name_service.pb.h"
#include "services/base/file.h"
#include "services/base/mutex.h"

namespace dunlin::nameservice {

class SavedState {
 public:
  // The file need not exist, its directory must. DATA_LOSS: it is damaged; nothing is changed.
  static absl::StatusOr<std::unique_ptr<SavedState>> Open(FileSystem& files, std::string path);

  // INVALID_ARGUMENT: name space, key or value are too long. RESOURCE_EXHAUSTED: no room.
  absl::Status Put(const std::string& name_space, const std::string& key, const std::string& value)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  // NOT_FOUND
  absl::StatusOr<std::string> Get(const std::string& name_space, const std::string& key) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  // NOT_FOUND
  absl::Status Delete(const std::string& name_space, const std::string& key)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  std::map<std::string, std::string> List(const std::string& name_space) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  struct Groups {
    std::vector<std::string> known;
    std::vector<std::string> read_only;
  };
  Groups groups() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Writes nothing when they are the same.
  absl::Status SaveGroups(const Groups& groups) ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);

 private:
  SavedState(FileSystem& files, std::string path, storage::v1::NameServiceState state)
      : files_(files), path_(std::move(path)), state_(std::move(state)) {}

  absl::Status Save(storage::v1::NameServiceState state)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  storage::v1::NameServiceState Copy() const ABSL_LOCKS_EXCLUDED(mutex_);

  FileSystem& files_;
  const std::string path_;
  Mutex change_mutex_;  // held while the disk is at it; taken before mutex_
  mutable Mutex mutex_;
  storage::v1::NameServiceState state_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dunlin::nameservice
