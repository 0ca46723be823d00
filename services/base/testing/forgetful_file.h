// ForgetfulFiles: a file system over the real one that can lose power and fail at the n-th call.
//
// Remembers what each 4 KiB page written since the last DataSync held before. CutPower puts a
// random part of those pages back, some of them only in part, as a disk does that had written them
// in any order; every file opened before then fails for good, so that the code under test can
// still be destroyed. A DataSync that fails loses its pages for good, as the kernel does: they
// still read as written, no later DataSync saves them, and CutPower puts all of them back.
// Creations, renames, sizes and what is written through a map count as durable at once.
// Thread-safe.

#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "services/base/file.h"
#include "services/base/mutex.h"

namespace dunlin {

class ForgetfulFiles final : public FileSystem {
 public:
  enum class Operation { kWrite, kDataSync, kAllocate, kRename, kSyncDirectory };

  explicit ForgetfulFiles(FileSystem& files) : files_(files) {}

  // What is lost depends on `seed` alone.
  void CutPower(uint32_t seed) ABSL_LOCKS_EXCLUDED(mutex_);

  // The n-th of these calls from now on (1: the next) returns `error`. A write then leaves half of
  // its first piece.
  void FailAt(Operation operation, int n, absl::Status error) ABSL_LOCKS_EXCLUDED(mutex_);

  // From now on a DataSync takes this long, so that others come to wait for it.
  void SetSyncTime(std::chrono::microseconds time) ABSL_LOCKS_EXCLUDED(mutex_);

  // While held, a DataSync does not return: the disk stands still.
  void HoldSyncs(bool hold) ABSL_LOCKS_EXCLUDED(mutex_);

  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Rename(const std::string& from, const std::string& to) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Remove(const std::string& path) override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CreateDirectories(const std::string& path) override {
    return files_.CreateDirectories(path);
  }
  absl::Status SyncDirectory(const std::string& path) override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    return files_.List(path);
  }
  absl::StatusOr<DiskSpace> GetDiskSpace(const std::string& path) override {
    return files_.GetDiskSpace(path);
  }

 private:
  class ForgetfulFile;
  // What pages that are not synced held before, by their place in the file; a page may be short at
  // the end of the file. Shared by all who have the file open, under any name.
  struct Unsynced {
    std::map<uint64_t, std::string> pages;
    std::map<uint64_t, std::string> lost;  // of a DataSync that failed, not written again since
  };

  void PassSyncTime() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TakeFailure(Operation operation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  FileSystem& files_;
  Mutex mutex_;
  int generation_ ABSL_GUARDED_BY(mutex_) = 0;  // how often the power was cut
  std::map<std::string, std::shared_ptr<Unsynced>> unsynced_ ABSL_GUARDED_BY(mutex_);  // by path
  Operation failing_ ABSL_GUARDED_BY(mutex_) = Operation::kWrite;
  int calls_to_failure_ ABSL_GUARDED_BY(mutex_) = 0;  // 0: none is planned
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  CondVar time_passes_;  // lets others in meanwhile
  std::chrono::microseconds sync_time_ ABSL_GUARDED_BY(mutex_){0};
  bool hold_syncs_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace dunlin
